"""What is to be seen when: `"0s: a cat sits | 3s: the cat jumps"`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

LINE = re.compile(r"\s*(\d{1,5}(?:\.\d{1,6})?)\s*s\s*:(.*)", re.DOTALL)
FADE = Fraction(1, 2)  # seconds in which one prompt goes over into the next (our choice)
MAX_LINES = 100


@dataclass(frozen=True)
class Line:
    """A prompt, and the second from which it holds."""

    start: Fraction
    prompt: str


def parse_script(text: str) -> list[Line]:
    """The lines of a schedule; a plain prompt is one line. Raises ValueError for lines that are
    empty or not in order of time.
    """
    if not LINE.fullmatch(text):
        return [Line(Fraction(0), text)]
    parts = [LINE.fullmatch(part) for part in text.split("|")]
    if not all(parts) or not all(part[2].strip() for part in parts):
        raise ValueError(
            f"prompt: expected lines such as 0s: a cat sits | 3s: the cat jumps, got {text[:100]!r}, begin each with its second"
        )
    lines = [Line(Fraction(part[1]), part[2].strip()) for part in parts]
    starts = [line.start for line in lines]
    if starts[0] != 0 or any(later <= earlier for earlier, later in zip(starts, starts[1:])):
        raise ValueError(
            f"prompt: expected seconds that begin with 0 and rise, got {', '.join(f'{float(start):g}' for start in starts)}, put them in order"
        )
    if len(lines) > MAX_LINES:
        raise ValueError(f"prompt: expected at most {MAX_LINES} lines, got {len(lines)}, use fewer")
    return lines


def shares_of(lines: list[Line], frames: int, fps: Fraction) -> Float[Tensor, "k f"]:
    """The weight of each line at each frame; they add up to 1, and cross over within `FADE` or the
    shorter of two lines' lengths.

    Raises ValueError for a line that begins when the clip is over.
    """
    if lines[-1].start >= frames / fps:
        raise ValueError(
            f"prompt: expected lines within {float(frames / fps):g} s, got one at {float(lines[-1].start):g} s, make the clip longer"
        )
    times = torch.arange(frames) / float(fps)
    ends = [*(line.start for line in lines), frames / fps]
    lengths = [later - earlier for earlier, later in zip(ends, ends[1:])]
    shares = torch.ones(1, frames)
    for number, line in enumerate(lines[1:], 1):
        fade = float(min(FADE, lengths[number - 1], lengths[number]))
        begun = ((times - float(line.start)) / fade + 0.5).clamp(0, 1)
        shares = torch.cat([shares[:-1], shares[-1:] * (1 - begun), begun[None]])
    return shares
