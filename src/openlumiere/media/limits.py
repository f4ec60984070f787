"""What one file may cost to read, and the one error of bad media."""

from dataclasses import dataclass
from fractions import Fraction

KEEP_PART = "pass allow_partial=True to keep what is there"

IN_COMMAND = (
    ("pass allow_partial=True", "add --allow-partial"),
    ("use Clip.load and take a frame", "save one of its frames as a picture first"),
    ("pass audio=None to save without it", "convert its sound first"),
)  # advice of Python, and how the command says it


def for_command(line: str) -> str:
    """An error's line with advice in the words of the command instead of Python's."""
    for python, command in IN_COMMAND:
        line = line.replace(python, command)
    return line


class MediaError(ValueError):
    """A file that can't be read or written as asked, or an argument (`name`) that does not do, in
    one line: expected, got, do this.
    """

    def __init__(self, expected: str, got: str, do: str, name: str = ""):
        said = f"{name}: expected {expected}, got {got}, {do}"
        unnamed = f"expected {expected}, got {got}; {do}"
        line = " ".join((said if name else unnamed).split())
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in line))
        self.parts = (expected, got, do)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The budget of one file. Headers that claim more are refused before anything is decoded (our
    choice of numbers).

    `pixels` is per frame, `total_pixels` over all frames as they come back (3 bytes each, 4 with
    alpha), `rate` in frames a second, `seconds` the wall time of reading, `memory` the address
    space of the reading process in bytes (where the system enforces it). A video that passes
    `total_pixels` by up to four times is read at smaller sides.
    """

    frames: int = 20_000
    pixels: int = 2**26
    total_pixels: int = 2**30
    rate: int = 1000
    seconds: float = 120.0
    memory: int = 4 * 2**30

    def check(self, frames: int, height: int, width: int) -> None:
        """Raise `MediaError` unless so many pictures of this size are within the budget."""
        if height < 1 or width < 1:
            raise MediaError(
                "pictures of at least 1x1 pixels",
                f"{width}x{height}",
                "use a file that holds a picture",
            )
        if height * width > self.pixels:
            raise MediaError(
                f"at most {self.pixels} pixels a frame",
                f"{width}x{height}",
                "scale it down or raise Limits.pixels",
            )
        if frames > self.frames:
            raise MediaError(
                f"at most {self.frames} frames", str(frames), "cut it or raise Limits.frames"
            )
        if frames * height * width > self.total_pixels:
            got = f"{frames} frames of {width}x{height}"
            raise MediaError(
                f"at most {self.total_pixels} pixels in all",
                got,
                "cut it, scale it down or raise Limits.total_pixels",
            )

    def check_rate(self, rate: Fraction) -> None:
        """Raise `MediaError` unless `rate` frames a second is between 0 and the limit."""
        if not 0 < rate <= self.rate:
            raise MediaError(
                f"a rate above 0 and up to {self.rate} frames a second",
                str(rate),
                "check the file or raise Limits.rate",
            )


STANDARD = Limits()
