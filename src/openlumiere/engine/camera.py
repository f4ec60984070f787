"""A camera that passes over a picture: where its pixels are likely to be in every frame.

Image to video of a model that reads what is likely (`Reads.likely`) is given the picture moved
along the camera's path; the net makes frames of it, and what comes into sight it makes anew. Speeds
are those of the toy world, in shares of the frame's sides; all our choice.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import get_args

import cv2
import numpy as np
from jaxtyping import UInt8

from openlumiere.engine.canvas import Canvas
from openlumiere.tasks.values import WAYS, Camera

ACROSS, ALONG = 1 / 16, 1 / 29  # of width and height a second
NEARER = 0.08  # of the size a second
PANS = {f"pan-{way}": step for way, step in WAYS.items()}
SAID = {
    "en": r"camera pans (left|right|up|down)|camera zooms (in|out)",
    "it": r"camera si sposta (a sinistra|a destra|in alto|in basso)"
    r"|camera zooma (in avanti|indietro)",
    "es": r"cámara (?:se mueve )?(a la izquierda|a la derecha|sube|baja)|cámara se (acerca|aleja)",
    "fr": r"caméra (?:va )?(à gauche|à droite|monte|descend)|caméra (avance|recule)",
    "de": r"kamera schwenkt nach (links|rechts|oben|unten)|kamera zoomt (heran|heraus)",
}
"""By language: what pans left, right, up or down, then what zooms in or out, in this order."""


def passed_over(canvas: Canvas, camera: Camera, pace: float = 1.0) -> Canvas:
    """A canvas whose first frame is a picture, with the picture as it is likely to be seen in the
    others; beyond its borders it is mirrored. Time runs `pace` times as fast.
    """
    picture = canvas.frames[0]
    frames = np.empty(canvas.frames.shape, np.uint8)
    frames[0] = picture
    for index in range(1, len(frames)):
        frames[index] = seen_after(picture, camera, Fraction(index) / canvas.fps * Fraction(pace))
    return replace(canvas, frames=frames, likely=True)


def seen_after(
    picture: UInt8[np.ndarray, "h w c"], camera: Camera, seconds: Fraction
) -> UInt8[np.ndarray, "h w c"]:
    """What the camera sees of a picture after some time."""
    height, width = picture.shape[:2]
    time = float(seconds)
    across, along = PANS.get(camera, (0, 0))
    grows = {"zoom-in": 1 + NEARER * time, "zoom-out": 1 / (1 + NEARER * time)}.get(camera, 1.0)
    matrix = np.array(
        [
            [1 / grows, 0, width / 2 * (1 - 1 / grows) + across * ACROSS * width * time],
            [0, 1 / grows, height / 2 * (1 - 1 / grows) + along * ALONG * height * time],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(
        picture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved)


def camera_in(prompt: str) -> Camera | None:
    """The camera that a prompt asks for, in one of the five languages."""
    for pattern in SAID.values():
        if found := re.search(pattern, prompt.casefold()):
            words = alternatives(pattern)
            said = next(group for group in found.groups() if group)
            return get_args(Camera)[words.index(said)]
    return None


def alternatives(pattern: str) -> list[str]:
    """The words in the capturing groups of a pattern, in their order."""
    groups = re.findall(r"\((?!\?)([^)]*)\)", pattern)
    return [word for group in groups for word in group.split("|")]
