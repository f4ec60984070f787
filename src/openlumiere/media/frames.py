"""Where decoded frames go, checked against the budget one by one."""

from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from openlumiere.media.limits import Limits, MediaError
from openlumiere.media.timing import spread


@dataclass(frozen=True)
class Decoded:
    """What was read: `stored` frames of one size, and the order that makes a constant `fps` of them
    (None: as stored).

    `begin` is the time of the first frame on the file's clock, for its sound.
    """

    stored: int
    height: int
    width: int
    fps: Fraction
    order: list[int] | None
    begin: Fraction = Fraction(0)

    @property
    def count(self) -> int:
        """Frames in the clip."""
        return self.stored if self.order is None else len(self.order)


class FrameWriter:
    """Appends rgb24 frames of one size to a file, within `limits`."""

    def __init__(self, out: BinaryIO, limits: Limits):
        self.out, self.limits = out, limits
        self.count, self.size = 0, None

    def write(self, frame: np.ndarray) -> None:
        """Append uint8 `frame` [h, w, 3]; `MediaError` if it passes the budget or differs in size
        from those before.
        """
        self.limits.check(self.count + 1, *frame.shape[:2])
        if self.size not in (None, frame.shape):
            was, now = (f"{shape[1]}x{shape[0]}" for shape in (self.size, frame.shape))
            raise MediaError(
                f"frames of one size ({was})",
                f"{now} at frame {self.count}",
                "convert it to one size",
            )
        self.out.write(np.ascontiguousarray(frame).data)
        self.count, self.size = self.count + 1, frame.shape

    def done(
        self,
        fps: Fraction,
        on_grid: list[int] | None = None,
        count: int = 0,
        begin: Fraction = Fraction(0),
    ) -> Decoded:
        """What was written, at `fps`. `on_grid` are the frames' places in a clip of `count` frames
        (None: one after another).
        """
        self.limits.check_rate(fps)
        if on_grid is None:
            return Decoded(self.count, *self.size[:2], fps, None, begin)
        self.limits.check(max(count, *on_grid), *self.size[:2])
        return Decoded(self.count, *self.size[:2], fps, spread(on_grid, count), begin)
