"""How a decoded frame lies and what shape its pixels have: what a file says of its geometry."""

import struct
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import Type

from openlumiere.media.limits import MediaError

UNIT = 2**16  # the matrix is in 16.16 fixed point
SLACK = 0.02  # how far from a right angle a matrix may be
OFFSETS = (0, 1, 3, 4)  # a, b, c, d among its nine numbers
WIDEST_PIXEL = 8  # a pixel more oblong than this is taken for a mistake

Matrix = tuple[int, int, int, int]

AS_STORED: Matrix = (1, 0, 0, 1)


def display_matrix(frame: av.VideoFrame) -> Matrix:
    """a, b, c, d in -1, 0, 1: a stored pixel (x, y), y downwards, is shown at (a x + c y,
    b x + d y). Raises `MediaError` where the file asks for another angle than a right one.
    """
    stated = next((side for side in iter(frame.side_data) if is_matrix(side)), None)
    if stated is None:
        return AS_STORED
    numbers = struct.unpack("<9i", bytes(memoryview(cast(bytes, stated)))[:36])
    parts = [numbers[place] / UNIT for place in OFFSETS]
    size = max(abs(part) for part in parts) or 1.0
    whole = [round(part / size) for part in parts]
    near = all(
        abs(part / size - nearest) < SLACK for part, nearest in zip(parts, whole, strict=True)
    )
    if not near or abs(whole[0] * whole[3] - whole[1] * whole[2]) != 1:
        got = f"a picture turned by {frame.rotation:g} degrees"
        raise MediaError("a turn by quarters", got, "turn it in a video editor first")
    return (whole[0], whole[1], whole[2], whole[3])


def is_matrix(side: Any) -> bool:
    """Whether a piece of side data is a display matrix."""
    return bool(side.type == Type.DISPLAYMATRIX)


def upright(picture: np.ndarray, matrix: Matrix) -> np.ndarray:
    """The picture [h, w, c] as shown: one of the eight turns and mirror images."""
    a, b, c, d = matrix
    if b or c:
        picture = picture.swapaxes(0, 1)
    if a + c < 0:
        picture = picture[:, ::-1]
    if b + d < 0:
        picture = picture[::-1]
    return picture


def shown_size(width: int, height: int, shape: Fraction | None) -> tuple[int, int]:
    """Width and height in square pixels of a picture whose pixels have this `shape`, width to
    height: the side that is too short grows. A shape of 0, or one beyond 8 to 1, counts for none.
    """
    if not shape or shape <= 0 or not Fraction(1, WIDEST_PIXEL) <= shape <= WIDEST_PIXEL:
        return width, height
    if shape > 1:
        return round(width * shape), height
    return width, round(height / shape)
