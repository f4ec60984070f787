"""`Clip`: frames, their rate, and what has to happen before they leave."""

import os
import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from pathlib import Path
from typing import Protocol

import numpy as np

from openlumiere.media import alpha
from openlumiere.media.child import read_clip
from openlumiere.media.encode import write_clip
from openlumiere.media.limits import STANDARD, Limits, MediaError
from openlumiere.media.sound import Sound

MAX_FPS = 1000
MAX_DENOMINATOR = 1_000_000
RATE = re.compile(r"\s*\d{1,9}(/(\d{1,9})|\.\d{1,6})?\s*", re.ASCII)


class Origin(Protocol):
    """Where a generated clip comes from. `Clip.save` asks it; a loaded clip has none.

    `writes_record`: whether `sign` writes files beside the clip, whose places must be free.
    """

    @property
    def writes_record(self) -> bool:
        """See above."""

    def seal(self, frames: np.ndarray) -> np.ndarray:
        """Marked frames for uint8 `frames` [f, h, w, 3 or 4], same shape and type."""

    def sign(self, path: Path) -> None:
        """Sign the encoded file, or folder of frames, at `path` in place, before it gets its final
        name.

        Files put beside it and named after it (`clip.mp4.json` for `clip.mp4`) go along and get its
        final name, too.
        """


def exact_fps(fps: object) -> Fraction:
    """`fps` as an exact fraction above 0 and up to 1000, its denominator up to a million; a float
    only when it is a whole number. Raises `MediaError` for any other value of any other type.
    """
    rate = fraction_of(fps)
    if rate is None or not 0 < rate <= MAX_FPS or rate.denominator > MAX_DENOMINATOR:
        raise MediaError(
            f"a rate such as 16, 30000/1001 or a Fraction, above 0 and up to {MAX_FPS}, "
            f"its denominator up to {MAX_DENOMINATOR}",
            shown(fps),
            "pass Fraction(30000, 1001) and the like",
            name="fps",
        )
    return rate


def fraction_of(value: object) -> Fraction | None:
    """An exact number of Python, numpy or torch, or text of bounded length; None for what is none,
    and for floats with decimals, which are exact by accident only.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, str):
        return written_fraction(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    if isinstance(value, Decimal) and value.is_finite():
        value = float(value)
    if not isinstance(value, float) or not value.is_integer():
        return None
    return Fraction(value)


def written_fraction(text: str) -> Fraction | None:
    """A fraction of few digits, so that reading it takes no time."""
    found = RATE.fullmatch(text)
    if found is None or set(found[2] or "1") == {"0"}:
        return None
    return Fraction(text.strip())


def shown(value: object) -> str:
    """A value in an error, at most 80 characters."""
    try:
        return repr(value)[:80]
    except ValueError:  # a whole number of more digits than Python writes
        return f"{type(value).__name__} of thousands of digits"


def check_frames(frames: np.ndarray) -> None:
    """Raise unless `frames` is uint8 [f, h, w, 3 or 4] with at least one frame and one pixel."""
    shape = getattr(frames, "shape", None)
    kind = getattr(frames, "dtype", type(frames).__name__)
    if shape is None or kind != np.uint8 or len(shape) != 4 or shape[3] not in (3, 4) or 0 in shape:
        raise MediaError(
            "uint8 frames [f, h, w, 3 or 4], none of them 0",
            f"{kind} {shape}",
            "convert them first",
        )


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip in memory: `frames` uint8 [f, h, w, 3], or [f, h, w, 4] with straight alpha (0
    transparent, 255 opaque; colours are not multiplied by it), exact and unmarked, at `fps` frames
    a second (exact).

    `origin` marks and signs what leaves through `save`; None for a clip that was merely loaded.
    `audio` is the sound of the file it came from, written to mp4, webm and mov and cut to the
    clip's length. Clips are equal when frames and fps are.
    """

    frames: np.ndarray = field(repr=False)
    fps: Fraction = Fraction(16)
    origin: Origin | None = None
    audio: Sound | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_frames(self.frames)
        object.__setattr__(self, "fps", exact_fps(self.fps))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clip):
            return NotImplemented
        return self.fps == other.fps and np.array_equal(self.frames, other.frames)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.frames.shape[2], self.frames.shape[1]

    @property
    def seconds(self) -> Fraction:
        """Length in seconds, exact."""
        return len(self.frames) / self.fps

    @property
    def has_alpha(self) -> bool:
        """Whether the frames are RGBA."""
        return self.frames.shape[3] == 4

    def over(self, background: str | tuple[int, int, int] = "white") -> "Clip":
        """The clip composited over a colour: RGB frames [f, h, w, 3]. An RGB clip is itself."""
        if not self.has_alpha:
            return self
        colour = alpha.colour_of(background)
        return replace(self, frames=alpha.over(self.frames, colour))

    @classmethod
    def load(
        cls, path: str | os.PathLike, allow_partial: bool = False, limits: Limits = STANDARD
    ) -> "Clip":
        """Read a video, an animated picture (gif, webp, apng, avif), a still (one frame) or a
        folder of pictures, in a child process within `limits`.

        Frames are RGBA where some pixel is not opaque, else RGB. They come upright, a variable rate
        made constant (`timing.steady_rate`); frames that change size are refused. What else had to
        be changed is logged to "openlumiere". A file that holds fewer frames than it says raises
        `MediaError`; `allow_partial` returns those there are.
        """
        frames, fps, audio = read_clip(path, allow_partial, limits)
        return cls(frames, fps, audio=audio)

    def save(
        self,
        path: str | os.PathLike,
        lossless: bool = False,
        background: str | tuple[int, int, int] = "white",
    ) -> Path:
        """Write mp4, webm, mov, gif, webp, apng or (one frame) png by extension, or a folder of PNG
        frames where `path` ends in "/".

        Alpha is kept by webm (VP9), mov (ProRes 4444), webp, apng, png and folders, exactly but for
        webm, whose alpha is compressed; by gif as transparent or opaque (from 128). mp4 has none:
        there the clip is composited over `background`.

        Everything is written beside `path` and renamed at the end, so an error or Ctrl-C leaves
        what was there before. `lossless` keeps every pixel (mp4: libx264rgb; webp; webm: VP9 in
        rgb, without alpha; mov: QuickTime animation) and is refused for gif. Same frames, same
        bytes before signing.
        """
        return write_clip(self, path, lossless, alpha.colour_of(background))
