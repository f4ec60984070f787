"""One conversion of pictures for every way in: files, PIL images and arrays give the same pixels.

All come out as uint8 [h, w, 3], or [h, w, 4] with straight alpha where something is transparent, in
sRGB, upright. What had to be interpreted is said through `say`.
"""

import io
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from openlumiere.media.frames import transparent
from openlumiere.media.limits import MediaError

log = logging.getLogger("openlumiere")

Say = Callable[[str], None]

BYTE, WORD = 255, 65535
BRIGHT = 16.0  # a float picture above 1 and below this has highlights; above, it counts in 0..255
WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
ROUNDING = 2  # levels that going through a profile may cost
SRGB = ImageCms.createProfile("sRGB")


def picture_from(value: Any, name: str = "picture", say: Say = log.warning) -> np.ndarray:
    """uint8 [h, w, 3 or 4] of a PIL image, or of an array or tensor in any of the forms of
    `from_array`; `name` stands in errors.
    """
    if isinstance(value, Image.Image):
        return from_pillow(value, say)
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray):
        expected = f"{name}: a path, a PIL image or an array [h, w, 3]"
        raise MediaError(expected, type(value).__name__, "pass one of these")
    return from_array(value, name, say)


def from_array(values: np.ndarray, name: str = "picture", say: Say = log.warning) -> np.ndarray:
    """uint8 [h, w, 3 or 4] of an array [h, w], [h, w, 1] (grey), [h, w, 3] or [h, w, 4] (straight
    alpha): bool, integers or floats as `to_bytes` reads them.
    """
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        do = "move the channels last" if values.ndim == 3 else "pass one picture"
        raise MediaError(f"{name}: an array [h, w], [h, w, 3 or 4]", str(list(values.shape)), do)
    values = to_bytes(values, name, say)
    if values.shape[2] == 1:
        values = values.repeat(3, axis=2)
    return reduced(values)


def reduced(picture: np.ndarray) -> np.ndarray:
    """[h, w, 4] without its alpha where that is opaque everywhere."""
    return picture if transparent(picture) else np.ascontiguousarray(picture[..., :3])


def to_bytes(values: np.ndarray, name: str = "picture", say: Say = log.warning) -> np.ndarray:
    """Values of any number type as uint8, by one rule for files and arrays.

    bool: 0 and 255. Wider integers: as they are where none is above 255, else the upper 8 of 16
    (or, above 65535, of 32) bits. Floats: 0..1; where some are above 1, highlights are cut, unless
    they count to 255. Negative and non-finite values are refused.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(BYTE)
    if values.dtype.kind not in "iuf":
        raise MediaError(f"{name}: numbers", str(values.dtype), "convert it to uint8")
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        expected = f"{name}: finite values from 0 up"
        raise MediaError(expected, f"values from {low:g} to {high:g}", "scale it to 0..1 first")
    if values.dtype.kind == "f":
        return _floats_to_bytes(values, float(high), name, say)
    return _integers_to_bytes(values, int(high), name, say)


def _integers_to_bytes(values: np.ndarray, high: int, name: str, say: Say) -> np.ndarray:
    if high <= BYTE:
        say(f"{name}: {values.dtype} values up to {high}: read as 0..255")
        return values.astype(np.uint8)
    if high <= WORD:
        return (values >> 8).astype(np.uint8)
    say(f"{name}: {values.dtype} values up to {high}: read as 32 bits")
    return np.minimum(values.astype(np.int64) >> 24, BYTE).astype(np.uint8)


def _floats_to_bytes(values: np.ndarray, high: float, name: str, say: Say) -> np.ndarray:
    if high <= 1:
        return (values * BYTE).round().astype(np.uint8)
    if high < BRIGHT:
        say(f"{name}: values up to {high:g}: highlights above 1 are cut")
        return (values.clip(0, 1) * BYTE).round().astype(np.uint8)
    if high <= BYTE:
        say(f"{name}: values up to {high:g}: read as 0..255")
        return values.round().astype(np.uint8)
    expected = f"{name}: floats in 0..1 (or 0..255)"
    raise MediaError(expected, f"values up to {high:g}", "scale it to 0..1 first")


def from_pillow(picture: Image.Image, say: Say = log.warning) -> np.ndarray:
    """uint8 [h, w, 3 or 4] of a picture of any mode: turned as its EXIF data says, its colour
    profile applied, deep and float values as `to_bytes` reads them.
    """
    picture.load()
    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I") or upright.mode == "F":
        return from_array(np.asarray(upright), say=say)
    if upright.mode in WITH_ALPHA or upright.has_transparency_data:
        colour = upright.convert("RGBA")
        base = in_srgb(colour.convert("RGB"), profile, say)
        return reduced(np.dstack([np.asarray(base), np.asarray(colour.getchannel("A"))]))
    return np.asarray(in_srgb(upright, profile, say)).copy()


def in_srgb(picture: Image.Image, profile: bytes | None, say: Say) -> Image.Image:
    """The picture in sRGB (mode RGB), by the ICC `profile` embedded in its file, if any."""
    if not profile:
        return picture.convert("RGB")
    if picture.mode not in ("RGB", "L", "CMYK", "LAB"):
        picture = picture.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() == "GRAY":
            picture = picture.convert("L")
        made = ImageCms.profileToProfile(picture, source, SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        reason = str(error).strip() or type(error).__name__
        say(f"a colour profile that can't be applied is left out ({reason[:80]})")
        return picture.convert("RGB")
    plain = picture.convert("RGB")
    if made is None or _alike(made, plain):
        return plain
    return made


def _alike(one: Image.Image, other: Image.Image) -> bool:
    """Whether a profile changed nothing but by rounding, as one of sRGB itself does."""
    gap = np.asarray(one).astype(np.int16) - np.asarray(other)
    return int(np.abs(gap).max()) <= ROUNDING
