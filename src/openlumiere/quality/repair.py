"""Defects of a clip, found by themselves: lost frames, specks, flicker, scratches, logos.

Every rule and number here is our choice; levels are of 255. What lasts a frame or three is bridged
from the frames around it, flicker is evened out, and scratches and logos are left unknown for the
net to fill.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8

from openlumiere.media import Clip

FLAT = 2.0  # spread of a frame without a picture
STILL = 0.05  # mean difference of a frame that only repeats the one before
BRIDGE = 3  # frames in a row that are bridged; longer gaps are the net's
REPEATS = 0.2  # share of repeated frames from which they are meant (drawn on twos)
SPECK, CALM = (
    40,
    15,
)  # levels that a speck differs from the frames around it, and that those may differ
MOST_SPECKS = 0.01  # share of a frame
FLICKER = 1.0  # median difference of a frame's brightness from its neighbours'
SCRATCH, ROWS, SHARE = (
    12,
    0.8,
    0.5,
)  # levels from both sides, in this share of rows, in this share of frames
RESTS, MOVES = 3.0, 8.0  # spread over time of a logo, and of most that is around it
LEAST_LOGO, MOST_LOGO = 5e-4, 0.1  # share of a frame


class Repair(NamedTuple):
    """Frames with what could be bridged or evened out, and what of them is `known`: all but what is
    left to the net.
    """

    frames: UInt8[np.ndarray, "f h w 3"]
    known: Bool[np.ndarray, "f h w"]


def mended(clip: Clip) -> Repair:
    """The clip without what is broken; itself where nothing is."""
    if len(clip) < 3:
        return Repair(clip.frames, np.ones(clip.frames.shape[:3], bool))
    frames = even_out(clip.frames)
    lost = lost_frames(frames)
    frames, unknown = bridge(frames, lost)
    frames = without_specks(frames, lost)
    scratched = scratches(frames)
    known = ~(unknown[:, None, None] | (scratched | logos(frames, scratched))[None])
    return Repair(frames, known)


def brightness(frames: UInt8[np.ndarray, "f h w 3"]) -> Float[np.ndarray, "f h w"]:
    """Mean of the three channels, in levels."""
    return frames.mean(axis=3, dtype=np.float32)


def even_out(frames: UInt8[np.ndarray, "f h w 3"]) -> UInt8[np.ndarray, "f h w 3"]:
    """Without flicker: where frames are now lighter, now darker than those around them, all are
    brought to a smooth course.
    """
    mean = brightness(frames).mean(axis=(1, 2))
    middle = (mean[:-2] + mean[2:]) / 2
    if len(frames) < 5 or np.median(np.abs(mean[1:-1] - middle)) < FLICKER:
        return frames
    window = np.convolve(np.ones(5), np.ones(5)) / 25
    smooth = np.convolve(np.pad(mean, 4, mode="reflect"), window, mode="valid")
    moved = frames + (smooth - mean)[:, None, None, None].astype(np.float32)
    return moved.round().clip(0, 255).astype(np.uint8)


def lost_frames(frames: UInt8[np.ndarray, "f h w 3"]) -> Bool[np.ndarray, " f"]:
    """Frames without a picture, that repeat the one before where others move, or that fit neither
    neighbour.
    """
    light = brightness(frames)
    spread = light.std(axis=(1, 2))
    step = np.abs(np.diff(light, axis=0)).mean(axis=(1, 2))
    over = np.abs(light[2:] - light[:-2]).mean(axis=(1, 2))
    lost = (spread < FLAT) & (np.median(spread) > 4 * FLAT)
    lost[1:-1] |= np.minimum(step[:-1], step[1:]) > 3 * over + 6
    repeats = np.append(False, step < STILL)
    if np.median(step) > 10 * STILL and repeats.mean() < REPEATS:
        lost |= repeats
    return lost


def bridge(
    frames: UInt8[np.ndarray, "f h w 3"], lost: Bool[np.ndarray, " f"]
) -> tuple[UInt8[np.ndarray, "f h w 3"], Bool[np.ndarray, " f"]]:
    """Short gaps filled by mixing the frames on either side; and which are left to the net."""
    good = np.flatnonzero(~lost)
    if not lost.any() or not len(good):
        return frames, np.zeros_like(lost)
    mended, left = frames.copy(), lost.copy()
    for index in np.flatnonzero(lost):
        after = int(np.searchsorted(good, index))
        if after in (0, len(good)) or good[after] - good[after - 1] > BRIDGE + 1:
            continue
        share = (index - good[after - 1]) / (good[after] - good[after - 1])
        mixed = (1 - share) * frames[good[after - 1]].astype(np.float32) + share * frames[
            good[after]
        ]
        mended[index], left[index] = mixed.round(), False
    return mended, left


def without_specks(
    frames: UInt8[np.ndarray, "f h w 3"], lost: Bool[np.ndarray, " f"]
) -> UInt8[np.ndarray, "f h w 3"]:
    """Specks of a single frame replaced by the mean of the frames around it."""
    found = [
        np.zeros(frames.shape[1:3], bool),
        *(speck(*frames[k - 1 : k + 2]) for k in range(1, len(frames) - 1)),
    ]
    counts = np.array([mask.sum() for mask in found] + [0])
    mended = frames.copy() if counts.any() else frames
    for index in map(int, np.flatnonzero(counts)):
        if not lost[index - 1 : index + 2].any() and not keeps_coming(counts, index):
            around = (frames[index - 1].astype(np.uint16) + frames[index + 1] + 1) // 2
            mended[index][found[index]] = around[found[index]]
    return mended


def speck(before: np.ndarray, here: np.ndarray, after: np.ndarray) -> Bool[np.ndarray, "h w"]:
    """Pixels far from the frames before and after, which agree; none where there are too many for
    dirt.
    """
    before, here, after = (picture.astype(np.int16) for picture in (before, here, after))
    far = np.minimum(np.abs(here - before).max(axis=2), np.abs(here - after).max(axis=2)) > SPECK
    found = far & (np.abs(before - after).max(axis=2) < CALM)
    return found if found.mean() < MOST_SPECKS else np.zeros_like(found)


def keeps_coming(counts: np.ndarray, index: int) -> bool:
    """Whether both neighbours have about as many: then something small moves, and dirt doesn't."""
    return all(0.5 <= counts[other] / counts[index] <= 2 for other in (index - 1, index + 1))


def scratches(frames: UInt8[np.ndarray, "f h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Columns, up to three wide, lighter or darker than both sides over most of the height in most
    frames.
    """
    light = brightness(frames)
    columns = np.zeros(light.shape[2], bool)
    for reach in (1, 2):
        left, right = light[:, :, : -2 * reach], light[:, :, 2 * reach :]
        here = light[:, :, reach:-reach]
        lighter, darker = (
            here - np.maximum(left, right) > SCRATCH,
            np.minimum(left, right) - here > SCRATCH,
        )
        thin = (
            np.maximum(
                (lighter.mean(axis=1) > ROWS).mean(axis=0),
                (darker.mean(axis=1) > ROWS).mean(axis=0),
            )
            > SHARE
        )
        columns[reach:-reach] |= thin
    wide = np.convolve(columns, np.ones(3), mode="same") > 0 if columns.any() else columns
    return np.broadcast_to(wide, light.shape[1:])


def logos(
    frames: UInt8[np.ndarray, "f h w 3"], scratched: Bool[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """What rests, with edges of its own that no scratch makes, in a clip where most moves; taken a
    little larger, as its edges are soft.
    """
    light = brightness(frames)
    spread = light.std(axis=0)
    none = np.zeros(spread.shape, bool)
    if np.mean(spread > MOVES) < 0.5:
        return none
    steps = np.abs(np.diff(light.mean(axis=0), axis=1, append=light.mean(axis=0)[:, -1:]))
    rests = torch.from_numpy(spread < RESTS)[None].float()
    edges = F.max_pool2d(torch.from_numpy((steps > SCRATCH) & ~scratched)[None].float(), 5, 1, 2)
    found = F.max_pool2d(rests * edges, 7, 1, 3)[0].numpy() > 0
    return found if LEAST_LOGO < found.mean() < MOST_LOGO else none
