"""Flaws that a viewer sees without knowing what was asked for, each with its time, its place and a
picture.

All thresholds are our choice, in levels of 255, and are measured in `docs/trust.md`. A flaw is told
by comparing a clip with itself: the same change is nothing in a busy clip and a flaw in a quiet
one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from einops import rearrange, reduce
from jaxtyping import Float, UInt8

from openlumiere.media import Clip, contact_sheet

FLICKER = 3.0  # levels a tile's mean jumps to and fro
STILL, MOVING = 0.25, 1.0  # mean change that is none, and that is motion
FROZEN = 3  # frames alike in a row
JUMP, SEAM = 4.0, 2.0  # times the usual change at the place
DRIFT = 12.0  # levels between the first and the last frames
GRID = 4  # tiles a side
RED = (255, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Defect:
    """`kind` in frames `first` to `last`, inside `box` (top, left, bottom, right, in pixels);
    `levels` says how much.
    """

    kind: str
    first: int
    last: int
    box: tuple[int, int, int, int]
    levels: float

    def at(self, fps) -> str:
        """In words, with seconds."""
        top, left, bottom, right = self.box
        seconds = f"{float(self.first / fps):.2f} to {float((self.last + 1) / fps):.2f} s"
        where = f"rows {top} to {bottom}, columns {left} to {right}"
        when = f"frames {self.first} to {self.last} ({seconds})"
        much = f", {self.levels:.1f} levels" if self.levels else ""
        return f"{self.kind}: {when}, {where}{much}"


def find_defects(frames: UInt8[np.ndarray, "f h w 3"], loop: bool = False) -> list[Defect]:
    """All that is found, in the order of time; `loop` also asks whether the end goes over into the
    beginning.
    """
    luma = frames @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    steps = np.abs(np.diff(luma, axis=0)).mean((1, 2))
    found = [
        *flicker(luma),
        *frozen(steps, luma.shape),
        *jumps(steps, luma.shape),
        *seams(luma),
        *drift(frames),
    ]
    return sorted(
        found + (broken_loop(luma, steps) if loop else []),
        key=lambda defect: (defect.first, defect.kind),
    )


def whole(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The box of the whole frame."""
    return 0, 0, shape[1], shape[2]


def runs(flags: np.ndarray, at_least: int = 1) -> list[tuple[int, int]]:
    """First and last index of every row of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [
        (int(first), int(end) - 1)
        for first, end in zip(edges[::2], edges[1::2], strict=True)
        if end - first >= at_least
    ]


def flicker(luma: Float[np.ndarray, "f h w"]) -> list[Defect]:
    """A tile whose brightness goes up and down, frame after frame: two swings or more in a row.
    Steady motion goes one way.
    """
    side = luma.shape[1] // GRID, luma.shape[2] // GRID
    if min(side) == 0 or len(luma) < 4:
        return []
    tiles = reduce(
        luma[:, : side[0] * GRID, : side[1] * GRID],
        "f (a h) (b w) -> f a b",
        "mean",
        a=GRID,
        b=GRID,
    )
    change = np.diff(tiles, axis=0)
    swing = (
        np.where(
            change[1:] * change[:-1] < 0, np.minimum(np.abs(change[1:]), np.abs(change[:-1])), 0
        )
        > FLICKER
    )
    found = []
    if (swing.mean((1, 2)) > 0.5).sum() > 1:  # the whole picture
        found = [
            (first, last, (0, GRID, 0, GRID)) for first, last in runs(swing.mean((1, 2)) > 0.5, 2)
        ]
    else:
        found = [
            (*run, (row, row + 1, column, column + 1))
            for row, column in np.ndindex(GRID, GRID)
            for run in runs(swing[:, row, column], 2)
        ]
    return [
        Defect(
            kind="flicker",
            first=first,
            last=last + 2,
            box=(a * side[0], c * side[1], b * side[0], d * side[1]),
            levels=float(np.abs(change[first : last + 2, a:b, c:d]).mean()),
        )
        for first, last, (a, b, c, d) in found
    ]


def frozen(steps: Float[np.ndarray, "n"], shape: tuple[int, ...]) -> list[Defect]:
    """Frames that stand still in a clip that moves."""
    if len(steps) == 0 or np.median(steps) < MOVING:
        return []
    return [
        Defect(kind="frozen", first=first, last=last + 1, box=whole(shape), levels=0.0)
        for first, last in runs(steps < STILL, FROZEN - 1)
    ]


def jumps(steps: Float[np.ndarray, "n"], shape: tuple[int, ...]) -> list[Defect]:
    """One step that is far larger than those around it: a cut, or a border between windows."""
    around = np.array(
        [
            np.median(np.delete(steps[max(k - 4, 0) : k + 5], min(k, 4)))
            if len(steps) > 2
            else np.inf
            for k in range(len(steps))
        ]
    )
    flags = steps > JUMP * np.maximum(
        around, max(1.0, float(np.median(steps))) if len(steps) else 1.0
    )
    return [
        Defect(
            kind="jump",
            first=first,
            last=last + 1,
            box=whole(shape),
            levels=float(steps[first : last + 1].max()),
        )
        for first, last in runs(flags)
        if last == first
    ]


def seams(luma: Float[np.ndarray, "f h w"]) -> list[Defect]:
    """A straight line through the whole picture and the whole clip at which neighbours differ more
    than beside it.

    The median over time and along the line makes edges of things, which move or end somewhere, no
    seam; a horizon is taken for one.
    """
    found, some = [], luma[:: -(-len(luma) // 16)]
    for axis, kind in ((1, "row"), (2, "column")):
        lines = np.median(np.abs(np.diff(some, axis=axis)), axis=(0, 3 - axis))
        beside = np.array(
            [
                max(np.delete(lines[max(k - 3, 0) : k + 4], min(k, 3)), default=np.inf)
                for k in range(len(lines))
            ]
        )
        for k in np.flatnonzero((lines > SEAM * beside) & (lines > SEAM)):
            top, left, bottom, right = whole(luma.shape)
            box = (
                (int(k), left, int(k) + 2, right)
                if kind == "row"
                else (top, int(k), bottom, int(k) + 2)
            )
            found.append(
                Defect(
                    kind=f"seam ({kind})",
                    first=0,
                    last=len(luma) - 1,
                    box=box,
                    levels=float(lines[k]),
                )
            )
    return found


def drift(frames: UInt8[np.ndarray, "f h w 3"]) -> list[Defect]:
    """The picture's usual colour (its median, so what moves through it counts little) wanders off
    one way.
    """
    if len(frames) < 8:
        return []
    colour = np.median(rearrange(frames, "f h w c -> f c (h w)"), axis=2)
    quarter = len(frames) // 4
    moved = colour[-quarter:].mean(0) - colour[:quarter].mean(0)
    times = np.arange(len(colour))
    channel = int(np.abs(moved).argmax())
    steady = abs(np.corrcoef(times, colour[:, channel])[0, 1]) if colour[:, channel].std() else 0.0
    if abs(moved[channel]) < DRIFT or steady < 0.9:
        return []
    return [
        Defect(
            kind="colour drift",
            first=0,
            last=len(frames) - 1,
            box=whole(frames.shape),
            levels=float(abs(moved[channel])),
        )
    ]


def broken_loop(luma: Float[np.ndarray, "f h w"], steps: Float[np.ndarray, "n"]) -> list[Defect]:
    """The step from the last frame to the first is larger than the clip's own."""
    step = float(np.abs(luma[0] - luma[-1]).mean())
    if len(steps) == 0 or step <= max(STILL, 2 * float(np.quantile(steps, 0.9))):
        return []
    return [
        Defect(
            kind="broken loop",
            first=len(luma) - 1,
            last=len(luma) - 1,
            box=whole(luma.shape),
            levels=step,
        )
    ]


def picture(clip: Clip, defects: list[Defect]) -> UInt8[np.ndarray, "h w 3"]:
    """A row a flaw: the frame before it, its first, its middle and its last, with a red box around
    the place.
    """
    cells, captions = [], []
    for defect in defects:
        for index in (
            max(defect.first - 1, 0),
            defect.first,
            (defect.first + defect.last) // 2,
            defect.last,
        ):
            cells.append(boxed(clip.frames[index], defect.box))
            captions.append(f"{index}: {defect.kind}")
    return contact_sheet(cells, columns=4, captions=captions)


def boxed(
    frame: UInt8[np.ndarray, "h w 3"], box: tuple[int, int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """With a red frame around a box."""
    shown, (top, left, bottom, right) = frame.copy(), box
    for rows, columns in (
        ((top, top + 1), (left, right)),
        ((bottom - 1, bottom), (left, right)),
        ((top, bottom), (left, left + 1)),
        ((top, bottom), (right - 1, right)),
    ):
        shown[slice(*rows), slice(*columns)] = RED
    return shown
