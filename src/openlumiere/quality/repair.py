"""Damage of a clip, found by itself: lost, doubled and torn frames, specks, flicker, scratches,
logos, blocks.

Every rule and number here is our choice; levels are of 255. A pixel is called damaged only when
motion does not explain it (`quality/motion.py`). What lasts a frame or three is bridged from the
frames around it, flicker is evened out, blocks are smoothed, and scratches and logos are left
unknown for the net to fill.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from openlumiere.media import Clip
from openlumiere.quality.blocking import blocky, smoothed
from openlumiere.quality.defects import Defect, runs
from openlumiere.quality.motion import between, halves
from openlumiere.quality.overlays import brightness, logos, scratches
from openlumiere.quality.specks import Spots, cleaned, dirt

FLAT = 2.0  # spread of a frame without a picture
BRIDGE = 3  # frames in a row that are bridged; longer gaps are the net's
REPEATS = 0.2  # share of repeated frames from which they are meant (drawn on twos)
BUSIEST = 0.02  # share of a frame, where most moves
STILL, MOVES = 0.3, 5.0  # of the usual motion there, and levels that are motion
FLICKER = 1.0  # median difference of a frame's brightness from its neighbours'
UNLIKE, ABOVE, APART = 3.0, 3.0, 1.5  # times the usual misfit, levels over it, times the doubt
SMOOTH = 9  # rows that are judged together
LEAST_TORN, WHOLE = 0.08, 0.85  # share of a frame's rows

Frames = UInt8[np.ndarray, "f h w 3"]
Rows = Bool[np.ndarray, "f h"]


class Repair(NamedTuple):
    """Frames with what could be bridged or evened out, what of them is `known` (all but what is
    left to the net), and what was `found`: kind, frames and box of each.
    """

    frames: Frames
    known: Bool[np.ndarray, "f h w"]
    found: list[Defect]


def mended(clip: Clip) -> Repair:
    """The clip without what is broken; itself where nothing is."""
    if len(clip) < 3:
        return Repair(clip.frames, np.ones(clip.frames.shape[:3], bool), [])
    blocks = blocky(clip.frames)
    lost = lost_frames(clip.frames)
    frames = even_out(smoothed(clip.frames, blocks) if blocks.any() else clip.frames, lost)
    found = stretches("blocking", blocks, clip.frames)
    found += flickers(clip.frames, frames)
    beside = np.convolve(lost, np.ones(3), "same") > 0
    broken = {"lost frame": lost, "doubled frame": doubled_frames(frames) & ~beside}
    rows = misfits(frames, np.logical_or(*broken.values()))
    broken |= torn_frames(rows, lost)
    for kind, which in broken.items():
        found += stretches(kind, which, frames, rows)
    every = np.logical_or.reduce(list(broken.values()))
    frames, unknown = bridge(frames, every, np.where(broken["torn frame"][:, None], rows, True))
    frames, specks = without_specks(frames, every)
    scratched = scratches(frames)
    branded = logos(frames, scratched)
    found += specks + resting("scratch", scratched, len(frames))
    found += resting("logo", branded, len(frames))
    known = ~(unknown[:, None, None] | (scratched | branded)[None])
    return Repair(frames, known, sorted(found, key=lambda each: (each.first, each.kind, each.box)))


def stretches(kind: str, which: Bool[np.ndarray, " f"], frames: Frames, rows=None) -> list[Defect]:
    """Runs of frames with the same damage, in all of the frame or in some of its rows."""
    height, width = frames.shape[1:3]
    found = []
    for first, last in runs(which):
        box = (0, 0, height, width)
        if kind == "torn frame":
            bad = np.flatnonzero(rows[first : last + 1].any(axis=0))
            box = (int(bad[0]), 0, int(bad[-1]) + 1, width)
        found.append(Defect(kind=kind, first=first, last=last, box=box, levels=0.0))
    return found


def resting(kind: str, mask: Bool[np.ndarray, "h w"], count: int) -> list[Defect]:
    """Each connected place of a mask, in all frames."""
    many, _, figures, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    boxes = [
        (int(top), int(left), int(top + tall), int(left + wide))
        for left, top, wide, tall, _ in figures[1:many]
    ]
    return [Defect(kind=kind, first=0, last=count - 1, box=box, levels=0.0) for box in boxes]


def flickers(before: Frames, after: Frames) -> list[Defect]:
    """One finding where brightness was evened out."""
    if after is before or np.array_equal(before[..., 0].mean((1, 2)), after[..., 0].mean((1, 2))):
        return []
    levels = float(np.abs(brightness(before).mean((1, 2)) - brightness(after).mean((1, 2))).max())
    box = (0, 0, *before.shape[1:3])
    return [Defect(kind="flicker", first=0, last=len(before) - 1, box=box, levels=levels)]


def even_out(frames: Frames, lost: Bool[np.ndarray, " f"]) -> Frames:
    """Without flicker: where frames are now lighter, now darker than those around them, all are
    brought to a smooth course. Lost frames say nothing of it and stay as they are.
    """
    places = np.arange(len(frames))
    mean = brightness(frames).mean(axis=(1, 2))
    mean = np.interp(places, places[~lost], mean[~lost])
    middle = (mean[:-2] + mean[2:]) / 2
    if len(frames) < 5 or np.median(np.abs(mean[1:-1] - middle)) < FLICKER:
        return frames
    window = np.convolve(np.ones(5), np.ones(5)) / 25
    smooth = np.convolve(np.pad(mean, 4, mode="reflect"), window, mode="valid")
    moved = frames + np.where(lost, 0, smooth - mean)[:, None, None, None].astype(np.float32)
    return moved.round().clip(0, 255).astype(np.uint8)


def lost_frames(frames: Frames) -> Bool[np.ndarray, " f"]:
    """Frames without a picture."""
    spread = brightness(frames).std(axis=(1, 2))
    return np.asarray((spread < FLAT) & (np.median(spread) > 4 * FLAT))


def doubled_frames(frames: Frames) -> Bool[np.ndarray, " f"]:
    """Frames that stand still where those around them move: what moves most is looked at, since
    codecs change the rest.
    """
    motion = np.array([0.0, *(busiest(*pair) for pair in pairwise(frames))])
    doubled = np.zeros(len(frames), bool)
    for k in range(1, len(frames) - 1):
        others = [motion[j] for j in range(max(1, k - 3), min(len(frames), k + 4)) if j != k]
        usual = float(np.median(others))
        doubled[k] = usual > MOVES and motion[k] < STILL * usual < motion[k + 1]
    return doubled if doubled.mean() < REPEATS else np.zeros_like(doubled)


def busiest(one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"]) -> float:
    """Mean change of the pixels that change most."""
    change = cv2.blur(cv2.absdiff(one, other), (3, 3)).max(axis=2).ravel()
    most = max(1, round(BUSIEST * change.size))
    return float(np.partition(change, -most)[-most:].mean())


def misfits(frames: Frames, skipped: Bool[np.ndarray, " f"]) -> Rows:
    """Rows that fit neither what the frame before nor what the frame after foretells, where these
    two agree.
    """
    off, doubt = np.zeros((2, *frames.shape[:2]), np.float32)
    for k in range(1, len(frames) - 1):
        before, after = halves(frames[k - 1], frames[k + 1])
        apart = np.minimum(cv2.absdiff(frames[k], before), cv2.absdiff(frames[k], after))
        off[k], doubt[k] = apart.mean(axis=(1, 2)), cv2.absdiff(before, after).mean(axis=(1, 2))
    off, doubt = (cv2.blur(each, (SMOOTH, 1)) for each in (off, doubt))
    usual = np.median(off[1:-1], axis=0)
    bad = (off > UNLIKE * usual + ABOVE) & (off > APART * doubt)
    bad[np.convolve(skipped, np.ones(3), "same") > 0] = False
    return bad


def torn_frames(rows: Rows, empty: Bool[np.ndarray, " f"]) -> dict[str, Bool[np.ndarray, " f"]]:
    """Frames of which a part, or all, fits neither neighbour."""
    share = rows.mean(axis=1)
    torn = (share > LEAST_TORN) & (share < WHOLE)
    return {"torn frame": torn, "lost frame": empty | (share >= WHOLE)}


def bridge(
    frames: Frames, lost: Bool[np.ndarray, " f"], rows: Rows
) -> tuple[Frames, Bool[np.ndarray, " f"]]:
    """The broken `rows` of short gaps filled along the motion from the frame before to the one
    after; and which frames are left to the net.
    """
    good = np.flatnonzero(~lost)
    if not lost.any() or not len(good):
        return frames, np.zeros_like(lost)
    filled, left = frames.copy(), lost.copy()
    for index in map(int, np.flatnonzero(lost)):
        after = int(np.searchsorted(good, index))
        if after in (0, len(good)) or good[after] - good[after - 1] > BRIDGE + 1:
            continue
        share = (index - good[after - 1]) / (good[after] - good[after - 1])
        here = between(frames[good[after - 1]], frames[good[after]], float(share))
        filled[index, rows[index]] = here[rows[index]]
        left[index] = False
    return filled, left


def without_specks(frames: Frames, broken: Bool[np.ndarray, " f"]) -> tuple[Frames, list[Defect]]:
    """Specks of a single frame replaced by what the frames around it show, and each of them."""
    dirty = dirt(frames, broken)
    filled = frames.copy() if dirty else frames
    for k, spots, which in dirty:
        filled[k] = cleaned(frames, k, spots, which)
    return filled, [
        speck(k, spots, index) for k, spots, which in dirty for index in map(int, which)
    ]


def speck(k: int, spots: Spots, index: int) -> Defect:
    """A finding of one."""
    levels = float(abs(spots.contrasts[index]))
    return Defect(kind="speck", first=k, last=k, box=spots.box(index), levels=levels)
