"""What a clip of the sticker world's first slice shows, read off its pixels alone: background, motion, subject, steadiness.

Every rule here is our choice. `preview.py` states how well they read rendered clips, whose content is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from openlumiere.data.world.slice import BACKGROUNDS, MOTIONS, SUBJECTS, Facts, render

BORDER = 0.05  # frame sides from the edge that are taken for background; the subject reaches them in few frames
CONTRAST = 16.0  # levels from the background, in some channel, at which a pixel belongs to the subject ...
NOISE = 3  # ... or, where the background is uneven, this many times the median such distance in the border
LEAST_TRAVEL = 0.15  # frame sides; half of the shortest path that is drawn
LEAST_LIKENESS = 0.3  # below it nothing that is drawn is there
SIZES = (0.52, 0.56, 0.60)  # frame sides; the drawn subjects lie within


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Indices into the slice's SUBJECTS, BACKGROUNDS and MOTIONS, None where none is seen; lengths in frame sides, colours in levels."""

    subject: int | None
    background: int
    motion: int | None
    likeness: tuple[float, ...]  # to each subject: 1 the same, 0 nothing in common
    travel: tuple[float, float]  # of the straight line through the path: x to the right, y down
    path_residual: float | None  # root mean square distance from that line
    background_drift: float  # mean distance of a frame's border colour from the clip's
    flicker: float  # "lite-flicker": (255 - mean absolute difference of neighbouring frames) / 255; 1 is a still clip


def read(frames: UInt8[np.ndarray, "f h w 3"], templates: Float[np.ndarray, "b s k h w 3"]) -> Reading:
    """Read one square clip of two frames or more; `templates` come from `draw_templates` at its side."""
    border = frames[:, border_mask(frames.shape[1])]
    border_colours = np.median(border, axis=1)
    colour = np.median(border_colours, axis=0)
    background = nearest_background(colour)
    unevenness = np.median(np.abs(border - colour).max(axis=2))
    contrast = frames.astype(np.float32) - colour.astype(np.float32)
    path, seen = centroids(contrast, max(CONTRAST, NOISE * float(unevenness)))
    travel, residual = fit_line(path, seen)
    likeness = likenesses(align(contrast, path, seen), templates[background])
    return Reading(
        subject=int(likeness.argmax()) if likeness.max() >= LEAST_LIKENESS else None,
        background=background,
        motion=direction(travel),
        likeness=tuple(round(float(value), 4) for value in likeness),
        travel=(float(travel[0]), float(travel[1])),
        path_residual=residual,
        background_drift=float(np.abs(border_colours - colour).max(axis=1).mean()),
        flicker=lite_flicker(frames),
    )


def border_mask(side: int) -> Bool[np.ndarray, "h w"]:
    width = max(1, round(BORDER * side))
    mask = np.ones((side, side), dtype=bool)
    mask[width:-width, width:-width] = False
    return mask


def nearest_background(colour: Float[np.ndarray, " 3"]) -> int:
    distances = np.linalg.norm(np.array(list(BACKGROUNDS.values())) - colour, axis=1)
    return int(distances.argmin())


def centroids(contrast: Float[np.ndarray, "f h w 3"], least: float) -> tuple[Float[np.ndarray, "f 2"], Bool[np.ndarray, " f"]]:
    """Centre (x, y) of what stands out by `least` levels, weighted by how much, in frame sides; and in which frames anything does."""
    weight = np.abs(contrast).max(axis=3)
    weight[weight < least] = 0
    total = weight.sum(axis=(1, 2))
    middles = (np.arange(weight.shape[1]) + 0.5) / weight.shape[1]
    moments = np.stack([weight.sum(axis=1) @ middles, weight.sum(axis=2) @ middles], axis=1)
    return moments / np.maximum(total, 1)[:, None], total > 0


def fit_line(path: Float[np.ndarray, "f 2"], seen: Bool[np.ndarray, " f"]) -> tuple[Float[np.ndarray, " 2"], float | None]:
    """Travel from first to last frame along the least-squares line, and the distance from it; no travel where half the frames are empty."""
    if seen.sum() < max(2, len(path) / 2):
        return np.zeros(2), None
    moment = np.linspace(0, 1, len(path))[seen]
    line = np.polyfit(moment, path[seen], 1)  # slopes, then starts
    residual = path[seen] - (moment[:, None] * line[0] + line[1])
    return line[0], float(np.sqrt((residual**2).sum(axis=1).mean()))


def direction(travel: Float[np.ndarray, " 2"]) -> int | None:
    """The motion whose axis dominates, if it goes far enough."""
    along = np.array(list(MOTIONS.values())) @ travel
    return int(along.argmax()) if along.max() >= LEAST_TRAVEL else None


def align(contrast: Float[np.ndarray, "f h w 3"], path: Float[np.ndarray, "f 2"], seen: Bool[np.ndarray, " f"]) -> Float[np.ndarray, "h w 3"]:
    """Mean over the frames, each rolled by whole pixels until its centroid is in the middle."""
    shifts = np.round((0.5 - path) * contrast.shape[1]).astype(int)
    rolled = [np.roll(frame, (dy, dx), axis=(0, 1)) for frame, (dx, dy), there in zip(contrast, shifts, seen) if there]
    return np.mean(rolled, axis=0) if rolled else np.zeros(contrast.shape[1:], dtype=np.float32)


def likenesses(picture: Float[np.ndarray, "h w 3"], templates: Float[np.ndarray, "s k h w 3"]) -> Float[np.ndarray, " s"]:
    """1 - |picture - template|^2 / (|picture|^2 + |template|^2) at the best shift and size, for each subject.

    All shifts at once by the Fourier transform: the squared distance is the two energies less twice the correlation.
    """
    spectrum, others = (np.fft.rfft2(value, axes=(-3, -2)) for value in (picture, templates))
    products = (spectrum * others.conj()).sum(axis=-1)
    correlation = np.fft.irfft2(products, s=picture.shape[:2]).max(axis=(-2, -1))
    energy = (picture**2).sum() + (templates**2).sum(axis=(-3, -2, -1))
    return (2 * correlation / np.maximum(energy, 1e-6)).max(axis=1)


def lite_flicker(frames: UInt8[np.ndarray, "f h w 3"]) -> float:
    steps = np.abs(np.diff(frames.astype(np.int16), axis=0))
    return float((255 - steps.mean()) / 255)


def draw_templates(sprites: Float[Tensor, "s 4 h w"], side: int) -> Float[np.ndarray, "b s k H W 3"]:
    """Every subject in the middle, on every background, at every size, less the background's colour (levels)."""
    scenes = [
        Facts(subject=subject, background=background, motion=0, template=0, size=size, travel=0, offset=0, aside=0)
        for background in range(len(BACKGROUNDS)) for subject in range(len(SUBJECTS)) for size in SIZES
    ]  # fmt: skip
    drawn = (render(sprites, scenes, torch.full((len(scenes), 1), 0.5), side) + 1) * 127.5
    pictures = rearrange(drawn.numpy(), "(b s k) c 1 h w -> b s k h w c", b=len(BACKGROUNDS), k=len(SIZES))
    colours = np.array(list(BACKGROUNDS.values()), dtype=np.float32)
    return pictures - rearrange(colours, "b c -> b 1 1 1 1 c")
