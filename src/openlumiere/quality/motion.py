"""Where things of one frame are in another, by OpenCV's DIS optical flow (Kroeger et al. 2016), and
frames brought there. Settings are our choice.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8

Picture = UInt8[np.ndarray, "h w 3"]
Flow = Float[np.ndarray, "h w 2"]

LEAST = 24  # pixels of the shorter side; in smaller frames nothing is followed
LARGEST = 480  # of the shorter side; motion of larger frames is read from smaller copies
COARSE = 4  # pixels a side of the places over which motion is evened, so that no speck bends it


def flow(here: Picture, there: Picture, start: Flow | None = None) -> Flow:
    """For each pixel of `here`, how far across and down what it shows lies in `there`.

    `start` is where to look first: of a frame beside `here`, it finds what has moved far.
    """
    height, width = here.shape[:2]
    if min(height, width) < LEAST:
        return np.zeros((height, width, 2), np.float32)
    times = min(1.0, LARGEST / min(height, width))
    size = (round(width * times), round(height * times))
    first, second = (grey(picture, size) for picture in (here, there))
    follow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    follow.setUseSpatialPropagation(False)  # else answers depend on the number of threads
    begun = np.zeros((*first.shape, 2), np.float32)
    if start is not None:
        begun[:] = cv2.resize(start, size, interpolation=cv2.INTER_AREA) * np.float32(times)
    found = evened(np.asarray(follow.calc(first, second, begun), np.float32))
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR) / np.float32(times)


def grey(picture: Picture, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """Luma at another size (width, height)."""
    return cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)


def evened(found: Flow) -> Flow:
    """The median of motion around, over some pixels."""
    height, width = found.shape[:2]
    small = cv2.resize(
        found, (-(-width // COARSE), -(-height // COARSE)), interpolation=cv2.INTER_AREA
    )
    middle = np.stack([cv2.medianBlur(small[..., axis].copy(), 5) for axis in (0, 1)], axis=-1)
    return cv2.resize(middle, (width, height), interpolation=cv2.INTER_LINEAR)


def moved(
    there: Shaped[np.ndarray, "h w c"], by: Flow, border: int = cv2.BORDER_REPLICATE
) -> Shaped[np.ndarray, "h w c"]:
    """What each pixel shows, read `by` pixels across and down from `there`; edges are repeated,
    unless another of OpenCV's borders is named.
    """
    y, x = np.mgrid[: by.shape[0], : by.shape[1]].astype(np.float32)
    return cv2.remap(there, x + by[..., 0], y + by[..., 1], cv2.INTER_LINEAR, borderMode=border)


def halves(before: Picture, after: Picture, share: float = 0.5) -> tuple[Picture, Picture]:
    """Two guesses at a frame that lies at `share` of the way: from the one before, and from the one
    after.
    """
    way = flow(before, after)
    return moved(before, -share * way), moved(after, (1 - share) * way)


def between(before: Picture, after: Picture, share: float = 0.5) -> Picture:
    """A frame that lies at `share` of the way."""
    first, second = halves(before, after, share)
    mixed = (1 - share) * first.astype(np.float32) + share * second
    return np.rint(mixed).astype(np.uint8)
