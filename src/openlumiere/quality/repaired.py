"""What mending changed, and where: read from the clip before, the clip after and what of it is
known, so that the list says what was done whoever found it. The kinds are named by their shape
(our choice).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from openlumiere.quality.defects import Defect, runs

WHOLE = 0.5  # share of a frame that is changed or unknown in a frame that is lost
ALL = 0.5  # share of the frames from which a change of whole frames is flicker
THIN, TALL = 6, 0.8  # pixels that a scratch is wide at most, share of the height it is at least
REACH = (min, min, max, max)  # of tops, lefts, bottoms and rights: the box around boxes


def changes(
    before: UInt8[np.ndarray, "f h w 3"],
    after: UInt8[np.ndarray, "f h w 3"],
    known: Bool[np.ndarray, "f h w"],
) -> list[Defect]:
    """What was repaired, or is left to the net, in the order of time."""
    unknown = ~known
    change = np.abs(after.astype(np.int16) - before).max(axis=3).astype(np.float32)
    whole = ((change > 0) | unknown).mean(axis=(1, 2)) > WHOLE
    found = flickering(change) if whole.mean() > ALL else lost(change, whole)
    if whole.mean() > ALL:  # what is left once the frames are even
        change = np.maximum(change - np.median(change, axis=(1, 2), keepdims=True) - 1, 0)
        whole = unknown.mean(axis=(1, 2)) > WHOLE
        found += lost(change, whole)
    part = ~whole[:, None, None]
    found += specks(np.where(part & known, change, 0))
    found += resting(unknown & part)
    return sorted(found, key=lambda defect: (defect.first, defect.kind))


def flickering(change: Float[np.ndarray, "f h w"]) -> list[Defect]:
    """All frames brought to one course of brightness."""
    count, height, width = change.shape
    levels = float(np.median(change, axis=(1, 2)).max())
    return [
        Defect(kind="flicker", first=0, last=count - 1, box=(0, 0, height, width), levels=levels)
    ]


def lost(change: Float[np.ndarray, "f h w"], whole: Bool[np.ndarray, " f"]) -> list[Defect]:
    """Runs of frames that are replaced or left to the net."""
    box = (0, 0, *change.shape[1:])
    return [
        Defect(
            kind="lost frame" if first == last else "lost frames",
            first=first,
            last=last,
            box=box,
            levels=float(change[first : last + 1].mean()),
        )
        for first, last in runs(whole)
    ]


def specks(change: Float[np.ndarray, "f h w"]) -> list[Defect]:
    """Small places that are replaced: one for each frame that has some, in a box around them."""
    found = []
    for frame in map(int, np.flatnonzero(change.any(axis=(1, 2)))):
        places = boxes(change[frame] > 0)
        box = tuple(
            reach(side) for reach, side in zip(REACH, zip(*places, strict=True), strict=True)
        )
        kind = "speck" if len(places) == 1 else "specks"
        levels = float(change[frame].max())
        found.append(Defect(kind=kind, first=frame, last=frame, box=box, levels=levels))
    return found


def resting(unknown: Bool[np.ndarray, "f h w"]) -> list[Defect]:
    """Places that are left to the net over a stretch of frames: thin and tall ones are scratches,
    others logos.
    """
    found = []
    for top, left, bottom, right in boxes(np.asarray(unknown.any(axis=0))):
        here = np.flatnonzero(unknown[:, top:bottom, left:right].any(axis=(1, 2)))
        tall = bottom - top >= TALL * unknown.shape[1]
        found.append(
            Defect(
                kind="scratch" if tall and right - left <= THIN else "logo",
                first=int(here[0]),
                last=int(here[-1]),
                box=(top, left, bottom, right),
                levels=0.0,
            )
        )
    return found


def boxes(there: Bool[np.ndarray, "h w"]) -> list[tuple[int, int, int, int]]:
    """Top, left, bottom and right of what is there, one for each stretch of columns."""
    found = []
    for left, right in runs(np.asarray(there.any(axis=0))):
        rows = np.flatnonzero(there[:, left : right + 1].any(axis=1))
        found.append((int(rows[0]), left, int(rows[-1]) + 1, right + 1))
    return found
