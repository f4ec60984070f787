"""What a made clip is looked at for before it is written: strobing, jumps and blank frames.

Strobing is WCAG 2.2's success criterion 2.3.1 with its definition of a flash, by relative
luminance and by saturated red; the grid, and that the picture stands for the field of view, are our
choice. The other two rules are our choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from einops import reduce
from jaxtyping import Bool, Float, Int, UInt8

from openlumiere.media import Clip
from openlumiere.quality.defects import jumps, runs

SIDE, LEAST = 16, 4  # cells a side at most, and pixels of a cell's side at least
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # WCAG, relative luminance
STEP, DARK = 0.1, 0.8  # WCAG, general flash: the change, and what the darker state is below
RED_STEP, RED = 20 / 320, 0.8  # WCAG, red flash: the change of R - G - B, and R of R + G + B
FLASHES = 3  # WCAG: a second may have as many, each two changes to and fro
AREA = 0.25  # WCAG: share of the field of view that may flash more often
PLAIN = 2  # levels that one colour throughout may vary
EVERY = 97  # of the pixels that are looked at first


class Finding(NamedTuple):
    """`kind` in frames `first` to `last`, and how much of it in words."""

    kind: str
    first: int
    last: int
    much: str

    def at(self, fps: Fraction) -> str:
        """In words, with seconds."""
        seconds = f"{float(self.first / fps):.2f} to {float((self.last + 1) / fps):.2f} s"
        return f"{self.kind}: frames {self.first} to {self.last} ({seconds}), {self.much}"


class Seen(NamedTuple):
    """One pass over a clip: linear colours of its cells, the mean change of brightness to each next
    frame in levels of 255, and which frames are blank.
    """

    cells: Float[np.ndarray, "f n 3"]
    steps: Float[np.ndarray, " s"]
    blank: Bool[np.ndarray, " f"]


def find(clip: Clip, cuts: Collection[int] = ()) -> list[Finding]:
    """All that is found in a clip, composited over white, in the order of time. `cuts` are frames
    that are meant to begin something new.
    """
    seen = look(clip)
    flashes = strobing(seen.cells, clip.fps)
    steps = [
        jump
        for jump in jumping(seen, cuts)
        if not any(flash.first <= jump.last <= flash.last for flash in flashes)
    ]
    found = [*flashes, *steps, *blank(seen.blank)]
    return sorted(found, key=lambda finding: (finding.first, finding.kind))


def look(clip: Clip) -> Seen:
    """Frame by frame, so that a long clip is not held in floats."""
    linear = linear_light()
    cells, steps, empty = [], [], []
    before = None
    for frame in clip.frames:
        shown = Clip(frame[None]).over("white").frames[0]
        cells.append(in_cells(linear[shown]))
        brightness = shown @ LUMINANCE
        if before is not None:
            steps.append(float(np.abs(brightness - before).mean()))
        before = brightness
        empty.append(is_blank(frame))
    return Seen(np.stack(cells), np.array(steps), np.array(empty))


def linear_light() -> Float[np.ndarray, "256"]:
    """Linear light of the 256 levels (WCAG's relative luminance, sRGB)."""
    level = np.arange(256, dtype=np.float32) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def in_cells(light: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "n 3"]:
    """Means of at most 16 by 16 cells: finer patterns that balance each other are no flash."""
    rows, columns = (min(SIDE, max(side // LEAST, 1)) for side in light.shape[:2])
    height, width = light.shape[0] // rows, light.shape[1] // columns
    whole = light[: rows * height, : columns * width]
    return reduce(whole, "(r h) (c w) k -> (r c) k", "mean", r=rows, c=columns)


def is_blank(frame: UInt8[np.ndarray, "h w c"]) -> bool:
    """Nothing visible, or one colour throughout; a shape that alpha cuts out of one colour is a
    picture.
    """
    pixels = frame.reshape(-1, frame.shape[2])
    return all_blank(pixels[::EVERY]) and all_blank(pixels)


def all_blank(pixels: UInt8[np.ndarray, "n c"]) -> bool:
    """The same of some pixels of a frame: where these are not, the frame is not."""
    if pixels.shape[1] == 4 and pixels[:, 3].max() <= PLAIN:
        return True
    return bool((pixels.max(axis=0).astype(int) - pixels.min(axis=0) <= PLAIN).all())


def blank(flags: Bool[np.ndarray, " f"]) -> list[Finding]:
    """Runs of blank frames."""
    count = len(flags)
    return [
        Finding("blank", first, last, f"{last + 1 - first} of {count} without a picture")
        for first, last in runs(flags)
    ]


def jumping(seen: Seen, cuts: Collection[int]) -> list[Finding]:
    """Single steps far above the clip's median and those around them (`defects.jumps`); into, out
    of and between blank frames there is another finding already.
    """
    usual = float(np.median(seen.steps)) if len(seen.steps) else 0.0
    return [
        Finding(
            "jump",
            each.first,
            each.last,
            f"a step of {each.levels:.1f} levels where {usual:.1f} is the median",
        )
        for each in jumps(seen.steps, (len(seen.cells), 1, 1))
        if each.last not in cuts and not seen.blank[each.first : each.last + 1].any()
    ]


def strobing(cells: Float[np.ndarray, "f n 3"], fps: Fraction) -> list[Finding]:
    """More than three flashes within a second over more than a quarter of the picture.

    A cell flashes by itself, so areas that flash in turn add up, and so does a coarse pattern that
    moves as fast: the careful reading of "concurrently".
    """
    light = cells @ LUMINANCE
    total = cells.sum(axis=2)
    redness = np.maximum(2 * cells[..., 0] - total, 0)
    is_red = cells[..., 0] >= RED * np.maximum(total, 1e-6)
    columns = np.arange(cells.shape[1])

    def dark(one: np.ndarray, now: int) -> Bool[np.ndarray, " n"]:
        """Whether the darker of two states is dark enough."""
        return np.minimum(light[one, columns], light[now]) < DARK

    def red(one: np.ndarray, now: int) -> Bool[np.ndarray, " n"]:
        """Whether one of two states is a saturated red."""
        return is_red[one, columns] | is_red[now]

    general = turns(light, STEP, dark)
    return [
        *flashing("strobing", general, fps),
        *flashing("red strobing", turns(redness, RED_STEP, red), fps),
    ]


Counts = Callable[[np.ndarray, int], Bool[np.ndarray, " n"]]
"""Whether a change from some frames (one a column) to a frame counts, by column."""


def turns(values: Float[np.ndarray, "f n"], step: float, counts: Counts) -> Bool[np.ndarray, "f n"]:
    """Where each column has risen by `step` from its lowest since it last fell, or fallen from its
    highest since it last rose.
    """
    width = values.shape[1]
    columns = np.arange(width)
    low, high = np.zeros(width, int), np.zeros(width, int)
    direction = np.zeros(width, int)
    found = np.zeros(values.shape, bool)
    for now, here in enumerate(values):
        low = np.where(here < values[low, columns], now, low)
        high = np.where(here > values[high, columns], now, high)
        up = (direction <= 0) & (here - values[low, columns] >= step) & counts(low, now)
        down = (direction >= 0) & (values[high, columns] - here >= step) & counts(high, now) & ~up
        direction = np.where(up, 1, np.where(down, -1, direction))
        high = np.where(up, now, high)
        low = np.where(down, now, low)
        found[now] = up | down
    return found


def flashing(kind: str, turned: Bool[np.ndarray, "f n"], fps: Fraction) -> list[Finding]:
    """Stretches of seconds in each of which more than a quarter of the columns turned more than six
    times.
    """
    counts = within_a_second(turned, fps)
    share = (counts > 2 * FLASHES).mean(axis=1)
    found = []
    for first, last in runs(share > AREA):
        often = np.sort(counts[first : last + 1], axis=1)[:, ::-1]
        reached = often[:, math.floor(AREA * turned.shape[1])]  # by just more than a quarter
        second = math.ceil(fps)
        end = min(last + second, len(turned)) - 1
        flashes = f"{int(reached.max()) // 2} flashes in a second"
        much = f"{flashes} over {share[first : last + 1].max():.0%} of the picture"
        found.append(Finding(kind, first, end, much))
    return found


def within_a_second(turned: Bool[np.ndarray, "f n"], fps: Fraction) -> Int[np.ndarray, "f n"]:
    """How often each column turned in the second that begins at each frame."""
    second = math.ceil(fps)
    summed = np.cumsum(np.concatenate([np.zeros_like(turned[:1], int), turned]), axis=0)
    ends = np.minimum(np.arange(len(turned)) + second, len(turned))
    return summed[ends] - summed[:-1]
