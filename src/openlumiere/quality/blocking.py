"""The grid of blocks that hard compression leaves: found, and smoothed. All numbers are our choice,
in levels of 255.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

SIDE = 8  # pixels of a block
STEP = 1.6  # times as large as elsewhere are steps over the borders of a grid that is seen
LEAST_STEP = 1.0  # levels
LARGEST = 48.0  # levels: larger steps are edges of the picture
RAMP = np.array([0.4375, 0.3125, 0.1875, 0.0625], np.float32)  # of a step, from the border away

Frames = UInt8[np.ndarray, "f h w 3"]


def blocky(frames: Frames) -> Bool[np.ndarray, " f"]:
    """Frames whose steps over the borders of 8 x 8 blocks stand out, down and across."""
    light = frames.mean(axis=3, dtype=np.float32)
    return grid(light) & grid(light.transpose(0, 2, 1))


def grid(light: Float[np.ndarray, "f h w"]) -> Bool[np.ndarray, " f"]:
    """Whether every eighth column begins with a larger step than the seven others do."""
    steps = np.abs(np.diff(light, axis=2)).mean(axis=1)
    whole = steps[:, : steps.shape[1] // SIDE * SIDE]
    if not whole.shape[1]:
        return np.zeros(len(light), bool)
    usual = np.median(whole.reshape(len(light), -1, SIDE), axis=1)
    here = usual[:, SIDE - 1]
    others = np.delete(usual, SIDE - 1, axis=1).max(axis=1)
    return (here > STEP * others) & (here > LEAST_STEP)


def smoothed(frames: Frames, which: Bool[np.ndarray, " f"]) -> Frames:
    """Frames of which some have the steps over their blocks' borders spread over four pixels on
    either side.
    """
    mended = frames.copy()
    for k in map(int, np.flatnonzero(which)):
        across = ramped(frames[k].astype(np.float32))
        both = ramped(across.transpose(1, 0, 2)).transpose(1, 0, 2)
        mended[k] = np.clip(np.rint(both), 0, 255)
    return mended


def ramped(picture: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """Borders between columns of blocks smoothed."""
    out = picture.copy()
    for border in range(SIDE, picture.shape[1] - len(RAMP) + 1, SIDE):
        step = picture[:, border] - picture[:, border - 1]
        step = np.where(np.abs(step) < LARGEST, step, 0)
        for away, share in enumerate(RAMP):
            out[:, border - 1 - away] += share * step
            out[:, border + away] -= share * step
    return out
