"""Frame times: rounded cumulatively on writing, brought back to a constant rate on reading."""

import itertools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

COMMON_RATES = tuple(
    Fraction(rate)
    for rate in (
        8,
        10,
        12,
        15,
        16,
        20,
        "24",
        "24000/1001",
        25,
        30,
        "30000/1001",
        48,
        50,
        60,
        "60000/1001",
    )
)


@dataclass(frozen=True)
class Note:
    """What a format can't say exactly, kept as a comment inside the file: count, rate and size of
    the frames.
    """

    MARK: ClassVar[str] = "openlumiere "
    frames: int
    fps: Fraction
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.MARK}frames={self.frames} fps={self.fps} size={self.width}x{self.height}"

    @classmethod
    def find(cls, text: str) -> "Note | None":
        """The note in a comment of at most a few kB, or None."""
        found = re.search(
            r"openlumiere frames=(\d{1,9}) fps=(\d{1,9})(?:/(\d{1,9}))? size=(\d{1,5})x(\d{1,5})",
            text[:65536],
        )
        if not found:
            return None
        frames, top, bottom, width, height = (int(part or 1) for part in found.groups())
        return (
            cls(frames, Fraction(top, bottom), height, width) if frames and top and bottom else None
        )


def cumulative_ticks(count: int, fps: Fraction, per_second: int) -> list[int]:
    """Start of each of `count` frames, and the end of the last, in whole ticks: rounded from the
    exact time, so errors never add up.
    """
    return [round(k * per_second / fps) for k in range(count + 1)]


def runs(frames: np.ndarray) -> list[int]:
    """Index of each frame that differs from the one before it (0 is always one)."""
    return [k for k in range(len(frames)) if k == 0 or not np.array_equal(frames[k], frames[k - 1])]


def places(times: list[Fraction], fps: Fraction, slack: Fraction) -> list[int] | None:
    """Where each time falls on a grid of `fps`, or None if one is off the grid by more than `slack`
    or two share a place.
    """
    on_grid = [round(time * fps) for time in times]
    near = all(abs(time - place / fps) <= slack for time, place in zip(times, on_grid, strict=True))
    apart = all(a < b for a, b in itertools.pairwise(on_grid))
    return on_grid if near and apart else None


def steady_rate(times: list[Fraction], tick: Fraction) -> tuple[Fraction, list[int]]:
    """The constant rate for frames shown at `times` (seconds from 0), and each frame's place at
    that rate. Our choice, in this order:

    equal gaps give their own rate; else the lowest common rate whose grid every time meets within
    one tick of the file's clock; else (truly variable) the lowest common rate that keeps all frames
    apart, at most 60, where later frames win.
    """
    gaps = [b - a for a, b in itertools.pairwise(times)]
    if len(set(gaps)) == 1 and gaps[0] > 0:
        return 1 / gaps[0], list(range(len(times)))
    for rate in COMMON_RATES:
        if on_grid := places(times, rate, tick):
            return rate, on_grid
    rate = next((rate for rate in COMMON_RATES if places(times, rate, Fraction(1))), Fraction(60))
    return rate, [round(time * rate) for time in times]


def spread(on_grid: list[int], count: int) -> list[int]:
    """For each of `count` output frames the index of the frame on the screen then: the last whose
    place has come.
    """
    in_order = np.maximum.accumulate(on_grid)
    return [int(k) - 1 for k in np.searchsorted(in_order, range(count), side="right")]
