"""What a clip of one subject on a plain colour shows, read off its pixels alone: subject, style,
motion, background, steadiness.

Every rule here is our choice. `world.py` states how well they read rendered clips, whose content is
known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Num, UInt8

from openlumiere.tasks.values import WAYS
from openlumiere_world.backgrounds import COLOURS
from openlumiere_world.measures.judge import Judge, Verdict, judge_clip

# frame sides from the edge that are taken for background; the subject reaches them in few frames
BORDER = 0.05
CONTRAST = (
    16.0  # levels from the background, in some channel, at which a pixel belongs to the subject ...
)
# ... or, where the background is uneven, this many times the median such distance in the border
NOISE = 3
LEAST_TRAVEL = 0.15  # frame sides; half of the shortest path that is drawn
# root mean square distance from its path, frame sides, up to which what does not travel stays
STEADY = 0.1
SAME_COLOUR = 60.0  # levels of 255 (Euclidean) up to which the border has a named colour

EMPTY = 0.02  # share of the pixels that stand out, under which a frame is empty
JUMP = 0.12  # frame sides that a step from frame to frame may differ from the clip's median step
DRIFT = 24.0  # levels that a frame's border may differ from the clip's
CONSTANT = 0.75  # share of the frames that show the clip's subject, under which the subject changes
ARTEFACTS = ("empty frame", "jump", "background drift", "subject changes")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Names as facts have them, None where none is seen; lengths in frame sides, colours in
    levels.
    """

    subject: str | None
    style: str | None
    motion: str | None  # stay or one of WAYS
    background: str | None  # one of COLOURS
    chances: tuple[float, ...]  # of each of the judge's subjects, and of none
    travel: tuple[float, float]  # of the straight line through the path: x to the right, y down
    path_residual: float | None  # root mean square distance from that line
    background_drift: float  # mean distance of a frame's border colour from the clip's
    # "lite-flicker": (255 - mean absolute difference of neighbouring frames) / 255; 1 is a still
    # clip
    flicker: float
    artefacts: tuple[str, ...]  # of ARTEFACTS


def read(frames: UInt8[np.ndarray, "f h w 3"], judge: Judge) -> Reading:
    """Read one square clip of two frames or more."""
    border = frames[:, border_mask(frames.shape[1])]
    border_colours = np.median(border, axis=1)
    colour = np.median(border_colours, axis=0)
    unevenness = np.median(np.abs(border - colour).max(axis=2))
    contrast = frames.astype(np.float32) - colour.astype(np.float32)
    path, share = track(contrast, max(CONTRAST, NOISE * float(unevenness)))
    travel, residual = fit_line(path, share > 0)
    drift = np.abs(border_colours - colour).max(axis=1)
    verdict = judge_clip(judge, frames)
    return Reading(
        subject=verdict.subject,
        style=verdict.style,
        motion=name_motion(travel, residual),
        background=name_colour(colour),
        chances=verdict.chances,
        travel=(float(travel[0]), float(travel[1])),
        path_residual=residual,
        background_drift=float(drift.mean()),
        flicker=lite_flicker(frames),
        artefacts=find_artefacts(path, share, drift, verdict),
    )


def border_mask(side: int) -> Bool[np.ndarray, "h w"]:
    """True at the edge of a square frame."""
    width = max(1, round(BORDER * side))
    mask = np.ones((side, side), dtype=bool)
    mask[width:-width, width:-width] = False
    return mask


def name_colour(colour: Num[np.ndarray, " 3"]) -> str | None:
    """The nearest of the world's colours, if it is near."""
    distances = np.linalg.norm(np.array(list(COLOURS.values())) - colour, axis=1)
    return list(COLOURS)[int(distances.argmin())] if distances.min() <= SAME_COLOUR else None


def track(
    contrast: Float[np.ndarray, "f h w 3"], least: float
) -> tuple[Float[np.ndarray, "f 2"], Float[np.ndarray, " f"]]:
    """Centre (x, y) of what stands out by `least` levels, weighted by how much, in frame sides; and
    what share of each frame does.
    """
    weight = np.abs(contrast).max(axis=3)
    weight[weight < least] = 0
    total = weight.sum(axis=(1, 2))
    middles = (np.arange(weight.shape[1]) + 0.5) / weight.shape[1]
    moments = np.stack([weight.sum(axis=1) @ middles, weight.sum(axis=2) @ middles], axis=1)
    return moments / np.maximum(total, 1)[:, None], (weight > 0).mean(axis=(1, 2))


def fit_line(
    path: Float[np.ndarray, "f 2"], seen: Bool[np.ndarray, " f"]
) -> tuple[Float[np.ndarray, " 2"], float | None]:
    """Travel from first to last frame along the least-squares line, and the distance from it; no
    travel where half the frames are empty.
    """
    if seen.sum() < max(2, len(path) / 2):
        return np.zeros(2), None
    moment = np.linspace(0, 1, len(path))[seen]
    line = np.polyfit(moment, path[seen], 1)  # slopes, then starts
    residual = path[seen] - (moment[:, None] * line[0] + line[1])
    return line[0], float(np.sqrt((residual**2).sum(axis=1).mean()))


def name_motion(travel: Float[np.ndarray, " 2"], residual: float | None) -> str | None:
    """The way whose axis dominates, if it goes far enough; else it stays, if it is steady."""
    if residual is None:
        return None
    along = np.array(list(WAYS.values())) @ travel
    if along.max() >= LEAST_TRAVEL:
        return list(WAYS)[int(along.argmax())]
    return "stay" if residual <= STEADY else None


def find_artefacts(
    path: Float[np.ndarray, "f 2"],
    share: Float[np.ndarray, " f"],
    drift: Float[np.ndarray, " f"],
    verdict: Verdict,
) -> tuple[str, ...]:
    """Which of ARTEFACTS a clip has."""
    steps = np.diff(path, axis=0)
    uneven = np.linalg.norm(steps - np.median(steps, axis=0), axis=1)
    found = (
        share.min() < EMPTY,
        uneven.max() > JUMP,
        drift.max() > DRIFT,
        verdict.constancy < CONSTANT,
    )
    return tuple(name for name, there in zip(ARTEFACTS, found) if there)


def lite_flicker(frames: UInt8[np.ndarray, "f h w 3"]) -> float:
    """How still neighbouring frames are: 1 is no change."""
    steps = np.abs(np.diff(frames.astype(np.int16), axis=0))
    return float((255 - steps.mean()) / 255)
