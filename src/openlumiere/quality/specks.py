"""Specks of a single frame, told from what flies past: snow, rain, sparks, leaves, confetti.

A spot is what lies outside of everything that the frames before and after show there, once their
motion is taken away. Things that fly make spots too. They go on: many of them step from frame to
frame by nearly the same way. Steps that are taken more often than chance would have it are the ways
of the clip, and a spot that has its like one such way before or behind it is no dirt. All numbers
are our choice, in levels of 255 and pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from openlumiere.quality.motion import flow, moved

FAR = 9.0  # levels outside of what the frames around show
CLEAR = 15.0  # of its farthest pixel
LEAST, MOST = 2, 0.01  # pixels of a spot; share of a frame
LONG = 0.2  # of the shorter side: what is longer is the edge of something
SLIGHT, CERTAIN = (
    80.0,
    400.0,
)  # pixels times levels that a spot needs, and where the frames around disagree beside it
EDGES = 9  # pixels around a place where the frames around disagree, in which less is trusted
MANY, SHARE = 15, 0.04  # spots that fly, and what may be dirt of their looks: more flies too
BUSY, HEAVY = 3.0, 300.0  # spots a frame of a busy clip, and pixels times levels of dirt there
CROWD = 1000  # spots of a frame: more are noise, and nothing is said of it
ALIKE = 80.0  # levels between colours that may be one thing's
GROWS = 3.0  # times larger or smaller that one thing may become in a frame
REACH = 0.25  # of the longer side: a step
SMALL = 5.0  # pixels: shorter steps may be taken by anything
OFTEN = 6  # times that a step is taken at least
BEYOND = 4.0  # standard deviations above chance
NEAR = 1.5  # pixels between a spot and where a way leads
SEEN = 35.0  # levels by which a place may differ from a spot that was or will be there
AWAY = (-2, -1, 1, 2)  # frames in which the like of a spot is looked for
RIM = 2  # pixels around a spot that are replaced with it

Picture = UInt8[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class Spots:
    """Of a frame: middle (down, across), colour, contrast to the surroundings (luma), pixels and
    box of each, and where they are (0: nowhere, else number + 1).
    """

    middles: Float[np.ndarray, "n 2"]
    colours: Float[np.ndarray, "n 3"]
    contrasts: Float[np.ndarray, " n"]
    sizes: Float[np.ndarray, " n"]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def figures(self) -> tuple[np.ndarray, ...]:
        """All but the labels."""
        return self.middles, self.colours, self.contrasts, self.sizes

    def box(self, index: int) -> tuple[int, int, int, int]:
        """Top, left, bottom and right."""
        rows, columns = np.nonzero(self.labels == index + 1)
        return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def around(frames: np.ndarray, k: int) -> tuple[Picture, Picture]:
    """The frames before and after, brought to frame k; at the ends the same one twice."""
    others = (k - 1 if k else 1, k + 1 if k + 1 < len(frames) else k - 1)
    first, second = (moved(frames[each], flow(frames[k], frames[each])) for each in others)
    return first, second


def spots(here: Picture, before: Picture, after: Picture) -> Spots:
    """What is in this frame alone."""
    beyond = outside(here, before, after)
    doubt = np.abs(before.astype(np.float32) - after).max(axis=2)
    near = cv2.dilate(cv2.blur(doubt, (3, 3)), np.ones((EDGES, EDGES), np.uint8))
    strength = np.abs(beyond).max(axis=2) - cv2.blur(doubt, (5, 5)) / 2
    count, labels, figures, _ = cv2.connectedComponentsWithStats(
        (strength > FAR).astype(np.uint8), connectivity=8
    )
    sizes = figures[:, cv2.CC_STAT_AREA]
    peaks = np.zeros(count)
    np.maximum.at(peaks, labels.ravel(), strength.ravel())
    kept = (peaks > CLEAR) & (sizes >= LEAST) & (sizes <= MOST * labels.size)
    unsure = np.zeros(count)
    np.maximum.at(unsure, labels.ravel(), near.ravel())
    kept &= sizes * peaks > np.where(peaks > unsure, SLIGHT, CERTAIN)
    kept &= figures[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1) < LONG * min(
        labels.shape
    )
    kept[0] = False
    kept &= kept.sum() <= CROWD
    numbers = np.cumsum(kept) * kept
    usual = (before.astype(np.float32) + after) / 2
    return described(here, usual, numbers[labels], np.maximum(strength, 0))


def outside(here: Picture, before: Picture, after: Picture) -> Float[np.ndarray, "h w 3"]:
    """How far each channel is above or below all that both frames show within a pixel (the
    rank-ordered difference of Nadenau and Mitra 1997, reduced to its range).
    """
    square = np.ones((3, 3), np.uint8)
    high = np.maximum(cv2.dilate(before, square), cv2.dilate(after, square)).astype(np.float32)
    low = np.minimum(cv2.erode(before, square), cv2.erode(after, square)).astype(np.float32)
    return np.maximum(here - high, 0) - np.maximum(low - here, 0)


def described(here: Picture, usual, labels: np.ndarray, weight: np.ndarray) -> Spots:
    """Figures of numbered spots, each pixel counting by how far it stands out."""
    count = int(labels.max())
    flat = labels.ravel()

    def means(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(flat, values.ravel() * weight.ravel(), count + 1)[1:]
        return sums / np.maximum(np.bincount(flat, weight.ravel(), count + 1)[1:], 1e-6)

    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    contrast = (here - usual).mean(axis=2)
    return Spots(
        np.stack([means(y), means(x)], axis=1),
        np.stack([means(here[..., channel]) for channel in range(3)], axis=1),
        means(contrast),
        np.bincount(flat, minlength=count + 1)[1:].astype(np.float64),
        labels,
    )


def alike(one: Spots, other: Spots) -> Bool[np.ndarray, "n m"]:
    """Whether spots of two frames may be the same thing."""
    colours = np.abs(one.colours[:, None] - other.colours[None]).max(axis=2) < ALIKE
    signs = one.contrasts[:, None] * other.contrasts[None] > 0
    ratio = np.log(one.sizes[:, None] / other.sizes[None])
    return colours & signs & (np.abs(ratio) < np.log(GROWS))


class Evidence(NamedTuple):
    """For each spot and way: its like was seen there, or may be there, since it is out of sight."""

    hit: Bool[np.ndarray, "n ways"]
    may: Bool[np.ndarray, "n ways"]


class Ways:
    """Steps that things of a clip take from a frame to the next: which are taken too often to be
    chance.
    """

    def __init__(self, found: list[Spots], height: int, width: int) -> None:
        self.reach = max(4, round(REACH * max(height, width)))
        side = 2 * self.reach + 1
        counts = np.zeros((side, side), np.float32)
        for one, other in pairwise(found):
            steps = other.middles[None] - one.middles[:, None]
            near = (np.abs(steps) <= self.reach).all(axis=2) & alike(one, other)
            places = np.rint(steps[near]).astype(int) + self.reach
            np.add.at(counts, (places[:, 0], places[:, 1]), 1)
        sums = cv2.boxFilter(counts, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        usual = max(float(np.median(sums)), float(sums.mean()) / 2)
        down, across = np.mgrid[-self.reach : self.reach + 1, -self.reach : self.reach + 1]
        small = np.hypot(down, across) <= SMALL
        self.taken = small | (sums > max(OFTEN, usual + BEYOND * usual**0.5))

    def explain(self, found: list[Spots], frames: np.ndarray, k: int) -> Bool[np.ndarray, " n"]:
        """Which spots of a frame have their like one way before and behind, or twice ahead, or
        twice behind.
        """
        here = found[k]
        seen = {away: self.evidence(here, found, frames, k + away, away) for away in AWAY}
        pairs = ((-1, 1), (1, 2), (-1, -2))
        flies = np.zeros(len(here), bool)
        for one, other in pairs:
            hit = (seen[one].hit & seen[other].may) | (seen[one].may & seen[other].hit)
            flies |= hit.any(axis=1)
        return flies

    def evidence(
        self, here: Spots, found: list[Spots], frames: np.ndarray, index: int, away: int
    ) -> Evidence:
        """Whether spots have their like in a frame that is `away`, for each of the ways."""
        steps = np.argwhere(self.taken) - self.reach
        places = np.rint(here.middles[:, None] + away * steps[None]).astype(int)
        if not 0 <= index < len(frames):
            return Evidence(np.zeros(places.shape[:2], bool), np.ones(places.shape[:2], bool))
        shown, there = frames[index], found[index]
        bounds = np.array(shown.shape[:2]) - 1
        left = ((places < 0) | (places > bounds)).any(axis=2)
        off = self.colours_off(here, shown, np.clip(places, 0, bounds))
        hit = off < np.minimum(SEEN, np.abs(here.contrasts)[:, None] / 2)
        if len(there):
            like = alike(here, there)
            near = np.abs(there.middles[None, None] - places[:, :, None]).max(axis=3) <= NEAR
            hit |= (near & like[:, None]).any(axis=2)
        return Evidence(hit & ~left, hit | left)

    def colours_off(self, here: Spots, shown: Picture, places) -> Float[np.ndarray, "n steps"]:
        """How far the colours at places, or a pixel beside them, are from those of spots."""
        least = np.full(places.shape[:2], np.inf, np.float32)
        bounds = np.array(shown.shape[:2]) - 1
        for beside in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
            moved_places = np.clip(places + beside, 0, bounds)
            colours = shown[moved_places[..., 0], moved_places[..., 1]].astype(np.float32)
            least = np.minimum(least, np.abs(colours - here.colours[:, None]).max(axis=2))
        return least


def dirt(frames: np.ndarray, broken: Bool[np.ndarray, " f"]) -> list[tuple[int, Spots, np.ndarray]]:
    """Of each frame that has some: its number, its spots, and which of them are specks. Nothing is
    said of the first and the last frame, of `broken` ones and of those beside them.
    """
    found = [spots(frames[k], *around(frames, k)) for k in range(len(frames))]
    ways = Ways(found, *frames.shape[1:3])
    beside = np.convolve(broken, np.ones(3), "same") > 0
    inner = [k for k in range(1, len(frames) - 1) if not beside[k] and len(found[k])]
    flies = {k: ways.explain(found, frames, k) for k in inner}
    known = joined([chosen(found[k], flies[k]) for k in inner])
    dirty = []
    unknown = joined([chosen(found[k], ~flies[k]) for k in inner])
    busy = np.mean([len(found[k]) for k in inner]) > BUSY if inner else False
    for k in inner:
        like = alike(found[k], known).sum(axis=1)
        looks = (like >= MANY) & (alike(found[k], unknown).sum(axis=1) > SHARE * like)
        heavy = found[k].sizes * np.abs(found[k].contrasts) > (HEAVY if busy else 0)
        which = np.flatnonzero(~flies[k] & ~looks & heavy)
        if len(which):
            dirty.append((k, found[k], which))
    return dirty


def chosen(here: Spots, which: Bool[np.ndarray, " n"]) -> Spots:
    """Some of the spots of a frame."""
    middles, colours, contrasts, sizes = (each[which] for each in here.figures)
    return Spots(middles, colours, contrasts, sizes, here.labels)


def joined(parts: list[Spots]) -> Spots:
    """Spots of many frames; of these, no labels."""
    none = np.zeros((0, 0), int)
    if not parts:
        return Spots(np.zeros((0, 2)), np.zeros((0, 3)), np.zeros(0), np.zeros(0), none)
    figures = zip(*(part.figures for part in parts), strict=True)
    middles, colours, contrasts, sizes = (np.concatenate(each) for each in figures)
    return Spots(middles, colours, contrasts, sizes, none)


def cleaned(frames: np.ndarray, k: int, spots_here: Spots, which: np.ndarray) -> Picture:
    """A frame without some of its spots: what the frames around show there."""
    there = np.isin(spots_here.labels, which + 1).astype(np.uint8)
    mask = cv2.dilate(there, np.ones((2 * RIM + 1,) * 2, np.uint8)) > 0
    before, after = around(frames, k)
    usual = (before.astype(np.uint16) + after + 1) // 2
    return np.where(mask[..., None], usual, frames[k]).astype(np.uint8)
