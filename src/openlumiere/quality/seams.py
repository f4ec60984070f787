"""Seam meter: does a clip jump where windows or tiles meet? (Paper, Temporal MultiDiffusion, Fig.
14.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import numpy as np

Axis: TypeAlias = Literal["frames", "height", "width"]


def mean_ratio(
    clips: Sequence[np.ndarray],
    borders: Sequence[int],
    axis: Axis = "frames",
    sources: Sequence[np.ndarray] | None = None,
) -> float:
    """Mean error between neighbours at the borders over that elsewhere, of clips of one size: about
    1 without seams, above 1 with them.

    Clips are uint8 `[f, h, w, 3]`; a border b lies between frames (or rows, or columns) b - 1 and
    b, in pixels of these clips (`diffusion.multidiffusion.borders`). Clips alike everywhere read 1,
    such that change at borders alone infinity. Motion and edges of the content are errors too: read
    it beside the ratio of another method, or give the `sources`, from which differences are then
    taken. Raises ValueError for other arrays, and for borders outside the clips, none, or so many
    that there is no elsewhere.
    """
    references = list(sources) if sources else [None] * len(clips)
    each = [
        neighbour_errors(clip, axis, reference)
        for clip, reference in zip(clips, references, strict=True)
    ]
    errors = np.mean(each, axis=0)
    at_border = np.zeros(len(errors), dtype=bool)
    at_border[_check_borders(borders, len(errors), axis)] = True
    if at_border.all():
        raise ValueError(
            f"expected {axis} without a border, got borders between all {len(errors) + 1},"
            " measure a longer clip"
        )
    border, elsewhere = errors[at_border].mean(), errors[~at_border].mean()
    if elsewhere == 0:
        return 1.0 if border == 0 else float("inf")
    return float(border / elsewhere)


def neighbour_errors(
    frames: np.ndarray, axis: Axis = "frames", source: np.ndarray | None = None
) -> np.ndarray:
    """Mean absolute difference, in levels of 255, of neighbours along the axis: float64 `[n - 1]`.
    Reads two slices at a time.

    With a `source` of the same shape, it is the difference of what `frames` has beyond it: what
    changes in both alike is no error.
    """
    if axis not in get_args(Axis):
        raise ValueError(
            f"expected an axis of {', '.join(get_args(Axis))}, got {axis!r}, choose one of these"
        )
    for clip in (frames,) if source is None else (frames, source):
        if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape != frames.shape:
            raise ValueError(
                f"expected uint8 frames [f, h, w, 3], alike in size, got {clip.dtype}"
                f" {clip.shape}, pass Clip.frames"
            )
    slices = (
        _slices(frames, axis)
        if source is None
        else map(np.subtract, _slices(frames, axis), _slices(source, axis))
    )
    return np.array([np.abs(one - other).mean() for one, other in pairwise(slices)])


def _slices(frames: np.ndarray, axis: Axis) -> Iterator[np.ndarray]:
    """Frames, rows or columns, one at a time, in levels that may be subtracted."""
    return (part.astype(np.int16) for part in np.moveaxis(frames, get_args(Axis).index(axis), 0))


def _check_borders(borders: Sequence[int], last: int, axis: Axis) -> np.ndarray:
    """Borders as positions among the errors."""
    if len(borders) == 0 or min(borders) < 1 or max(borders) > last:
        raise ValueError(
            f"expected borders from 1 to {last}, got {list(borders)}, give the {axis} where"
            " windows meet"
        )
    return np.asarray(borders) - 1
