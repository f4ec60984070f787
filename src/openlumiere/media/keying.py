"""A plain background taken out: an opaque clip becomes a subject with alpha.

For footage on one colour, as models draw it when they are asked for a plain background. Our own
choice, and no matting: what touches the border and has its colour goes, edges become soft.
"""

import numpy as np

UNIFORM = 12  # levels by which the border may differ from its own median
SHARE = 0.97  # of the border's pixels that have to be that near
NEAR = 18  # levels from the background's colour up to which a pixel is taken for background
FAR = 90  # levels from which it is all subject
RIM = 2  # pixels around the background in which edges may be mixed with it
ROUNDS = 64  # of spreading, one along rows and columns each: more than any spiral needs


def background_of(frames: np.ndarray) -> tuple[int, int, int] | None:
    """The colour of the border of uint8 frames [f, h, w, 3], or None where it is not one colour."""
    border = np.concatenate(
        [
            frames[:, 0].reshape(-1, 3),
            frames[:, -1].reshape(-1, 3),
            frames[:, :, 0].reshape(-1, 3),
            frames[:, :, -1].reshape(-1, 3),
        ]
    )
    colour = np.median(border, axis=0)
    near = np.abs(border - colour).max(-1) <= UNIFORM
    if near.mean() < SHARE:
        return None
    return (int(colour[0]), int(colour[1]), int(colour[2]))


def keyed(frames: np.ndarray, colour: tuple[int, int, int], near: int = NEAR) -> np.ndarray:
    """uint8 frames [f, h, w, 4] of [f, h, w, 3]: the background of this `colour`, to within `near`
    levels, transparent, its share taken out of the colours of mixed edges.
    """
    made = np.empty((*frames.shape[:3], 4), np.uint8)
    for frame, target in zip(frames, made, strict=True):
        away = np.abs(frame.astype(np.int16) - np.array(colour, np.int16)).max(-1)
        outside = connected_to_border(away <= near)
        rim = _grown(outside, RIM) & ~outside
        opacity = np.ones(away.shape, np.float32)
        opacity[rim] = ((away[rim] - near / 2) / (FAR - near / 2)).clip(0, 1)
        opacity[outside] = 0
        target[..., 3] = (opacity * 255).round()
        own = opacity[..., None].clip(min=1 / 255)
        unmixed = (frame - (1 - own) * np.array(colour, np.float32)) / own
        target[..., :3] = np.where(rim[..., None], unmixed.clip(0, 255).round(), frame)
    return made


def connected_to_border(mask: np.ndarray) -> np.ndarray:
    """The parts of bool `mask` [h, w] that reach the border, going up, down, left and right."""
    reached = np.zeros_like(mask)
    reached[[0, -1]] = mask[[0, -1]]
    reached[:, [0, -1]] = mask[:, [0, -1]]
    for _ in range(ROUNDS):
        before = int(reached.sum())
        reached = _along_rows(mask, reached)
        reached = _along_rows(mask.T, reached.T).T
        if int(reached.sum()) == before:
            break
    return reached


def _along_rows(mask: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Every unbroken stretch of a row of `mask` of which one pixel is reached is reached whole."""
    height, width = mask.shape
    stretch = np.cumsum(~mask, axis=1) + np.arange(height)[:, None] * (width + 1)
    found = np.zeros(height * (width + 1) + width + 1, bool)
    found[stretch[reached]] = True
    return mask & found[stretch]


def _grown(mask: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        padded = np.pad(mask, 1)
        beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
        mask = mask | beside
    return mask
