"""Noise by seeds, and the loop that turns it into a clip step by step, under any solver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Condition, Denoiser, Level, Solver


def draw_noise(shape: Sequence[int], seeds: Sequence[int]) -> Float[Tensor, "b ..."]:
    """Unit Gaussian noise, one clip of `shape` a seed, drawn on the CPU: neither batch, order nor
    device changes a clip.

    Raises ValueError for a seed outside 0 .. 2^63 - 1.
    """
    return torch.stack([torch.randn(*shape, generator=seeded(seed, stream=0)) for seed in seeds])


def seeded(seed: int, stream: int) -> torch.Generator:
    """A generator of its own for each seed and stream; torch's CPU generator reads 32 bits only, so
    the upper half is mixed in.
    """
    if not 0 <= seed < 2**63:
        raise ValueError(
            f"expected a seed from 0 to 2**63 - 1, got {seed}, choose one in that range"
        )
    mixed = (seed & 0xFFFFFFFF) ^ (seed >> 32) * 0x9E3779B1 ^ stream * 0x85EBCA6B
    return torch.Generator().manual_seed(mixed & 0xFFFFFFFF)


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
