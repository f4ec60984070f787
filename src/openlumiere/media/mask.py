"""Masks: one rule for files, pictures, arrays and clips of what in them is inside.

Where alpha varies, what is opaque is inside. Else what is brighter is, by the two values that the
mask itself holds: black and white, 0 and 1, or any other pair. A mask of more values than two ends
is refused, for nobody can say where its border lies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageOps

from openlumiere.media.clip import Clip
from openlumiere.media.limits import MediaError

LUMINANCE = np.array([299, 587, 114], np.float32) / np.float32(1000)
UNCLEAR = 0.25  # share of values that may lie in the middle half between the two ends


def mask_of(value: Any) -> np.ndarray:
    """bool [f, h, w], True inside, of an array or a tensor ([h, w] or [f, h, w], both also with 1,
    3 or 4 channels last; any number type), of a PIL picture or of a clip.

    Raises `MediaError` for anything else, and for values that are not two.
    """
    values = as_numbers(value)
    if values.ndim in (3, 4) and values.shape[-1] in (1, 3, 4):
        values = without_channels(values)
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or 0 in values.shape:
        expected = "region: a mask [h, w] or [f, h, w]"
        raise MediaError(expected, f"shape {list(np.shape(value))}", "give one channel")
    return brighter(values)


def as_numbers(value: Any) -> np.ndarray:
    """An array of what holds pixels."""
    if isinstance(value, Clip):
        return value.frames
    if isinstance(value, Image.Image):
        upright = ImageOps.exif_transpose(value)
        clear = upright.mode in ("RGBA", "LA", "PA") or upright.has_transparency_data
        if clear or (upright.mode not in ("1", "L", "F") and not upright.mode.startswith("I")):
            upright = upright.convert("RGBA" if clear else "RGB")
        return np.asarray(upright)
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        expected = "region: a mask as an array, a tensor, a PIL picture or a clip"
        raise MediaError(expected, type(value).__name__, "pass one of these")
    return value


def without_channels(values: np.ndarray) -> np.ndarray:
    """Alpha where it varies, else luminance: [..., 1, 3 or 4] to [...]."""
    channels = values.shape[-1]
    if channels == 4 and values[..., 3].min() < values[..., 3].max():
        return values[..., 3]
    if channels == 1:
        return values[..., 0]
    return values[..., :3].astype(np.float32) @ LUMINANCE


def brighter(values: np.ndarray) -> np.ndarray:
    """Where values are nearer to the upper of their two ends; all or nothing where they are one."""
    values = values.astype(np.float64)
    low = values.min()
    high = values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise MediaError("region: a mask of finite values", "NaN or infinity", "use 0 and 1")
    if low == high:
        return np.full(values.shape, high > 0)
    place = (values - low) / (high - low)
    unclear = np.mean((place > 0.25) & (place < 0.75))
    if unclear > UNCLEAR:
        got = f"values from {low:g} to {high:g}, {unclear:.0%} of them in the middle"
        raise MediaError("region: a mask of two values", got, "draw it in black and white")
    return place > 0.5


def black_and_white(inside: np.ndarray) -> Clip:
    """A mask, bool [f, h, w], as a clip: white inside."""
    return Clip(np.repeat(inside[..., None].astype(np.uint8) * np.uint8(255), 3, axis=3))
