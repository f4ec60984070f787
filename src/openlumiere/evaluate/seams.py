"""Seam meter: does a clip jump where windows or tiles meet? (Paper, Temporal MultiDiffusion, Fig. 14.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np

Axis: TypeAlias = Literal["frames", "height", "width"]


def seam_ratio(frames: np.ndarray, borders: Sequence[int], axis: Axis = "frames") -> float:
    """Error between neighbours at the borders over that elsewhere: about 1 without seams, above 1 with them.

    `frames` is uint8 `[f, h, w, 3]`; a border b lies between frames (or rows, or columns) b - 1 and b, in pixels of this clip
    (`diffusion.multidiffusion.borders`). A clip alike everywhere reads 1, one that changes at borders alone reads infinity.
    Motion and edges of the content are errors too, so read it beside the ratio of the source or of another method.
    Raises ValueError for another array, and for borders outside the clip, none, or so many that there is no elsewhere.
    """
    errors = neighbour_errors(frames, axis)
    at_border = np.zeros(len(errors), dtype=bool)
    at_border[_check_borders(borders, len(errors), axis)] = True
    if at_border.all():
        raise ValueError(f"expected {axis} without a border, got borders between all {len(errors) + 1}, measure a longer clip")
    border, elsewhere = errors[at_border].mean(), errors[~at_border].mean()
    if elsewhere == 0:
        return 1.0 if border == 0 else float("inf")
    return float(border / elsewhere)


def neighbour_errors(frames: np.ndarray, axis: Axis = "frames") -> np.ndarray:
    """Mean absolute difference, in levels of 255, of neighbours along the axis: float64 `[n - 1]`. Reads two slices at a time."""
    if axis not in get_args(Axis):
        raise ValueError(f"expected an axis of {', '.join(get_args(Axis))}, got {axis!r}, choose one of these")
    if frames.dtype != np.uint8 or frames.ndim != 4:
        raise ValueError(f"expected uint8 frames [f, h, w, 3], got {frames.dtype} {frames.shape}, pass Clip.frames")
    slices = np.moveaxis(frames, get_args(Axis).index(axis), 0)
    return np.array([np.abs(one.astype(np.int16) - other).mean() for one, other in zip(slices[:-1], slices[1:])])


def _check_borders(borders: Sequence[int], last: int, axis: Axis) -> np.ndarray:
    """Borders as positions among the errors."""
    if len(borders) == 0 or min(borders) < 1 or max(borders) > last:
        raise ValueError(f"expected borders from 1 to {last}, got {list(borders)}, give the {axis} where windows meet")
    return np.asarray(borders) - 1
