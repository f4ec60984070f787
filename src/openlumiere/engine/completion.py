"""Video completion: what stood behind a hole is looked for in the other frames, before a net fills
what is left.

Footage that a camera passes over shows at other times what a region hides now. The motion of the
camera from each frame to the next (a similarity: shift, zoom, roll) is fitted to the optical flow
of the known pixels; a hidden pixel that two other frames show alike is copied from the nearer
one, in the light of the frame's own. Frames that do not agree around the hole give nothing. What
one frame alone shows is likely, and what none shows is textured as its surroundings are
(`texture.py`) and moves with the camera: from that a net begins which reads what is likely
(`Reads.likely`). All our choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from openlumiere.engine.canvas import Canvas
from openlumiere.engine.texture import (
    Mask,
    Small,
    SmallMask,
    brought_down,
    spread_over,
    textured,
)
from openlumiere.media.alpha import is_opaque, opaque
from openlumiere.quality.motion import LEAST, Picture, flow
from openlumiere.quality.repair import lost_frames

AWAY = (1, 4, 8, 13, 21, 34, 55)  # frames away that are looked at, before and after
MOTION_SIDE = 256  # pixels of the longer side that the camera's motion is found at
EVERY = 6  # of those pixels: between points that the motion is fitted to
STRAY = 1.0  # of those pixels: a point may miss the camera's motion by so many
FOLLOWING = 0.5  # share of the points that must follow the camera
RING = 0.06  # of the longer side: how far around a hole frames are compared
UNLIKE = 14.0  # levels by which they may differ there
MOST_TEXTURED = 10  # shots: where there are more, no motion was found

Motion = Float[np.ndarray, "2 3"]


def completed(canvas: Canvas, likely: bool) -> Canvas:
    """The canvas with what other frames show of its holes, as known; with `likely`, what is likely
    in the rest. One that lets something through stays as it is.
    """
    if not canvas.known.any():
        return canvas
    if canvas.frames.shape[-1] == 4:
        return completed_opaque(canvas, likely)
    motions = camera_motions(canvas)
    frames, known = canvas.frames.copy(), canvas.known.copy()
    alone = [
        look_around(canvas, motions, index, frames[index], known[index])
        for index in range(len(frames))
    ]
    if not likely or known.all():
        return replace(canvas, frames=frames, known=known)
    continue_colours(frames, known | np.stack(alone), motions)
    return replace(canvas, frames=frames, known=known, likely=True)


def completed_opaque(canvas: Canvas, likely: bool) -> Canvas:
    """Of frames with an alpha that is opaque wherever they are known, what their colours give."""
    if not is_opaque(canvas.frames[canvas.known]):
        return canvas
    found = completed(replace(canvas, frames=canvas.frames[..., :3]), likely)
    return replace(found, frames=opaque(found.frames))


def camera_motions(canvas: Canvas) -> list[Motion | None]:
    """How what each frame shows lies in the next one; None where no camera's motion explains it. A
    single frame that shows something else, a flash or nothing, is passed over.
    """
    larger = max(1.0, max(canvas.size) / MOTION_SIDE)
    shown = [small_of(frame, known) for frame, known in zip(canvas.frames, canvas.known)]
    lost = lost_frames(np.stack([small for small, _ in shown]))  # they seem to stand still
    motions = [
        None if lost[index : index + 2].any() else camera_motion(*before, *after, larger)
        for index, (before, after) in enumerate(pairwise(shown))
    ]
    for index in range(len(motions) - 1):
        if motions[index] is None and motions[index + 1] is None:
            across = camera_motion(*shown[index], *shown[index + 2], larger)
            if across is not None:
                motions[index : index + 2] = [half(across)] * 2
    return motions


def half(motion: Motion) -> Motion:
    """What, done twice, is a similarity: z -> w z + t of complex numbers."""
    turn = np.sqrt(complex(motion[0, 0], motion[1, 0]))
    shift = complex(motion[0, 2], motion[1, 2]) / (1 + turn)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def small_of(frame: Picture, known: Mask) -> tuple[Small, SmallMask]:
    """A frame at the side that motion is found at, colours spread over its holes, and what of it is
    known.
    """
    small, seen = brought_down(frame, known, MOTION_SIDE)
    return spread_over(small, seen), seen


def camera_motion(
    here: Picture, known: Mask, there: Picture, known_there: Mask, larger: float
) -> Motion | None:
    """The similarity that most of the known points follow, in pixels `larger` times as large."""
    if min(here.shape[:2]) < LEAST:
        return None
    y, x = np.mgrid[EVERY // 2 : here.shape[0] : EVERY, EVERY // 2 : here.shape[1] : EVERY]
    both = (known & known_there)[y, x]
    if both.sum() < EVERY:
        return None
    points = np.stack([x[both], y[both]], axis=-1).astype(np.float32)
    to = points + flow(here, there)[y[both], x[both]]
    cv2.setRNGSeed(0)  # RANSAC draws
    motion, follows = cv2.estimateAffinePartial2D(points, to, ransacReprojThreshold=STRAY)
    if motion is None or follows.mean() < FOLLOWING:
        return None
    motion[:, 2] = larger * (motion[:, 2] + motion[:, :2] @ [0.5, 0.5] - 0.5) - (
        motion[:, :2] @ [0.5, 0.5] - 0.5
    )
    return motion


def between(motions: list[Motion | None], here: int, there: int) -> Motion | None:
    """Where what one frame shows lies in another."""
    found = np.eye(3)
    for motion in motions[min(here, there) : max(here, there)]:
        if motion is None:
            return None
        found = np.vstack([motion, [0, 0, 1]]) @ found
    return (found if here <= there else np.linalg.inv(found))[:2]


def look_around(
    canvas: Canvas, motions: list[Motion | None], index: int, frame: Picture, known: Mask
) -> Mask:
    """Copy into a frame what other frames show of its holes, the nearest first: what two show alike
    becomes known, since what only passes by is in one place once. Answers what one alone shows.
    """
    once, noted = np.zeros_like(frame), np.zeros_like(known)
    if known.all():
        return noted
    given, ring = canvas.frames[index], ring_of(known)
    for other in near(index, len(canvas.frames)):
        if known.all():
            break
        way = between(motions, index, other)
        if way is None:
            continue
        shown, seen = brought(canvas.frames[other], canvas.known[other], way)
        matched = as_lit(given, shown, ring & seen)
        if matched is None:
            continue
        new = seen & ~known
        alike = np.abs(matched.astype(np.float32) - once).mean(-1) < UNLIKE
        twice = new & noted & alike
        frame[twice], known[twice] = once[twice], True
        once[new], noted[new] = matched[new], True
    alone = noted & ~known
    frame[alone] = once[alone]
    return alone


def ring_of(known: Mask) -> Mask:
    """What is known around a frame's holes."""
    reach = 2 * max(1, round(RING * max(known.shape))) + 1
    wider = cv2.dilate((~known).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    return known & wider


def near(index: int, count: int) -> Iterator[int]:
    """Frames around one, the nearest first."""
    for away in AWAY:
        yield from (other for other in (index - away, index + away) if 0 <= other < count)


def brought(frame: Picture, known: Mask, way: Motion) -> tuple[Picture, Mask]:
    """A frame seen from where another one is, and what of it is known there."""
    height, width = known.shape
    size, back = (width, height), cv2.WARP_INVERSE_MAP
    shown = cv2.warpAffine(
        frame, way, size, flags=cv2.INTER_LINEAR | back, borderMode=cv2.BORDER_REPLICATE
    )
    sure = cv2.warpAffine(known.astype(np.float32), way, size, flags=cv2.INTER_LINEAR | back)
    return shown, sure > 1 - 1e-3


def as_lit(frame: Picture, shown: Picture, ring: Mask) -> Picture | None:
    """What another frame shows, in this one's light, which is that of the ring around the hole;
    None where the two show something else there.
    """
    if not ring.any():
        return None
    apart = frame[ring].astype(np.float32) - shown[ring]
    light = np.median(apart, axis=0)
    if np.abs(apart - light).mean() >= UNLIKE or np.abs(light).max() >= 2 * UNLIKE:
        return None
    return (shown + light).round().clip(0, 255).astype(np.uint8)


def continue_colours(
    frames: UInt8[np.ndarray, "f h w 3"],
    known: Bool[np.ndarray, "f h w"],
    motions: list[Motion | None],
) -> None:
    """Write what is likely where nothing is known. Of each shot, texture from around the hole in
    the frame that knows most, in the others what the camera shows of that, and colours from around.
    """
    runs = shots(motions)
    for shot in runs:
        sure = known[shot.start : shot.stop].copy()
        if not sure.any():
            continue
        if len(runs) <= MOST_TEXTURED:
            best = max(shot, key=lambda index: known[index].mean())
            frames[best] = textured(frames[best], known[best])
            carry(frames, sure, motions, shot, best)
        for index, seen in zip(shot, sure, strict=True):
            frames[index] = spread_over(frames[index], seen)
    bridge(frames, known)


def bridge(frames: UInt8[np.ndarray, "f h w 3"], known: Bool[np.ndarray, "f h w"]) -> None:
    """Write into frames of which nothing is known a mix of the nearest others."""
    there = np.array([each.any() for each in known])
    found = np.flatnonzero(there)
    for index in np.flatnonzero(~there):
        before, after = found[found < index][-1:], found[found > index][:1]
        ends = [int(end) for end in (*before, *after)]
        away = [1 / abs(end - index) for end in ends]
        mixed = sum(share * frames[end].astype(np.float32) for share, end in zip(away, ends))
        frames[index] = np.rint(mixed / sum(away)).astype(np.uint8)


def shots(motions: list[Motion | None]) -> list[range]:
    """Runs of frames that one camera's motion goes through."""
    cuts = [index for index, motion in enumerate(motions, 1) if motion is None]
    return [range(*ends) for ends in pairwise([0, *cuts, len(motions) + 1])]


def carry(
    frames: UInt8[np.ndarray, "f h w 3"],
    sure: Bool[np.ndarray, "s h w"],
    motions: list[Motion | None],
    shot: range,
    best: int,
) -> None:
    """Write into the frames of a shot, where nothing is sure, what the camera shows there of the
    best one.
    """
    whole = np.ones(sure.shape[1:], bool)
    sure[best - shot.start] = True
    for index, own in zip(shot, sure, strict=True):
        way = between(motions, index, best)
        if own.all() or way is None:
            continue
        shown, seen = brought(frames[best], whole, way)
        new = seen & ~own
        frames[index][new], own[new] = shown[new], True
