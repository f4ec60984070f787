"""Still pictures and masks."""

import os
from pathlib import Path

import numpy as np

from openlumiere.media.alpha import over
from openlumiere.media.child import read_clip, read_image
from openlumiere.media.clip import Clip, Origin
from openlumiere.media.limits import STANDARD, Limits, MediaError

WHITE = (255, 255, 255)


def load_image(path: str | os.PathLike, limits: Limits = STANDARD) -> np.ndarray:
    """The picture at `path` as uint8 [h, w, 3], or [h, w, 4] with straight alpha where something is
    transparent: any mode, upright, in sRGB, the first frame of many.
    """
    return read_image(path, limits)


def save_image(picture: np.ndarray, path: str | os.PathLike, origin: Origin | None = None) -> Path:
    """Write uint8 `picture` [h, w, 3 or 4] as png or webp; `origin` marks and signs it as it does a
    clip.
    """
    if Path(path).suffix.lower() not in (".png", ".webp"):
        raise MediaError(
            "a picture's path ending in .png or .webp", str(path), "change the output path"
        )
    return Clip(np.asarray(picture)[None], origin=origin).save(path, lossless=True)


def load_mask(path: str | os.PathLike, limits: Limits = STANDARD) -> np.ndarray:
    """A mask as float32 in [0, 1], white is 1: [h, w] for a picture, [f, h, w] for a clip of two
    frames or more.
    """
    frames, _, _ = read_clip(path, False, limits)
    frames = over(frames, WHITE)
    mask = (frames @ np.array([299, 587, 114], np.int32) / np.float32(255_000)).astype(np.float32)
    return mask[0] if len(mask) == 1 else mask
