"""Real clips made fit for training: decoded, cut, resampled to 16 frames a second, cropped square."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from openlumiere.media import Clip

FPS = Fraction(16)


def load(path: str | Path, size: int, frames: int = 80, start: Fraction | float | int = 0) -> Clip:
    """`frames` frames of a file at 16 fps, square, `size` pixels a side, from `start` seconds on.

    Raises:
        ValueError: the file cannot be read, or ends before the last frame asked for.
    """
    return square(cut(resample(Clip.load(path).over("white")), Fraction(start), frames), size)


def resample(clip: Clip, fps: Fraction = FPS) -> Clip:
    """The clip at another rate: at each new tick, the frame then on screen. Nothing is blended."""
    count = max(1, round(len(clip) * fps / clip.fps))
    shown = [min(len(clip) - 1, int(tick * clip.fps / fps)) for tick in range(count)]
    return Clip(clip.frames[shown], fps=fps)


def cut(clip: Clip, start: Fraction, frames: int) -> Clip:
    """`frames` frames from `start` seconds on. Raises ValueError when the clip does not reach that
    far.
    """
    first = round(start * clip.fps)
    if first < 0 or frames < 1 or first + frames > len(clip):
        held = f"{len(clip)} frames"
        raise ValueError(
            f"expected frames {first} to {first + frames} of the clip, got {held}: ask for fewer, or start elsewhere"
        )
    return Clip(clip.frames[first : first + frames], fps=clip.fps)


def square(clip: Clip, size: int) -> Clip:
    """The middle square, `size` pixels a side, averaged where it shrinks."""
    width, height = clip.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    pictures = [
        Image.fromarray(frame).crop(box).resize((size, size), Image.Resampling.LANCZOS)
        for frame in clip.frames
    ]
    return Clip(_stacked(pictures), fps=clip.fps)


def _stacked(pictures: list[Image.Image]) -> UInt8[np.ndarray, "f h w 3"]:
    return np.stack([np.asarray(picture) for picture in pictures])
