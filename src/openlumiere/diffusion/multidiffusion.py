"""MultiDiffusion: overlapping windows in time, tiles in space, or both, denoised one by one and
made to agree at every step.

Paper, "Super-resolution and Temporal MultiDiffusion": the clip J is cut into overlapping windows
J_i, and each step takes `argmin_J' sum_i ||J'|_i - Phi(J_i)||^2`, which is the average of what the
windows say of each place. Tiles in space are the same rule on the other axes (Bar-Tal et al. 2023,
"MultiDiffusion"); tapered weights weigh each term of the sum (our choice).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeVar

import diffusers
import torch
from accelerate import PartialState
from accelerate.utils import gather, pad_across_processes
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Condition, Denoiser, Level, join, restart
from openlumiere.diffusion.process import VariancePreserving, VariancePreservingSolver

Part = TypeVar("Part")


class Window(NamedTuple):
    """A box of the clip: `clip[..., *window]`."""

    frames: slice
    rows: slice
    columns: slice


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a clip is cut; sizes count frames and places of the codec's space, None leaves an axis
    whole.

    `overlap` frames are shared by neighbours in time (2, the paper's), `tile_overlap` places by
    neighbours in space (our choice). The last window of an axis is shifted back to end with the
    clip (our choice), so that all windows are of one shape and share the overlap or more. Their
    weights are uniform (the paper's), or `tapered`: falling linearly over the overlap. `batch`
    windows are denoised at once, each for all clips of the batch. Raises ValueError for sizes that
    cannot be.
    """

    frames: int | None = None
    height: int | None = None
    width: int | None = None
    overlap: int = 2
    tile_overlap: int = 8
    tapered: bool = False
    batch: int = 1

    def __post_init__(self) -> None:
        for name, length, overlap in zip(
            ("frames", "height", "width"), self.lengths, self.overlaps
        ):
            if overlap < 0 or (length is not None and length <= overlap):
                raise ValueError(
                    f"expected {name} above an overlap of 0 or more, got {length} and {overlap}, "
                    "make windows longer"
                )
        if self.batch < 1:
            raise ValueError(
                f"expected at least 1 window at once, got {self.batch}, use 1 for the least memory"
            )

    @property
    def lengths(self) -> tuple[int | None, int | None, int | None]:
        """Of frames, rows and columns; None is the whole axis."""
        return self.frames, self.height, self.width

    @property
    def overlaps(self) -> tuple[int, int, int]:
        """Of frames, rows and columns."""
        return self.overlap, self.tile_overlap, self.tile_overlap

    def every(self, spacing: int) -> Windows:
        """Windows over as much time of a clip of which every `spacing`-th frame is left."""
        if self.frames is None:
            return self
        overlap = -(-self.overlap // spacing)
        return replace(self, frames=max(overlap + 1, -(-self.frames // spacing)), overlap=overlap)

    def over(self, size: Sequence[int]) -> list[Window]:
        """The windows of a clip of this size (f, h, w), in time first; they cover it and never
        leave it.
        """
        return [
            Window(*box)
            for box in itertools.product(*map(cut_axis, size, self.lengths, self.overlaps))
        ]

    def weigh(self, size: Sequence[int]) -> Float[Tensor, "f h w"]:
        """The weight of each place of a window of this size (f, h, w), in (0, 1]."""
        frames, rows, columns = (
            _taper(length, overlap if self.tapered else 0)
            for length, overlap in zip(size, self.overlaps)
        )
        return frames[:, None, None] * rows[:, None] * columns


def cut_axis(size: int, length: int | None, overlap: int) -> list[slice]:
    """Windows of `length` that share `overlap` places or more; one window where the axis is no
    longer than that.
    """
    if length is None or size <= length:
        return [slice(0, size)]
    starts = [*range(0, size - length, length - overlap), size - length]
    return [slice(start, start + length) for start in starts]


def borders(size: int, length: int | None, overlap: int) -> list[int]:
    """Places b of an axis where other windows cover b than b - 1; times the codec's factor in
    pixels. See `quality.seams`.
    """
    windows = cut_axis(size, length, overlap)
    return sorted(
        {window.start for window in windows[1:]} | {window.stop for window in windows[:-1]}
    )


def _taper(length: int, overlap: int) -> Tensor:
    """1 in the middle, falling in equal steps over `overlap` places to either end, where it is
    still above 0.
    """
    place = torch.arange(1.0, length + 1)
    return torch.minimum(place, place.flip(0)).clamp(max=overlap + 1) / (overlap + 1)


def multidiffuse(
    denoiser: Denoiser, windows: Windows, *, processes: PartialState | None = None
) -> Denoiser:
    """`denoiser` run window by window, the predictions averaged; a clip that fits one window is one
    plain call.

    Given `processes`, an accelerate `PartialState`, its processes share the windows: all must be
    called alike, and all get the same result, bit by bit that of one process. Guidance commutes
    with windows and takes less memory inside, `multidiffuse(guided(net))`; `clipped` and rescaled
    guidance look at the whole clip when outside, at a window when inside. Raises ValueError for a
    condition of another size.
    """

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        layout = windows.over(noisy.shape[2:])
        if len(layout) == 1:
            return denoiser(noisy, level, condition)
        condition.check_size(noisy.shape[2:])
        weight = windows.weigh(noisy[..., *layout[0]].shape[2:])
        batches = _batches(layout, condition.frame_times, windows.batch)

        def denoise_batch(batch: Sequence[Window]) -> Tensor:
            return denoiser(*_cut_all(noisy, level, condition, batch))

        predictions = by_turns(batches, denoise_batch, processes)
        split = (
            (window, rows)
            for batch, rows in predictions
            for window, rows in zip(batch, rows.split(len(noisy)))
        )
        return average(split, noisy, weight)

    return denoise


def average(
    predictions: Iterable[tuple[Window, Tensor]],
    noisy: Float[Tensor, "b c f h w"],
    weight: Float[Tensor, "wf wh ww"],
) -> Float[Tensor, "b c f h w"]:
    """The J' that minimises `sum_i weight (J'|_i - prediction_i)^2`, of the shape of `noisy`;
    `weight` is that of each window.

    A running weighted mean (West 1979): each prediction moves the mean by its share of the weight
    so far. So predictions that agree are returned bit by bit, which a sum divided by its weights
    would not do, and one batch is held at a time.
    """
    mean = torch.zeros_like(noisy, dtype=torch.promote_types(noisy.dtype, torch.float32))
    weight = weight.to(mean)
    total = mean.new_zeros(noisy.shape[2:])
    for window, prediction in predictions:
        total[*window] += weight
        mean[..., *window].lerp_(prediction.to(mean), weight / total[*window])
    return mean


def _batches(layout: Sequence[Window], times: Tensor | None, limit: int) -> list[list[Window]]:
    """Windows to be denoised at once: at most `limit`, and all of the same frame times, since a
    condition has them but once.
    """
    batches: list[list[Window]] = []
    for window in layout:
        if batches and len(batches[-1]) < limit and _same_times(times, batches[-1][0], window):
            batches[-1].append(window)
        else:
            batches.append([window])
    return batches


def _same_times(times: Tensor | None, one: Window, other: Window) -> bool:
    if times is None:
        return True
    return torch.allclose(restart(times, one.frames), restart(times, other.frames), atol=1e-3)


def _cut_all(
    noisy: Tensor, level: Level, condition: Condition, batch: Sequence[Window]
) -> tuple[Tensor, Level, Condition]:
    """What the denoiser is called with: all clips of the first window, all of the second, ..."""
    return (
        torch.cat([noisy[..., *window] for window in batch]),
        level.repeat(len(batch)),
        join([condition.window(window) for window in batch]),
    )


def by_turns(
    parts: Sequence[Part], predict: Callable[[Part], Tensor], processes: PartialState | None
) -> Iterator[tuple[Part, Tensor]]:
    """Each part (a batch of windows, a window) with its prediction, in one order however many
    processes there are, a part each a turn.

    Those left without a part in the last turn repeat another's, since all must gather.
    """
    count = 1 if processes is None else processes.num_processes
    index = 0 if processes is None else processes.process_index
    for first in range(0, len(parts), count):
        turn = parts[first : first + count]
        prediction = predict(turn[min(index, len(turn) - 1)])
        everyone = prediction if count == 1 else gather(pad_across_processes(prediction))
        yield from zip(turn, everyone.chunk(count))


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
