"""A clip's frames as one member of a shard: a sheet of frames in webp, or an array in npz."""

from __future__ import annotations

import io
from math import ceil

import numpy as np
from einops import rearrange
from PIL import Image

from openlumiere.data.ingest.config import IngestConfig

WEBP_SIDE = 16383  # pixels: the format's own limit
METHOD = 2  # of webp: 0 is fast, 6 small


def extension(config: IngestConfig) -> str:
    """Of the member that holds a clip's frames."""
    return "npz" if config.picture == "npz" else "webp"


def pack(frames: np.ndarray, config: IngestConfig) -> bytes:
    """uint8 `frames` [f, h, w, 3] as bytes; exact but for the picture "webp"."""
    out = io.BytesIO()
    if config.picture == "npz":
        np.savez_compressed(out, frames=frames)
    elif config.picture == "webp-lossless":
        Image.fromarray(sheet(frames)).save(out, "webp", lossless=True, quality=0, method=0)
    else:
        picture = Image.fromarray(sheet(frames))
        picture.save(out, "webp", quality=config.quality, method=METHOD)
    return out.getvalue()


def unpack(data: bytes, config: IngestConfig) -> np.ndarray:
    """The frames that `pack` was given, uint8 [f, h, w, 3]."""
    if config.picture == "npz":
        with np.load(io.BytesIO(data), allow_pickle=False) as opened:
            return opened["frames"]
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as picture:
        return cut(np.asarray(picture.convert("RGB")), config.frames, config.side)


def sheet(frames: np.ndarray) -> np.ndarray:
    """Frames row by row in a grid, about as wide as high, black where none is left."""
    count, height, width, _ = frames.shape
    columns = max(ceil(count**0.5), ceil(count * height / WEBP_SIDE))
    empty = np.zeros((-count % columns, height, width, 3), np.uint8)
    grid = np.concatenate([frames, empty])
    return rearrange(grid, "(r k) h w c -> (r h) (k w) c", k=columns)


def cut(picture: np.ndarray, frames: int, side: int) -> np.ndarray:
    """The first `frames` squares of a sheet, uint8 [f, side, side, 3]."""
    grid = rearrange(picture, "(r h) (k w) c -> (r k) h w c", h=side, w=side)
    return np.ascontiguousarray(grid[:frames])


def strip(frames: np.ndarray, count: int = 6, side: int = 64) -> bytes:
    """`count` frames spread evenly, side by side and small, as webp: for people to look at."""
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    small = [np.asarray(Image.fromarray(frames[index]).resize((side, side))) for index in chosen]
    out = io.BytesIO()
    Image.fromarray(np.concatenate(small, 1)).save(out, "webp", quality=70)
    return out.getvalue()
