"""What is measured of a clip, and the rules that leave clips out. Plain formulas, stated here."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from openlumiere.data.ingest.config import IngestConfig, Score

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
EDGE = 40.0  # levels of 255 between a pixel and its neighbour: an edge
STEADY = 2.0  # standard deviation over time, in levels, of what doesn't move
LIT = 80.0  # overlays are bright: below this level an edge is not theirs
MOVES = 4.0  # median standard deviation over time above which a second of a clip moves
TEXT_SHARE = 0.02  # of a band's pixels that are steady edges: text
LOGO_SHARE = 0.01  # of a corner's pixels
HASHED = (0.0, 0.5, 1.0)  # moments of a clip that are hashed, from first to last frame
PER_SECOND = 2  # frames that a score per picture looks at


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Of one clip: `motion` and `light` in levels of 255, `repeats` a share, `phash` 48 hex digits,
    `scores` by name.
    """

    motion: float
    light: float
    repeats: float
    text: bool
    logo: bool
    phash: str
    scores: dict[str, float]


def measure(frames: np.ndarray, fresh: list[bool], config: IngestConfig) -> Measures:
    """Measure uint8 `frames` [f, h, w, 3]; `fresh` says which of them are not repeated ones."""
    luma = frames.astype(np.float32) @ LUMA
    bands = steady_edges(luma, int(config.fps) or 1)
    return Measures(
        motion=round(motion(luma), 3),
        light=round(float(np.percentile(luma, 95.0)), 2),
        repeats=round(1 - sum(fresh) / len(fresh), 3),
        text=has_text(bands),
        logo=has_logo(bands),
        phash=phash(luma),
        scores={score.name: apply(score, frames, config.fps) for score in config.scores},
    )


def motion(luma: np.ndarray) -> float:
    """Mean absolute difference between a frame and the next, in levels; 0 of a single frame."""
    return float(np.abs(np.diff(luma, axis=0)).mean()) if len(luma) > 1 else 0.0


def steady_edges(luma: np.ndarray, second: int) -> list[np.ndarray]:
    """For each second in which the picture moves: where bright edges [h, w] keep still."""
    found = []
    for start in range(0, len(luma) - second + 1, second):
        part = luma[start : start + second]
        spread = part.std(0)
        if second > 1 and np.median(spread) > MOVES:
            mean = part.mean(0)
            found.append((_edges(mean) > EDGE) & (spread < STEADY) & (mean > LIT))
    return found


def _edges(picture: np.ndarray) -> np.ndarray:
    """The greater difference to the pixel on the right and the one below."""
    right = np.abs(np.diff(picture, axis=1, append=picture[:, -1:]))
    below = np.abs(np.diff(picture, axis=0, append=picture[-1:]))
    return np.maximum(right, below)


def has_text(seconds: list[np.ndarray]) -> bool:
    """Whether in any moving second a band, the upper or lower quarter, holds steady bright edges.

    Subtitles, tickers, time codes. Text over the middle, dark text and text on a still picture are
    not found.
    """
    return any(
        band.mean() > TEXT_SHARE
        for edges in seconds
        for band in (edges[: len(edges) // 4], edges[-(len(edges) // 4) :])
    )


def has_logo(seconds: list[np.ndarray]) -> bool:
    """Whether a corner, a quarter of each side, holds steady bright edges in every moving second
    (two or more).
    """
    if len(seconds) < 2:
        return False
    always = np.logical_and.reduce(seconds)
    top, left = (size // 4 for size in always.shape)
    corners = (
        always[:top, :left],
        always[:top, -left:],
        always[-top:, :left],
        always[-top:, -left:],
    )
    return any(corner.mean() > LOGO_SHARE for corner in corners)


def phash(luma: np.ndarray) -> str:
    """192 bits: the perceptual hashes of the first, middle and last frame.

    Of a frame brought to 32 x 32: whether each of the 8 x 8 lowest cosine coefficients, but the
    mean, is above their median (Zauner's "pHash"; the mean's bit is 0).
    """
    bits = []
    for moment in HASHED:
        frame = luma[round(moment * (len(luma) - 1))]
        small = cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA)
        low = cv2.dct(small)[:8, :8].ravel()
        above = low > np.median(low[1:])
        bits.append(np.concatenate([[False], above[1:]]))
    return np.packbits(np.concatenate(bits)).tobytes().hex()


def broken_rules(found: Measures, config: IngestConfig) -> list[str]:
    """The rules that a clip of full length is against, dropped or not."""
    moves = config.frames > 1
    rules = {
        "still": moves and found.motion < config.motion,
        "dark": found.light < config.light,
        "slideshow": moves and found.repeats > config.repeats,
        "text": found.text,
        "logo": found.logo,
    }
    scored = [score.name for score in config.scores if not _within(score, found.scores[score.name])]
    return [rule for rule, broken in rules.items() if broken] + scored


def reason(rules: list[str], found: Measures, config: IngestConfig) -> str:
    """Why a clip is left out, or "" where it is kept."""
    said = {
        "still": f"near-still: motion {found.motion:g} below {config.motion:g}",
        "dark": f"near-black: light {found.light:g} below {config.light:g}",
        "slideshow": f"slide show: {found.repeats:.0%} of its frames repeated",
        "text": "text over the picture",
        "logo": "a logo that stays",
    }
    said |= {score.name: _said(score, found) for score in config.scores}
    scored = {score.name for score in config.scores}
    return "; ".join(said[rule] for rule in rules if rule in config.drop or rule in scored)


def _within(score: Score, value: float) -> bool:
    least = -np.inf if score.least is None else score.least
    most = np.inf if score.most is None else score.most
    return bool(least <= value <= most)


def _said(score: Score, found: Measures) -> str:
    return f"{score.name} {found.scores[score.name]:.3g} outside {score.least} to {score.most}"


def apply(score: Score, frames: np.ndarray, fps: Fraction) -> float:
    """The clip's score by a plug-in. Raises ValueError where it can't be found."""
    function = plug_in(score.function)
    if score.per == "clip":
        return float(function(frames))
    count = min(len(frames), 2 + int(PER_SECOND * len(frames) / fps))
    looked = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return max(float(function(frames[index])) for index in looked)


def plug_in(path: str):
    """The function at "module:name". Raises ValueError."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"score: expected a function as module:name, got {path!r} ({error}), check the name"
        ) from None


def flags(found: Measures) -> str:
    """The scores as JSON, for the index."""
    return json.dumps(found.scores, sort_keys=True)
