"""How near one clip is to another: PSNR and SSIM, once for every measure."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8

EXACT = math.inf  # the PSNR of equal pixels
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (BT.601)
WINDOW = 11  # pixels
DEVIATION = 1.5  # pixels
STABLE = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)  # Wang et al.'s C1 and C2


def psnr(frames: UInt8[np.ndarray, "..."], reference: UInt8[np.ndarray, "..."]) -> float:
    """Peak signal-to-noise ratio in dB over all values at once; infinite where all are equal."""
    error = float(np.square(frames.astype(np.float64) - reference).mean())
    return EXACT if error == 0 else 10 * math.log10(255**2 / error)


def frame_psnr(
    frames: UInt8[np.ndarray, "f h w c"], reference: UInt8[np.ndarray, "f h w c"]
) -> float:
    """The mean over frames of `psnr`; infinite where a frame is equal."""
    pairs = zip(frames, reference, strict=True)
    return float(np.mean([psnr(one, other) for one, other in pairs]))


def ssim(frames: UInt8[np.ndarray, "f h w 3"], reference: UInt8[np.ndarray, "f h w 3"]) -> float:
    """Structural similarity of the luminance (Wang et al. 2004), mean over frames; 1 is equal."""
    pairs = zip(frames, reference, strict=True)
    return float(np.mean([plane_ssim(luminance(one), luminance(other)) for one, other in pairs]))


def luminance(frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """In levels of 255."""
    return frame.astype(np.float32) @ np.asarray(LUMA, np.float32)


def plane_ssim(one: Float[np.ndarray, "h w"], other: Float[np.ndarray, "h w"]) -> float:
    """Wang et al.'s equation 13, the mean over places."""
    mean_one = smooth(one)
    mean_other = smooth(other)
    spread = smooth(one**2) - mean_one**2 + smooth(other**2) - mean_other**2
    shared = smooth(one * other) - mean_one * mean_other
    similar = (2 * mean_one * mean_other + STABLE[0]) * (2 * shared + STABLE[1])
    size = (mean_one**2 + mean_other**2 + STABLE[0]) * (spread + STABLE[1])
    return float((similar / size).mean())


def smooth(plane: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """The mean under Gaussian weights over 11 places each way, edges repeated."""
    half = WINDOW // 2
    place = np.arange(-half, half + 1)
    weights = np.exp(-(place**2) / (2 * DEVIATION**2))
    weights /= weights.sum()
    plane = plane.astype(np.float64)
    for axis in (0, 1):
        length = plane.shape[axis]
        padded = np.pad(
            plane, [(half, half) if each == axis else (0, 0) for each in (0, 1)], "edge"
        )
        shifted = (np.take(padded, range(start, start + length), axis) for start in range(WINDOW))
        plane = sum(weight * part for weight, part in zip(weights, shifted, strict=True))
    return plane
