"""A folder of somebody's own clips as a source of training samples."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from openlumiere.media import Clip

FPS = Fraction(16)
ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".webp", ".apng")


class Shown(NamedTuple):
    """Clips in [-1, 1] and what each shows."""

    pixels: Float[Tensor, "b 3 f h w"]
    captions: list[str]


class Footage:
    """Every clip of a folder, at 16 frames a second, its middle square, kept in memory: 1 MB for
    five seconds at 64 px.

    A clip's caption is the text in the file of its name that ends in `.txt`; without one, the words
    of its name (`a-dog-runs.mp4`).
    """

    def __init__(
        self, folder: Path, side: int, frames: int = 1, device: torch.device | str = "cpu"
    ):
        """Read the folder; `frames` is what every clip must have at 16 a second.

        Raises:
            ValueError: no clips, one that can't be read, one that is shorter, or one without a
                caption.
        """
        files = clip_files(folder)
        self.device = device
        self.clips = [read(file, side, frames) for file in files]
        self.captions = [caption_of(file) for file in files]
        self.frames = frames

    def draw(
        self, generator: torch.Generator, count: int, frame_times: Float[Tensor, "*b f"] | None
    ) -> Shown:
        """`count` clips from moments anywhere in the footage on, seen at `frame_times` `[f]` or
        `[b, f]` in native frames; for None single frames.
        """
        rows = torch.randint(len(self.clips), (count,), generator=generator).tolist()
        starts = torch.rand(count, generator=generator).tolist()
        times = torch.zeros(1) if frame_times is None else frame_times
        span = 1 if frame_times is None else self.frames
        moments = times.round().long().expand(count, -1)
        chosen = [
            seen_at(self.clips[row], start, span, moment.numpy())
            for row, start, moment in zip(rows, starts, moments, strict=True)
        ]
        pixels = torch.from_numpy(np.stack(chosen)).permute(0, 4, 1, 2, 3).float()
        return Shown((pixels / 127.5 - 1).to(self.device), [self.captions[row] for row in rows])


def clip_files(folder: Path) -> list[Path]:
    """The clips of a folder by name; hidden files are none. Raises ValueError for none at all."""
    found = []
    if folder.is_dir():
        found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS]
    found = [path for path in found if not path.name.startswith(".")]
    if not found:
        raise ValueError(
            f"footage: expected a folder of clips ({', '.join(ENDINGS)}), got none in {folder}, put"
            " some there"
        )
    return found


def read(file: Path, side: int, frames: int) -> UInt8[np.ndarray, "f s s 3"]:
    """A clip made fit for training. Raises ValueError where it is too short."""
    clip = square(resample(Clip.load(file).over("white")), side)
    if len(clip) < frames:
        raise ValueError(
            f"footage: expected clips of {float(frames / FPS):g} s or more, got {float(len(clip) / FPS):g} s in"
            f" {file}, take it out of the folder"
        )
    return clip.frames


def caption_of(file: Path) -> str:
    """What the text beside a clip says, or the words of its name. Raises ValueError for neither."""
    beside = file.with_suffix(".txt")
    if beside.is_file():
        text = beside.read_text(encoding="utf-8", errors="replace")
    else:
        text = file.stem.replace("-", " ").replace("_", " ")
    caption = " ".join(text.split())
    if not caption:
        raise ValueError(
            f"footage: expected a caption in {beside}, got an empty one, write what {file.name}"
            " shows"
        )
    return caption


def seen_at(
    frames: UInt8[np.ndarray, "n s s 3"], start: float, span: int, times: np.ndarray
) -> UInt8[np.ndarray, "f s s 3"]:
    """Frames at `times` from a moment on, `start` of the way to the last at which `span` frames
    follow; after the clip's end, its last frame.
    """
    first = int(start * (len(frames) - span + 1))
    return frames[np.minimum(first + times, len(frames) - 1)]


def resample(clip: Clip, fps: Fraction = FPS) -> Clip:
    """The clip at another rate: at each new tick, the frame then on screen. Nothing is blended."""
    count = max(1, round(len(clip) * fps / clip.fps))
    shown = [min(len(clip) - 1, int(tick * clip.fps / fps)) for tick in range(count)]
    return Clip(clip.frames[shown], fps=fps)


def square(clip: Clip, size: int) -> Clip:
    """The middle square, `size` pixels a side, averaged where it shrinks."""
    width, height = clip.size
    side = min(width, height)
    left = (width - side) // 2
    top = (height - side) // 2
    box = (left, top, left + side, top + side)
    pictures = [Image.fromarray(frame).crop(box) for frame in clip.frames]
    resized = [picture.resize((size, size), Image.Resampling.LANCZOS) for picture in pictures]
    return Clip(np.stack([np.asarray(picture) for picture in resized]), fps=clip.fps)
