"""What lies over a clip and rests while the picture moves: scratches and logos. All numbers are our
choice, in levels of 255.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

SCRATCH, ROWS, SHARE = (
    12,
    0.8,
    0.5,
)  # levels from both sides, in this share of rows, in this share of frames
LOOKED_AT = 24  # frames that logos are looked for in
EDGE = 10.0  # levels a pixel
RESTS = 0.7  # share of an edge's usual height that its median over time, signs and all, keeps
LEAST_MOVING = 0.7  # share of edges that do not rest
LEAST_LOGO, MOST_LOGO = 1e-3, 0.1  # share of a frame
CLOSE, RIM = 7, 3  # pixels: gaps that are closed, and what is added around

Frames = UInt8[np.ndarray, "f h w 3"]
Mask = Bool[np.ndarray, "h w"]


def brightness(frames: Frames) -> Float[np.ndarray, "f h w"]:
    """Mean of the three channels, in levels."""
    return frames.mean(axis=3, dtype=np.float32)


def scratches(frames: Frames) -> Mask:
    """Columns, up to three wide, lighter or darker than both sides over most of the height in most
    frames.
    """
    light = brightness(frames)
    columns = np.zeros(light.shape[2], bool)
    for reach in (1, 2):
        left, right = light[:, :, : -2 * reach], light[:, :, 2 * reach :]
        here = light[:, :, reach:-reach]
        lighter = here - np.maximum(left, right) > SCRATCH
        darker = np.minimum(left, right) - here > SCRATCH
        thin = np.maximum(often(lighter), often(darker)) > SHARE
        columns[reach:-reach] |= thin
    wide = np.convolve(columns, np.ones(3), mode="same") > 0 if columns.any() else columns
    return np.broadcast_to(wide, light.shape[1:])


def often(there: Bool[np.ndarray, "f h w"]) -> Float[np.ndarray, " w"]:
    """In which share of the frames most rows of a column are so, or of it and the next: scratches
    wander.
    """
    rows = (there.mean(axis=1) > ROWS).astype(np.float32)
    beside = np.maximum(rows, np.pad(rows[:, 1:], ((0, 0), (0, 1))))
    return np.where(rows.any(axis=0), beside.mean(axis=0), 0)


def logos(frames: Frames, scratched: Mask) -> Mask:
    """Edges that rest where most edges move, and what they enclose. A median over time of signed
    differences keeps what rests, also where it is seen through (as Dekel et al. 2017, section 3.1).
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, LOOKED_AT).round().astype(int))
    light = brightness(frames[chosen])
    rests, usual = np.zeros(light.shape[1:]), np.zeros(light.shape[1:])
    for axis in (1, 2):
        steps = np.diff(light, axis=axis, append=np.take(light, [-1], axis=axis))
        rests = np.hypot(rests, np.median(steps, axis=0))
        usual = np.hypot(usual, np.median(np.abs(steps), axis=0))
    edges = (usual > EDGE) & ~scratched
    resting = edges & (rests > RESTS * usual)
    none = np.zeros(resting.shape, bool)
    if not resting.any() or 1 - resting.sum() / max(1, edges.sum()) < LEAST_MOVING:
        resting = sharp(rests, ~scratched)
    found = enclosed(resting)
    return found if LEAST_LOGO < found.mean() < MOST_LOGO else none


def sharp(rests: Float[np.ndarray, "h w"], free: Mask) -> Mask:
    """Where all rests: edges in a corner that are sharper by far than any elsewhere."""
    height, width = rests.shape
    corner = np.zeros(rests.shape, bool)
    corner[np.ix_(ends(height), ends(width))] = True
    elsewhere = np.quantile(rests[~corner & free], 0.999)
    return corner & free & (rests > max(4 * EDGE, 2 * elsewhere))


def ends(length: int) -> Bool[np.ndarray, " n"]:
    """The outer thirds of a side."""
    place = np.arange(length)
    return (place < length / 3) | (place >= length - length / 3)


def enclosed(resting: Mask) -> Mask:
    """Edges with what lies between them, where they are many enough side by side."""
    square = np.ones((CLOSE, CLOSE), np.uint8)
    closed = cv2.morphologyEx(resting.astype(np.uint8), cv2.MORPH_CLOSE, square)
    closed = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.dilate(closed, np.ones((2 * RIM + 1,) * 2, np.uint8)) > 0
