"""How strong the mark may be at each place of a frame: little where it is flat, more where texture
hides it. All numbers are our choice, in levels of 255.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Int8, UInt8

from openlumiere.provenance.pattern import scale_of
from openlumiere.provenance.residual import LUMA

FLAT = 0.69  # root mean square where nothing hides the mark; 0.685 once rounded to -1, 0 and 1
FAINT = 0.75  # up to here no pixel is moved by more than a level
MOST = 6.0  # before the bound
GROWTH = 1.5  # for each level of texture
HIDDEN = 1.2  # texture from which the mark may grow
STEEP, STEEPEST = 0.25, 0.55  # levels a canonical pixel: a slope hides some of the mark, and most
SLOPED = 1.5  # root mean square on such slopes
BOUND = 5  # no pixel is moved further
LOUDEST = 1.95  # root mean square over a frame: at least 42 dB
FITTED = 8  # times a frame that would be louder is made softer; the bound makes one not enough
SLOW, NEAR, SOFT = 15, 11, 3  # canonical pixels: sides of both means, and how gain is smoothed


def shaped(
    waves: Float[np.ndarray, "h w"], colours: UInt8[np.ndarray, "h w 3"]
) -> Int8[np.ndarray, "h w"]:
    """Levels to add to each channel of a frame, whole numbers from -5 to 5."""
    strength = gain(colours)
    for _ in range(FITTED):
        added = levels(waves, strength)
        over = float(np.sqrt((added.astype(np.float32) ** 2).mean())) / LOUDEST
        if over <= 1:
            break
        strength = strength / over
    return levels(waves, strength)


def levels(
    waves: Float[np.ndarray, "h w"], strength: Float[np.ndarray, "h w"]
) -> Int8[np.ndarray, "h w"]:
    """Whole levels, bounded."""
    most = np.where(strength < FAINT, 1, BOUND)
    return np.clip(np.rint(waves * strength), -most, most).astype(np.int8)


def gain(colours: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Strength at each pixel: grows with the spread of luma around it, and with its slope."""
    scale = scale_of(*colours.shape[:2])
    luma = colours @ LUMA
    left = luma - mean(luma, SLOW * scale)
    texture = np.sqrt(np.maximum(mean(left * left, NEAR * scale), 0))
    hides = np.clip((texture - HIDDEN) * GROWTH, 0, MOST - FLAT)
    slope = steepness(luma, scale)
    tilted = np.clip((slope - STEEP) / (STEEPEST - STEEP), 0, 1) * (SLOPED - FLAT)
    hides = np.maximum(hides, tilted)
    return FLAT + cv2.GaussianBlur(hides, (0, 0), SOFT * scale)


def steepness(luma: Float[np.ndarray, "h w"], scale: float) -> Float[np.ndarray, "h w"]:
    """Levels that luma rises by over a canonical pixel, where it does so evenly."""
    calm = mean(luma, SLOW * scale)
    down, across = (
        cv2.Sobel(calm, cv2.CV_32F, *order, ksize=1, borderType=cv2.BORDER_REPLICATE) / 2
        for order in ((0, 1), (1, 0))
    )
    return np.hypot(down, across) * np.float32(scale)


def mean(picture: Float[np.ndarray, "h w"], side: float) -> Float[np.ndarray, "h w"]:
    """Means over squares of about this side."""
    odd = round(side) // 2 * 2 + 1
    return cv2.blur(picture, (odd, odd))
