"""Masks that are painted: from the editor's canvas to a frame and back, and between key frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from openlumiere.media.alpha import on_chequerboard

CANVAS = 512  # pixels a side of the editor
PAINT = (230, 60, 90)  # the brush's colour
THICK = 255

Keys = Mapping[int, np.ndarray]
"""Masks, bool [h, w], by frame."""
Shape = Literal["rectangle", "ellipse"]
Box = tuple[float, float, float, float]


def placed(width: int, height: int) -> tuple[int, int, int, int]:
    """Where a frame lies on the canvas: left, top, width and height in pixels."""
    scale = CANVAS / max(width, height)
    shown_width = max(1, round(width * scale))
    shown_height = max(1, round(height * scale))
    return (CANVAS - shown_width) // 2, (CANVAS - shown_height) // 2, shown_width, shown_height


def background(frame: np.ndarray) -> np.ndarray:
    """A frame [h, w, 3 or 4] as the editor shows it: RGBA [512, 512, 4], clear around the frame."""
    picture = on_chequerboard(frame[None])[0] if frame.shape[2] == 4 else frame
    left, top, width, height = placed(frame.shape[1], frame.shape[0])
    canvas = np.zeros((CANVAS, CANVAS, 4), np.uint8)
    enlarged = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
    canvas[top : top + height, left : left + width, :3] = np.asarray(enlarged)
    canvas[top : top + height, left : left + width, 3] = 255
    return canvas


def layer(mask: np.ndarray) -> np.ndarray:
    """A mask, bool [h, w], as the editor's layer: RGBA [512, 512, 4]."""
    left, top, width, height = placed(mask.shape[1], mask.shape[0])
    canvas = np.zeros((CANVAS, CANVAS, 4), np.uint8)
    enlarged = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    inside = np.asarray(enlarged)
    canvas[top : top + height, left : left + width][inside] = (*PAINT, THICK)
    return canvas


def painted(value: Any, size: tuple[int, int]) -> np.ndarray:
    """What is painted in the editor, as a mask, bool [h, w], of a frame of `size` (width, height).

    A pixel is inside where the paint covers its centre.
    """
    width, height = size
    layers = (value or {}).get("layers") or []
    if not layers or layers[0] is None:
        return np.zeros((height, width), bool)
    alpha = np.asarray(layers[0])[..., 3]
    scale = alpha.shape[0] / CANVAS  # the browser may answer at another density
    left, top, wide, high = (round(each * scale) for each in placed(width, height))
    rows = top + ((np.arange(height) + 0.5) * high / height).astype(int)
    columns = left + ((np.arange(width) + 0.5) * wide / width).astype(int)
    return alpha[np.ix_(rows, columns)] > 0


def with_shape(mask: np.ndarray, shape: Shape, box: Box) -> np.ndarray:
    """The mask with a rectangle or an ellipse in `box`: left, top, right, bottom in percent.

    Raises ValueError for a box without an inside.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= 100 and 0 <= top < bottom <= 100):
        told = ", ".join(f"{each:g}" for each in box)
        raise ValueError(
            f"region: expected left below right and top below bottom, 0 to 100, got {told}, "
            "swap or change them"
        )
    height, width = mask.shape
    picture = Image.new("L", (width, height))
    corners = (left * width, top * height, right * width, bottom * height)
    x0, y0, x1, y1 = (round(each / 100) for each in corners)
    draw = ImageDraw.Draw(picture)
    drawn = draw.rectangle if shape == "rectangle" else draw.ellipse
    drawn((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), fill=255)
    return mask | (np.asarray(picture) > 0)


def over_time(keys: Keys, count: int) -> np.ndarray:
    """A mask, bool [count, h, w], from masks at some frames; of one alone its own, [h, w].

    Before the first and after the last they rest; between two their signed distances to the border
    are mixed, so that an outline moves evenly (shape-based interpolation, Raya and Udupa 1990). An
    empty one ends where it stands: the one before is held up to it.
    """
    frames = sorted(keys)
    if len(frames) == 1:
        return np.asarray(keys[frames[0]])
    return np.stack([mask_at(keys, frame) for frame in range(count)])


def mask_at(keys: Keys, frame: int) -> np.ndarray:
    """The mask of one frame, between those of the key frames before and after it."""
    frames = sorted(keys)
    before = max((each for each in frames if each <= frame), default=frames[0])
    after = min((each for each in frames if each >= frame), default=frames[-1])
    first = keys[before]
    if before == after or not first.any() or not keys[after].any():
        return first
    share = (frame - before) / (after - before)
    return (1 - share) * distances(first) + share * distances(keys[after]) > 0


def distances(mask: np.ndarray) -> np.ndarray:
    """Pixels to the border, positive inside, float32 [h, w]."""
    import cv2

    if mask.all():
        return np.full(mask.shape, float(max(mask.shape)), np.float32)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(inside - outside, np.float32)
