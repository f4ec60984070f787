"""The mark in the pixels: put in, and found again with its place, its size and its times.

The same waves are added to every frame, little where it is flat and more where texture or a slope
hides them, so the mark does not flicker, a single frame carries all of it, and cuts, drops and
other frame rates leave it. The detector looks for the keyed waves at every shift, at many scales
and mirrored.

Its p-value assumes nothing of the footage. The fit is a sum of a_k cos(angle_k) over the waves, and
for a key drawn at random the angles are uniform and independent whatever the picture is, so
Chernoff's bound holds: P(fit > z standard deviations) <= exp(-z^2 / 2). All places that are tried
are paid for (Bonferroni): the level is shared by the place where the mark was written and the
search, each by the waves that say nothing and by all waves with the message that was read there,
which is one of 2^48.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Complex, Float, UInt8

from openlumiere.provenance.pattern import (
    ACROSS,
    DATA,
    DOWN,
    PUBLIC_KEY,
    SYNC,
    TILE,
    amplitudes,
    pattern,
    scale_of,
    secret,
    spectrum,
)
from openlumiere.provenance.payload import CLIP_BITS, CODED_BITS, MODEL_BITS, Payload, decode
from openlumiere.provenance.residual import Residuals, edges, residuals, shrink
from openlumiere.provenance.shaping import shaped

FALSE_ALARM = 1e-6  # a clip is called marked below this p-value
CHUNK = 16  # frames marked at a time
SPAN = 8  # windows searched together
SCALES = 1.01 ** np.arange(
    -70, 81
)  # relative to the place as written: from a half (borders around it) to 2.2 (a crop to 0.45)
FINER = 1 + np.arange(-4, 5) * 0.002
NEAR = np.arange(-8, 9) / 4  # canonical pixels
PLACES = len(SCALES) * TILE**2 * len(FINER) * len(NEAR) ** 2  # of the search, refined
# times the median amplitude: waves are bounded there, since a periodic texture is all in a few
LOUD = 3
WAYS = 4  # of looking: as written or searched, by the sync waves or with the message
SEEN = 0.01  # p-value below which a window of a marked clip counts as marked

Waves = Complex[np.ndarray, "n waves"]


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What was found in a clip.

    `p_value`: how probable so good a fit is in footage that knows nothing of the key; `found` where
    it is below 1e-6. `score`: the fit in standard deviations. `payload`: None where nothing was
    found or the check of its 64 `bits` fails. `intervals`: [first, end) in frames where the mark is
    seen. `scale`: a canonical pixel in pixels, to about 2 %; `offset`: where in the tile the
    frame's corner lies, down and across, in canonical pixels; `flipped`: mirrored left to right,
    then scale and offset are of the mirror image.
    """

    p_value: float
    score: float
    payload: Payload | None = None
    bits: np.ndarray | None = field(default=None, repr=False)
    intervals: tuple[tuple[int, int], ...] = ()
    scale: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)
    flipped: bool = False

    @property
    def found(self) -> bool:
        """Whether the clip is called marked."""
        return self.p_value < FALSE_ALARM


@dataclass(frozen=True)
class Fit:
    """The best place of a search: the p-value it gives, the windows it was found in, and how the
    file lies over the mark.
    """

    p_value: float
    score: float
    windows: slice
    flipped: bool
    scale: float
    shift: tuple[float, float] = (0, 0)
    """Canonical pixels, down and across, that bring the file back over the mark."""


def embed(
    frames: UInt8[np.ndarray, "f h w c"], payload: Payload, key: bytes = PUBLIC_KEY
) -> UInt8[np.ndarray, "f h w c"]:
    """Marked frames. No pixel moves by more than 5 levels, and flat places by at most 0.7 root mean
    square. All frames are treated alike, so they
    can be given a few at a time. Of frames with alpha ([f, h, w, 4], straight) it is left as it is,
    and fully transparent pixels carry no mark.
    """
    waves = pattern(payload, key, *frames.shape[1:3])
    marked = np.empty_like(frames)
    for first in range(0, len(frames), CHUNK):
        part = frames[first : first + CHUNK, ..., :3]
        added = np.stack([shaped(waves, colours) for colours in part])[..., None]
        marked[first : first + CHUNK, ..., :3] = np.clip(part + added, 0, 255)
    if frames.shape[3] == 4:
        marked[..., 3] = frames[..., 3]
        clear = frames[..., 3] == 0
        marked[clear] = frames[clear]
    return marked


def detect(frames: UInt8[np.ndarray, "f h w 3"], key: bytes = PUBLIC_KEY) -> Detection:
    """Look for the mark of `key` in frames of any size and number; of a long clip at most 512
    frames are looked at.
    """
    left = residuals(frames)
    side = shrink(*frames.shape[1:3])
    written = scale_of(*frames.shape[1:3]) / side
    fit = as_written(left, written, key)
    if fit.p_value >= FALSE_ALARM:
        fit = with_message(left, fit, key, len(views_of(left, 1)))
    if fit.p_value < FALSE_ALARM:
        seen = read(fit, left, edges(len(frames)), side, key)
        if seen.payload is not None:  # else it was resized a little
            return seen
        return read(refined(left, fit, key), left, edges(len(frames)), side, key)
    far = refined(left, searched(left, written, key), key)
    if far.p_value >= FALSE_ALARM:
        far = with_message(left, far, key, len(views_of(left, SPAN)) * PLACES)
    if far.p_value >= FALSE_ALARM:
        fit = min(fit, far, key=lambda one: one.p_value)
        return Detection(p_value=fit.p_value, score=fit.score)
    return read(far, left, edges(len(frames)), side, key)


def as_written(left: Residuals, scale: float, key: bytes) -> Fit:
    """The mark where it was put, in the whole clip or one window, as it is or mirrored."""
    views = views_of(left, 1)
    scores = score(
        spectrum(np.stack([view(left, *one) for one in views]), scale)[:, SYNC]
        * secret(key).phases[SYNC].conj()
    )
    best = int(scores.argmax())
    return Fit(p_value(scores[best], len(views)), float(scores[best]), *views[best], scale)


def searched(left: Residuals, written: float, key: bytes) -> Fit:
    """The mark at any shift and scale, in the whole clip or a span of windows, as it is or
    mirrored.
    """
    views = views_of(left, SPAN)
    pictures = np.stack([view(left, *one) for one in views])
    tests = len(views) * len(SCALES) * TILE**2
    best = Fit(1.0, -np.inf, slice(None), False, written)
    for scale in written * SCALES:
        for one, waves in zip(views, spectrum(pictures, scale), strict=True):
            top, shift = best_shift(waves, key)
            if top > best.score:
                best = Fit(p_value(top, tests), top, *one, scale, shift)
    return best


def refined(left: Residuals, fit: Fit, key: bytes) -> Fit:
    """The same fit at the best of finer scales and shifts around it; its p-value stays."""
    picture = view(left, fit.windows, fit.flipped)[None]
    turns = [
        np.exp(2j * np.pi * np.outer(fit.shift[axis] + NEAR, (DOWN, ACROSS)[axis][SYNC]) / TILE)
        for axis in (0, 1)
    ]
    best = -np.inf
    scale = fit.scale
    shift = fit.shift
    for finer in fit.scale * FINER:
        fits = ((turns[0] * keyed(spectrum(picture, finer)[0], key)) @ turns[1].T).real
        if fits.max() > best:
            best, scale = fits.max(), finer
            down, across = np.unravel_index(fits.argmax(), fits.shape)
            shift = (float(fit.shift[0] + NEAR[down]), float(fit.shift[1] + NEAR[across]))
    return Fit(fit.p_value, fit.score, fit.windows, fit.flipped, scale, shift)


def with_message(left: Residuals, fit: Fit, key: bytes, places: int) -> Fit:
    """The same fit, with the p-value of all its waves under the message that they give, where its
    check holds and this is smaller: the best of so many places and of all messages.
    """
    turned = turned_back(view(left, fit.windows, fit.flipped)[None], fit, key)[0]
    payload = Payload.read(message(turned, key))
    if payload is None:
        return fit
    agreeing = turned * (secret(key).phases * amplitudes(payload, key).conj())
    found = p_value(float(score(agreeing[None])[0]), places * 2 ** (MODEL_BITS + CLIP_BITS))
    return replace(fit, p_value=min(fit.p_value, found))


def message(turned: Complex[np.ndarray, "waves"], key: bytes) -> np.ndarray:
    """The bits [64] that data waves give."""
    data = bounded(turned)[DATA]
    parts = np.concatenate([data.real, data.imag])
    return decode(np.bincount(secret(key).places, parts, CODED_BITS))


def views_of(left: Residuals, size: int) -> list[tuple[slice, bool]]:
    """All windows and runs of them, each as it is and mirrored."""
    parts = groups(len(left), size)
    return [(part, flipped) for part in parts for flipped in (False, True)]


def groups(windows: int, size: int) -> list[slice]:
    """All windows, and, where there are more than `size`, each run of that many."""
    return [
        slice(None),
        *(slice(first, first + size) for first in range(0, windows, size) if windows > size),
    ]


def view(left: Residuals, part: slice, flipped: bool) -> Float[np.ndarray, "h w"]:
    """The mean residual of some windows, mirrored or not."""
    picture = left[part].mean(0)
    return picture[:, ::-1] if flipped else picture


def bounded(waves: Waves) -> Waves:
    """The same waves, none longer than three times the median."""
    size = np.abs(waves)
    most = LOUD * np.median(size, axis=-1, keepdims=True)
    return waves * np.minimum(1, most / np.maximum(size, 1e-9))


def score(turned: Waves) -> Float[np.ndarray, "n"]:
    """How well waves, turned back by their keyed phases, agree: in standard deviations for phases
    drawn at random.
    """
    kept = bounded(turned)
    return kept.real.sum(-1) / np.sqrt((np.abs(kept) ** 2).sum(-1) / 2 + 1e-9)


def best_shift(waves: Complex[np.ndarray, "waves"], key: bytes) -> tuple[float, tuple[int, int]]:
    """The largest score over all shifts of a tile by whole canonical pixels, and that shift."""
    table = np.zeros((TILE, TILE), np.complex64)
    table[DOWN[SYNC], ACROSS[SYNC]] = keyed(waves, key)
    fits = np.fft.ifft2(table, norm="forward").real
    down, across = np.unravel_index(fits.argmax(), fits.shape)
    return float(fits[down, across]), (int(down), int(across))


def keyed(waves: Complex[np.ndarray, "waves"], key: bytes) -> Complex[np.ndarray, "sync"]:
    """The sync waves without their keyed phases, bounded, in units whose sum is a score."""
    kept = bounded(waves[SYNC] * secret(key).phases[SYNC].conj())
    return kept / np.sqrt((np.abs(kept) ** 2).sum() / 2 + 1e-9)


def p_value(score: float, tests: int) -> float:
    """Chernoff's bound for the best of `tests` fits, times the ways of looking."""
    return float(min(1.0, WAYS * tests * np.exp(-(max(score, 0.0) ** 2) / 2)))


def read(fit: Fit, left: Residuals, bounds: list[int], side: int, key: bytes) -> Detection:
    """Where in time the mark is, and what it says, at a place that was found."""
    turned = turned_back(
        np.stack([view(left, slice(k, k + 1), fit.flipped) for k in range(len(left))]), fit, key
    )
    seen = len(left) * np.exp(-(np.maximum(score(turned[:, SYNC]), 0) ** 2) / 2) < SEEN
    seen = seen if seen.any() else np.isin(np.arange(len(left)), np.arange(len(left))[fit.windows])
    bits = message(turned[seen].mean(0), key)
    down, across = (float(-shift % TILE) for shift in fit.shift)
    return Detection(
        p_value=fit.p_value,
        score=fit.score,
        payload=Payload.read(bits),
        bits=bits,
        intervals=intervals(seen, bounds),
        scale=float(fit.scale * side),
        offset=(down, across),
        flipped=fit.flipped,
    )


def turned_back(pictures: Residuals, fit: Fit, key: bytes) -> Waves:
    """Waves at a place, without their keyed phases: the signs of the payload are left."""
    down, across = fit.shift
    return (
        spectrum(pictures, fit.scale)
        * secret(key).phases.conj()
        * np.exp(2j * np.pi * (DOWN * down + ACROSS * across) / TILE)
    )


def intervals(seen: np.ndarray, bounds: list[int]) -> tuple[tuple[int, int], ...]:
    """Runs of windows where the mark is seen, in frames."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]])))
    return tuple((bounds[a], bounds[b]) for a, b in steps.reshape(-1, 2))
