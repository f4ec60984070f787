"""What is to be seen when: `"0s: a cat sits | 3s: the cat jumps"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

LINE = re.compile(r"\s*(\d{1,5}(?:\.\d{1,6})?)\s*s\s*:(.*)", re.DOTALL)
MAX_LINES = 100


@dataclass(frozen=True)
class Line:
    """A prompt, and the second from which it holds."""

    start: Fraction
    prompt: str


def parse_schedule(text: str) -> list[Line]:
    """The lines of a schedule; a plain prompt is one line.

    Raises ValueError for lines that are empty or not in order of time.
    """
    if not LINE.fullmatch(text):
        return [Line(Fraction(0), text)]
    parts = [LINE.fullmatch(part) for part in text.split("|")]
    found = [part for part in parts if part is not None and part[2].strip()]
    if len(found) < len(parts):
        raise ValueError(
            "prompt: expected lines such as 0s: a cat sits | 3s: the cat jumps, "
            f"got {text[:100]!r}, begin each with its second"
        )
    lines = [Line(Fraction(part[1]), part[2].strip()) for part in found]
    check_order(lines)
    return lines


def check_order(lines: list[Line]) -> None:
    """Raise ValueError unless lines begin at 0 and rise, and are at most 100."""
    starts = [line.start for line in lines]
    rising = all(earlier < later for earlier, later in pairwise(starts))
    if starts[0] != 0 or not rising:
        told = ", ".join(f"{float(start):g}" for start in starts)
        raise ValueError(
            f"prompt: expected seconds that begin with 0 and rise, got {told}, put them in order"
        )
    if len(lines) > MAX_LINES:
        raise ValueError(f"prompt: expected at most {MAX_LINES} lines, got {len(lines)}, use fewer")


def check_within(lines: list[Line], seconds: Fraction) -> None:
    """Raise ValueError for a line that begins when the clip of `seconds` is over."""
    last = lines[-1].start
    if last >= seconds:
        raise ValueError(
            f"prompt: expected lines within {float(seconds):g} s, got one at {float(last):g} s, "
            "make the clip longer"
        )
