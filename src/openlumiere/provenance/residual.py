"""What is left of a clip when its content is taken away, as far as that can be done: a picture a
window of frames.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from einops import reduce
from jaxtyping import Float, UInt8

from openlumiere.provenance.pattern import CANONICAL_SIDE

WINDOW = 16  # frames of one at least
MOST_WINDOWS = 64  # of a clip
LOOKED_AT = 8  # frames of a window
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
SLOW = 7  # pixels: radius of the mean that is taken away
NEAR = 2  # pixels: radius of the neighbourhood that shows busy places
LOUDEST = 40  # levels: what lies further out is an edge
MOST_BUSY = 3000  # square levels: more counts as this
BUSY = 100  # square levels at which surroundings halve the weight, since noise grows with texture

Residuals = Float[np.ndarray, "n h w"]


def edges(frames: int) -> list[int]:
    """First frame of each window, and the end: windows of 16 frames (the last of 8 to 23), of more
    where a clip has over 1024.
    """
    length = max(WINDOW, math.ceil(frames / MOST_WINDOWS))
    return [*range(0, max(frames - length // 2, 1), length), frames]


def residuals(frames: UInt8[np.ndarray, "f h w 3"]) -> Residuals:
    """Each window's mean residual, from eight of its frames."""
    bounds = edges(len(frames))
    chosen = (
        np.unique(np.linspace(a, b - 1, LOOKED_AT).round().astype(int)) for a, b in pairwise(bounds)
    )
    side = shrink(*frames.shape[1:3])
    return np.stack(
        [np.mean([residual(shrunk(frames[k] @ LUMA, side)) for k in few], axis=0) for few in chosen]
    )


def shrink(height: int, width: int) -> int:
    """Large frames are averaged over squares of this side: the shorter side becomes 256 to 511
    pixels.
    """
    return max(1, min(height, width) // CANONICAL_SIDE)


def shrunk(luma: Float[np.ndarray, "h w"], side: int) -> Float[np.ndarray, "H W"]:
    """Means over squares of this side; what is over at the edges is left out."""
    height, width = (length // side * side for length in luma.shape)
    return (
        luma
        if side == 1
        else reduce(luma[:height, :width], "(h a) (w b) -> h w", "mean", a=side, b=side)
    )


def residual(luma: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Luma without its slow part, bounded, and the less the busier its surroundings are: texture
    carries more of the mark, and more that is not the mark.
    """
    left = luma - box_mean(box_mean(luma, SLOW), SLOW)
    busy = box_mean(np.minimum(left * left, MOST_BUSY), NEAR)
    return np.clip(left, -LOUDEST, LOUDEST) / (1 + busy / BUSY)


def box_mean(picture: Float[np.ndarray, "h w"], radius: int) -> Float[np.ndarray, "h w"]:
    """Means over squares of `2 radius + 1` pixels, edges repeated."""
    return _row_mean(_row_mean(picture, radius).T, radius).T


def _row_mean(picture: Float[np.ndarray, "h w"], radius: int) -> Float[np.ndarray, "h w"]:
    many = 2 * radius + 1
    sums = np.cumsum(np.pad(picture, ((0, 0), (radius + 1, radius)), "edge"), axis=1)
    return (sums[:, many:] - sums[:, :-many]) / many
