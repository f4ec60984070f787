"""Where decoded frames go, checked against the budget one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from openlumiere.media.alpha import is_opaque, opaque
from openlumiere.media.limits import Limits, MediaError
from openlumiere.media.timing import spread


@dataclass(frozen=True)
class Decoded:
    """What was read: `stored` frames of one size, and the order that makes a constant `fps` of them
    (None: as stored).

    `channels` is 3, or 4 with straight alpha. `begin` is the time of the first frame on the file's
    clock in seconds, for its sound. `words` are sentences about what was changed on the way in.
    """

    stored: int
    height: int
    width: int
    channels: int
    fps: Fraction
    order: list[int] | None
    begin: Fraction = Fraction(0)
    words: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Frames in the clip."""
        return self.stored if self.order is None else len(self.order)


class FrameWriter:
    """Appends frames of one size to a file that can be read back, within `limits`.

    Frames are stored as rgb24 until the first one that is transparent somewhere; then those before
    are rewritten as rgba, so a file whose alpha is opaque throughout gives RGB.
    """

    def __init__(self, out: BinaryIO, limits: Limits):
        self.out = out
        self.limits = limits
        self.count = 0
        self.channels = 3
        self.size: tuple[int, int] | None = None
        self.words: list[str] = []

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the frames; there must be one."""
        assert self.size is not None
        return self.size

    def say(self, word: str) -> None:
        """Keep a sentence about what was changed, once."""
        if word not in self.words:
            self.words.append(word)

    def write(self, frame: np.ndarray) -> None:
        """Append uint8 `frame` [h, w, 3 or 4]; `MediaError` if it passes the budget or differs in
        size from those before.
        """
        height, width = frame.shape[:2]
        self.limits.check(self.count + 1, height, width)
        if self.size not in (None, (height, width)):
            raise MediaError(
                f"frames of one size ({self.size[1]}x{self.size[0]})",
                f"{width}x{height} at frame {self.count}",
                "convert it to one size",
            )
        self.size = (height, width)
        if self.channels == 3 and transparent(frame):
            self._add_alpha()
        self.out.write(np.ascontiguousarray(with_channels(frame, self.channels)).data)
        self.count += 1

    def _add_alpha(self) -> None:
        """Rewrite the stored frames as rgba in place, from the last to the first."""
        height, width = self.sides
        pixels = height * width
        for index in reversed(range(self.count)):
            self.out.seek(3 * pixels * index)
            frame = np.frombuffer(self.out.read(3 * pixels), np.uint8).reshape(height, width, 3)
            self.out.seek(4 * pixels * index)
            self.out.write(with_channels(frame, 4).data)
        self.out.seek(4 * pixels * self.count)
        self.channels = 4

    def done(
        self,
        fps: Fraction,
        on_grid: Sequence[int] | None = None,
        count: int = 0,
        begin: Fraction = Fraction(0),
    ) -> Decoded:
        """What was written, at `fps`. `on_grid` are the frames' places in a clip of `count` frames
        (None: one after another).
        """
        self.limits.check_rate(fps)
        order = None
        if on_grid is not None:
            self.limits.check(max(count, *on_grid), *self.sides)
            order = spread(list(on_grid), count)
        words = tuple(self.words)
        return Decoded(self.count, *self.sides, self.channels, fps, order, begin, words)


def transparent(frame: np.ndarray) -> bool:
    """Whether a frame [h, w, 3 or 4] has alpha that is not opaque somewhere."""
    return not is_opaque(frame)


def with_channels(frame: np.ndarray, channels: int) -> np.ndarray:
    """A frame [h, w, 3 or 4] with this many channels: opaque alpha added or left out."""
    return frame[..., :3] if channels == 3 else opaque(frame)
