"""The mark in the pixels: put in, and found again with its place, its size and its times.

The same picture is added to every frame, so the mark has no flicker of its own, a single frame carries all of it, and cuts, drops
and other frame rates leave it. The detector looks for the keyed waves, at every shift, many scales and mirrored, and its p-value
needs no assumption on the footage: for phases drawn at random Hoeffding's bound holds for any picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from einops import reduce
from jaxtyping import Complex, Float, UInt8

from openlumiere.provenance.payload import Payload, decode
from openlumiere.provenance.pattern import ACROSS, CANONICAL_SIDE, DATA, DOWN, PUBLIC_KEY, SYNC, TILE, pattern, scale_of, secret, spectrum
from openlumiere.provenance.payload import CODED_BITS

FALSE_ALARM = 1e-6  # a clip is called marked below this p-value
CHUNK = 16  # frames marked at a time
WINDOW, MOST_WINDOWS, LOOKED_AT = 16, 64, 8  # frames a window at least, windows a clip, frames looked at in a window
SPAN = 8  # windows searched together
SCALES = 1.01 ** np.arange(-70, 81)  # relative to the file's size: from a half (borders around it) to 2.2 (a crop to 0.45)
FINER = 1 + np.arange(-4, 5) * 0.002
FINE_GRID = 4 * TILE


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What was found in a clip.

    `p_value`: how probable so good a fit is in footage that does not know the key; `found` where it is below 1e-6. `payload`: None
    where nothing was found or the check of its 64 `bits` fails. `intervals`: [first, last + 1) frames where the mark is seen.
    `scale`: pixels a canonical pixel; `offset`: down and across, in canonical pixels of the tile, for the picture as mirrored
    by `flipped`. `score`: standard deviations of the fit.
    """

    p_value: float
    score: float
    payload: Payload | None = None
    bits: np.ndarray | None = field(default=None, repr=False)
    intervals: list[tuple[int, int]] = field(default_factory=list)
    scale: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)
    flipped: bool = False

    @property
    def found(self) -> bool:
        return self.p_value < FALSE_ALARM


@dataclass(frozen=True)
class Place:
    """How a file lies over the mark: `Detection` explains the fields."""

    scale: float
    offset: tuple[float, float] = (0.0, 0.0)
    flipped: bool = False


def embed(frames: UInt8[np.ndarray, "f h w 3"], payload: Payload, key: bytes = PUBLIC_KEY) -> UInt8[np.ndarray, "f h w 3"]:
    """Marked frames: each pixel moves by at most 5 levels, by 44 dB all together; frames can be given a few at a time."""
    added = pattern(payload, key, *frames.shape[1:3])[:, :, None]
    marked = np.empty_like(frames)
    for first in range(0, len(frames), CHUNK):
        part = frames[first : first + CHUNK].astype(np.int16)
        marked[first : first + CHUNK] = np.clip(part + added, 0, 255)
    return marked


def detect(frames: UInt8[np.ndarray, "f h w 3"], key: bytes = PUBLIC_KEY) -> Detection:
    """Look for the mark of `key` in frames of any size and number; a long clip is looked at in 64 windows, 8 frames each."""
    edges, residuals = windows(frames)
    written = Place(scale_of(*residuals.shape[1:]))
    detection = as_written(residuals, written, key)
    if not detection.found:
        detection = min(detection, searched(residuals, written, key), key=lambda one: one.p_value)
    if not detection.found:
        return detection
    place = refined(residuals, Place(detection.scale, detection.offset, detection.flipped), key)
    return read(replace(detection, scale=place.scale * shrink_of(frames), offset=place.offset), residuals, place, edges, key)


def windows(frames: UInt8[np.ndarray, "f h w 3"]) -> tuple[list[int], Float[np.ndarray, "n h w"]]:
    """First frames of the windows (and the end), and each window's mean residual."""
    length = max(WINDOW, math.ceil(len(frames) / MOST_WINDOWS))
    edges = [*range(0, max(len(frames) - length // 2, 1), length), len(frames)]
    spans = zip(edges, edges[1:], strict=False)
    return edges, np.stack([mean_residual(frames, np.unique(np.linspace(a, b - 1, LOOKED_AT).round().astype(int))) for a, b in spans])


def mean_residual(frames: UInt8[np.ndarray, "f h w 3"], chosen: np.ndarray) -> Float[np.ndarray, "h w"]:
    """What is left of the luma of these frames without its slow part, bounded, less where the picture is busy."""
    shrink = shrink_of(frames)
    total = np.float32(0)
    for index in chosen:
        luma = frames[index].astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32)
        total = total + residual(shrunk(luma, shrink))
    return total / len(chosen)


def shrink_of(frames: np.ndarray) -> int:
    """Large frames are averaged over squares of this side, down to 256 to 511 pixels."""
    return max(1, min(frames.shape[1:3]) // CANONICAL_SIDE)


def shrunk(luma: Float[np.ndarray, "h w"], side: int) -> Float[np.ndarray, "H W"]:
    height, width = (length // side * side for length in luma.shape)
    return luma if side == 1 else reduce(luma[:height, :width], "(h a) (w b) -> h w", "mean", a=side, b=side)


def residual(luma: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    left = luma - box_mean(box_mean(luma, 7), 7)
    busy = box_mean(np.minimum(left * left, 400), 2)
    return np.clip(left, -6, 6) / (1 + (busy / 12) ** 2)


def box_mean(picture: Float[np.ndarray, "h w"], radius: int) -> Float[np.ndarray, "h w"]:
    """Mean over squares of `2 radius + 1` pixels, edges repeated."""
    for axis in (0, 1):
        sides = [(radius + 1, radius) if axis == one else (0, 0) for one in (0, 1)]
        sums = np.cumsum(np.pad(picture, sides, "edge"), axis, dtype=np.float64)
        many = 2 * radius + 1
        picture = ((sums[many:] - sums[:-many]) if axis == 0 else (sums[:, many:] - sums[:, :-many])) / many
    return picture.astype(np.float32)
