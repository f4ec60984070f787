"""The loop: noise goes, step by step, under any solver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Condition, Denoiser, Level, Solver


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of the net: `noisy` is the state after it in the solver's own scale, at the last
    the finished clip.

    `level` is what the net was called at, `clean` what it expects to come out (for previews),
    `index` counts calls from 0 to `total - 1`.
    """

    index: int
    total: int
    level: Level
    noisy: Float[Tensor, "b c f h w"]
    clean: Float[Tensor, "b c f h w"]


def sample(
    denoiser: Denoiser,
    solver: Solver,
    noise: Float[Tensor, "b c f h w"],
    condition: Condition,
    *,
    source: Float[Tensor, "b c f h w"] | None = None,
) -> Iterator[Step]:
    """Turns noise into a clip, yielding after each call of the net; the last step's `noisy` is the
    clip.

    `noise` is unit Gaussian noise (`draw_noise`); a solver that starts later begins from `source`
    under that noise. The denoiser sees `alpha clean + sigma noise` under every solver. Heun calls
    it twice a step.
    """
    state = solver.begin(noise, source)
    for index in range(solver.calls):
        with torch.no_grad():
            level = solver.level(index)
            noisy = solver.look(state, index)
            clean = denoiser(noisy, level, condition)
            state = solver.step(clean, noisy, state, index)
        yield Step(index=index, total=solver.calls, level=level, noisy=state, clean=clean)
