"""Sampling a clip of any length in constant memory: each denoising step follows the one before at
the distance of a window.

The result is that of `sample` with `multidiffuse` (a test holds it), but no state is ever held for
more than a few windows a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import diffusers
import torch
from accelerate import PartialState
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Condition, Denoiser, Level
from openlumiere.diffusion.multidiffusion import Windows, by_turns, cut_axis
from openlumiere.diffusion.process import VariancePreserving, VariancePreservingSolver

ConditionFor = Callable[[slice], Condition]
Predict = Callable[[Tensor, slice], Tensor]


def stream(
    denoiser: Denoiser,
    process: VariancePreserving,
    noise: Iterable[Float[Tensor, "b c _ h w"]],
    frames: int,
    condition_for: ConditionFor,
    windows: Windows,
    *,
    steps: int,
    on_window: Callable[[int, slice], None] | None = None,
    processes: PartialState | None = None,
) -> Iterator[Float[Tensor, "b c _ h w"]]:
    """The finished clip, part by part, from noise that comes part by part.

    `condition_for(window)` answers the condition of these frames. The windows in time are those of
    `windows`; its tiles are the denoiser's affair (`multidiffuse(net, replace(windows,
    frames=None))`), averages over tiles and windows being averages over both. `on_window(step,
    window)` is called after each. Given `processes`, as for `multidiffuse`, neighbouring windows
    are denoised at once, one by each process, and each gets the whole clip, bit by bit that of one
    process. Needs a scheduler whose steps look at nothing but their own state: ValueError else.
    """
    if type(process.scheduler) is not diffusers.DDIMScheduler:
        raise ValueError(
            f"expected a DDIMScheduler for a stream, got {type(process.scheduler).__name__}, "
            "set scheduler to one"
        )
    layout = cut_axis(frames, windows.frames, windows.overlap)
    weight = windows.weigh((layout[0].stop, 1, 1))[:, 0, 0]
    solver = process.solver(None, steps=steps, like=torch.empty(0))
    state: Iterable[Tensor] = (solver.begin(part) for part in noise)
    for index in range(solver.calls):
        predict = partial(_predict, denoiser, solver.level(index), condition_for, on_window, index)
        state = _advance(solver, index, average_stream(state, layout, weight, predict, processes))
    return iter(state)


@torch.no_grad()
def _predict(
    denoiser: Denoiser,
    level: Level,
    condition_for: ConditionFor,
    on_window: Callable[[int, slice], None] | None,
    index: int,
    noisy: Tensor,
    window: slice,
) -> Tensor:
    clean = denoiser(noisy, level.to(noisy.device), condition_for(window))
    if on_window is not None:
        on_window(index, window)
    return clean


def _advance(
    solver: VariancePreservingSolver, index: int, parts: Iterable[tuple[Tensor, Tensor]]
) -> Iterator[Tensor]:
    """One step of the scheduler for each part as it is ready."""
    for noisy, clean in parts:
        yield solver.step(clean, noisy, noisy, index)


def average_stream(
    parts: Iterable[Float[Tensor, "b c _ h w"]],
    layout: Sequence[slice],
    weight: Float[Tensor, " n"],
    predict: Predict,
    processes: PartialState | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Noisy frames and their averaged predictions, given out as soon as no later window covers
    them.

    `layout` are windows in time in rising order, all as long as `weight`, that cover the clip which
    `parts` bring frame by frame. Each of `processes` (one, if not given) computes a window a turn,
    and as many windows are held.
    """
    source = iter(parts)
    begin = 0
    noisy = next(source)
    mean = torch.zeros_like(noisy)
    total = noisy.new_zeros(noisy.shape[2])
    count = 1 if processes is None else processes.num_processes
    turns = [layout[first : first + count] for first in range(0, len(layout), count)]
    for turn, following in pairwise([*turns, ()]):
        while begin + noisy.shape[2] < turn[-1].stop:
            noisy = torch.cat([noisy, next(source)], 2)
        missing = noisy.shape[2] - len(total)
        mean = torch.cat([mean, torch.zeros_like(noisy[:, :, :missing])], 2)
        total = torch.cat([total, total.new_zeros(missing)])
        cut = [(noisy[:, :, window.start - begin : window.stop - begin], window) for window in turn]
        for (_, window), prediction in by_turns(cut, lambda part: predict(*part), processes):
            here = slice(window.start - begin, window.stop - begin)
            total[here] += weight.to(total)
            mean[:, :, here].lerp_(
                prediction.to(mean), (weight.to(total) / total[here])[:, None, None]
            )
        done = (following[0].start if following else turn[-1].stop) - begin
        yield noisy[:, :, :done], mean[:, :, :done]
        begin += done
        noisy = noisy[:, :, done:]
        mean = mean[:, :, done:]
        total = total[done:]
