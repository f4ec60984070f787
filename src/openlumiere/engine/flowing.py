"""A part of a picture that flows: water, smoke, clouds (Eulerian motion, flow maps).

A cinemagraph of a model that reads what is likely (`Reads.likely`) is given the picture with its
region moved steadily one way: of two copies that flow, one fades out and is taken from the picture
anew while the other is seen, so that it can go on for ever, and a loop closes exactly. Motion fades
towards the region's border, so that nothing from outside flows in. The net begins from that. All
our choice.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from openlumiere.engine.canvas import Canvas
from openlumiere.media.alpha import spread
from openlumiere.models.knows import fold_text
from openlumiere.quality.motion import moved
from openlumiere.tasks.values import WAYS, Way

SPEED = 0.06  # of the shorter side a second
TURNOVER = 2.5  # seconds, about: after them what flows is taken from the picture anew
SAID = {
    "en": (
        r"(?:flow|drift)(?:s|ing)? (?:to the )?left(?! to)",
        r"(?:flow|drift)(?:s|ing)? (?:(?:to the )?right(?! (?:now|to))|(?:from )?left to right)",
        r"flow(?:s|ing)? up(?:wards)?|(?:smoke|steam|flames?) (?:rises?|rising)",
        r"flow(?:s|ing)? down(?:wards)?|water falls(?! asleep)",
    ),
    "it": (
        r"scorr(?:e|ono) (?:verso |a )sinistra|nuvole vanno a sinistra",
        r"scorr(?:e|ono) (?:verso |a )destra|nuvole vanno a destra",
        r"scorr(?:e|ono) verso l'alto|fumo sale",
        r"scorr(?:e|ono) verso il basso|acqua cade",
    ),
    "es": (
        r"fluyen? (?:a|hacia) la izquierda|nubes van a la izquierda",
        r"fluyen? (?:a|hacia) la derecha|nubes van a la derecha",
        r"fluyen? hacia arriba|humo sube",
        r"fluyen? hacia abajo|agua cae",
    ),
    "fr": (
        r"coule(?:nt)? vers la gauche|nuages vont a gauche",
        r"coule(?:nt)? vers la droite|nuages vont a droite",
        r"coule(?:nt)? vers le haut|fumee monte",
        r"coule(?:nt)? vers le bas|eau tombe",
    ),
    "de": (
        r"fliess(?:t|en) nach links|wolken ziehen nach links",
        r"fliess(?:t|en) nach rechts|wolken ziehen nach rechts",
        r"fliess(?:t|en) nach oben|rauch steigt|flammen steigen",
        r"fliess(?:t|en) nach unten|wasser fallt",
    ),
}
"""By language what says that something flows left, right, up or down, without accents."""
NOT = r"(?<!\bnot )(?<!n't )(?<!\bnothing )(?<!\bnon )(?<!\bno )"


def flowing(canvas: Canvas, way: Way, pace: float = 1.0, loop: bool = True) -> Canvas:
    """A cinemagraph's canvas whose region is likely to flow one way, in the shape that it has; time
    runs `pace` times as fast. A loop turns over a whole number of times.
    """
    picture, count = canvas.frames[0], len(canvas.frames)
    seconds = count / float(canvas.fps)
    turns = seconds * pace / TURNOVER
    if loop and pace:
        turns = max(1, round(turns))
    furthest = SPEED * min(picture.shape[:2]) * pace * seconds / max(turns, 1e-6) / 2
    levels = colours_of(picture).astype(np.float32)
    coarse = cv2.GaussianBlur(levels, (0, 0), max(furthest, 1))
    fine = levels - coarse
    frames = np.empty(canvas.frames.shape, np.uint8)
    for index in range(count):
        share = depth(~canvas.known[index], furthest)
        gone = np.multiply.outer(furthest * share, WAYS[way])
        made = flowed(coarse, fine, gone, share, turns * index / count)
        frames[index] = picture
        frames[index, ..., :3] = np.where(canvas.known[index][..., None], picture[..., :3], made)
    return replace(canvas, frames=frames, likely=True)


def depth(region: Bool[np.ndarray, "h w"], furthest: float) -> Float[np.ndarray, "h w"]:
    """1 deep inside a region, falling to 0 at its border, so that what moves `furthest` pixels
    stays inside. The frame's own border is none.
    """
    if region.all():
        return np.ones(region.shape, np.float32)
    inside = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
    return np.minimum(1, inside / max(furthest, 1)).astype(np.float32)


def flowed(
    coarse: Float[np.ndarray, "h w 3"],
    fine: Float[np.ndarray, "h w 3"],
    furthest: Float[np.ndarray, "h w 2"],
    share: Float[np.ndarray, "h w"],
    turned: float,
) -> UInt8[np.ndarray, "h w 3"]:
    """A frame after so many turns: two copies, each furthest from its place as it fades out. Fine
    parts of the two are not alike, so where they move their sum is brought to the contrast of one.
    """
    phases = [(turned + start) % 1 - 0.5 for start in (0.0, 0.5)]  # 0 is the picture as it is
    weights = [1 - 2 * abs(phase) for phase in phases]
    mixed, details = np.zeros_like(coarse), np.zeros_like(coarse)
    for phase, weight in zip(phases, weights, strict=True):
        back = (-2 * phase * furthest).astype(np.float32)
        mixed += weight * moved(coarse, back, cv2.BORDER_REFLECT_101)
        details += weight * moved(fine, back, cv2.BORDER_REFLECT_101)
    contrast = 1 + (1 / np.linalg.norm(weights) - 1) * share[..., None]
    return (mixed + contrast * details).round().clip(0, 255).astype(np.uint8)


def colours_of(picture: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """What flows: colours alone, those that are seen spread under what is transparent."""
    return spread(picture) if picture.shape[-1] == 4 else picture


def way_in(prompt: str) -> Way | None:
    """The one way in which a prompt says that something flows, in one of the five languages."""
    text = fold_text(prompt)
    found = {
        way
        for patterns in SAID.values()
        for way, pattern in zip(get_args(Way), patterns, strict=True)
        if re.search(rf"{NOT}\b(?:{pattern})\b", text)
    }
    return found.pop() if len(found) == 1 else None
