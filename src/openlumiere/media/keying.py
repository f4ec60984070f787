"""A plain background taken out: an opaque clip becomes a subject with alpha.

For footage on one ground, as models draw it when they are asked for a plain background: white that
is a little grey in a corner, warmer below, and not the same from frame to frame. The ground is a
smooth surface a frame. What touches the border and is near it goes, edges become soft and lose the
ground's share of their colour. Our own choice, and no matting.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from openlumiere.media.alpha import bled

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# The ground
SEEN = 64  # pixels a side at which the ground is estimated, at most
OUTLIER = 32  # levels off the border's own median from which a pixel is a subject that touches it
LIKE = 16  # levels by which a border pixel of the ground may differ from the surface
SHARE = 0.8  # of the border's pixels that have to be that near: the rest may be subject
FEWEST = 0.5  # likewise, of each frame's
RANGE = 96  # levels by which the ground may differ within a frame
PACE = 2  # frames over which a ground is averaged, as a deviation, as long as it stays the same

# What goes
NEAR = 18  # levels from the ground up to which a pixel at the border's side is ground
MAYBE = 32  # levels up to which it is where it lies beside ground, in the median of three frames
RIM = 40  # a frame's side over this, and 2 at least: pixels that may be mixed with the ground
CONTRAST = 24  # levels that subject and ground have to differ for an edge to be mixed of both
PURE = 0.9  # of the largest distance nearby from which a pixel is subject alone
ROUNDS = 64  # of spreading, one along rows and columns each: more than any spiral needs


@dataclass(frozen=True, eq=False)
class Ground:
    """What a clip stands on: a quadratic surface a frame, as `weights` [f, 6, 3] of `terms`."""

    weights: Floats

    @property
    def colour(self) -> tuple[int, int, int]:
        """Its mean colour, 0 to 255."""
        middle = self.weights[:, 0].mean(axis=0) + self.weights[:, 4:].mean(axis=0).sum(axis=0) / 3
        red, green, blue = middle.round().clip(0, 255).astype(int).tolist()
        return red, green, blue

    def frame(self, index: int, height: int, width: int) -> Floats:
        """The surface of a frame, float [h, w, 3] in 0 to 255."""
        surface = terms(height, width) @ self.weights[index]
        return surface.clip(0, 255).reshape(height, width, 3).astype(np.float32)


def even(colour: tuple[int, int, int], count: int) -> Ground:
    """The ground of `count` frames that is this colour everywhere."""
    weights = np.zeros((count, 6, 3), np.float32)
    weights[:, 0] = colour
    return Ground(weights)


def terms(height: int, width: int) -> Floats:
    """1, x, y, xy, x², y² of every pixel, x and y in -1 to 1: float [h w, 6]."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    found = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1)
    return found.reshape(-1, 6).astype(np.float32)


def ground_of(frames: np.ndarray) -> Ground | None:
    """What uint8 frames [f, h, w, 3] stand on, or None where their border is not one ground."""
    small = _small(frames)
    height, width = small.shape[1:3]
    border = np.ones((height, width), bool)
    border[1:-1, 1:-1] = False
    rim = small[:, border]
    own = np.median(rim, axis=1, keepdims=True)
    candidates = np.abs(rim - own).max(-1) <= OUTLIER
    alike = _alike(own[:, 0])
    at_border = terms(height, width)[border.ravel()]
    ground = Ground(_fitted(at_border, rim, candidates, alike))
    near = np.abs(at_border @ ground.weights - rim).max(-1) <= LIKE
    enough = near.mean() >= SHARE and near.mean(axis=1).min() >= FEWEST
    if not enough or _range(ground, height, width) > RANGE:
        return None
    return _refined(small, ground, alike)


def _alike(colours: Floats) -> Floats:
    """How much of its ground a frame takes from each other, [f, f]: from those that are beside it
    and stand on nearly the same colour [f, 3].
    """
    moments = np.arange(len(colours))
    apart = (moments[:, None] - moments) / PACE
    changed = np.abs(colours[:, None] - colours).max(-1) / LIKE
    weight = np.exp(-(apart**2 + changed**2) / 2)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def _small(frames: np.ndarray) -> Floats:
    """The frames as the ground is estimated from them."""
    height, width = frames.shape[1:3]
    scale = min(1.0, SEEN / max(height, width))
    size = max(3, round(width * scale)), max(3, round(height * scale))
    pictures = [Image.fromarray(frame).resize(size, Image.Resampling.BOX) for frame in frames]
    return np.stack([np.asarray(picture) for picture in pictures]).astype(np.float32)


def _fitted(at: Floats, pixels: Floats, which: Mask, alike: Floats) -> Floats:
    """Weights [f, 6, 3] of surfaces through the pixels [f, n, 3] at terms [n, 6], as far as `which`
    [f, n] says, frames that are `alike` [f, f] together.
    """
    steady = np.float32(1e-3 * at.shape[0]) * np.eye(6, dtype=np.float32)
    steady[0, 0] *= 1e-3
    share = which.astype(np.float32)
    squares = np.einsum("fn,ni,nj->fij", share, at, at, optimize=True)
    together = np.tensordot(alike, squares, axes=1)
    sums = np.einsum("ni,fnc->fic", at, pixels * share[..., None], optimize=True)
    products = np.tensordot(alike, sums, axes=1)
    return np.linalg.solve(together + steady, products).astype(np.float32)


def _range(ground: Ground, height: int, width: int) -> float:
    """Levels by which the ground differs within its most uneven frame."""
    surfaces = terms(height, width) @ ground.weights
    return float(np.ptp(surfaces, axis=1).max())


def _refined(small: Floats, ground: Ground, alike: Floats) -> Ground:
    """The ground, estimated again from all that it was found to fill."""
    height, width = small.shape[1:3]
    away = np.stack(
        [_away(frame, ground.frame(index, height, width)) for index, frame in enumerate(small)]
    )
    filled = np.stack([connected_to_border(each <= NEAR) for each in away])
    pixels = small.reshape(len(small), -1, 3)
    return Ground(_fitted(terms(height, width), pixels, filled.reshape(len(small), -1), alike))


def _away(frame: np.ndarray, surface: Floats) -> Floats:
    """Levels by which pixels [h, w, 3] differ from the ground: the most of their three colours."""
    return np.abs(frame - surface).max(-1)


def keyed(frames: np.ndarray, ground: Ground, near: int = NEAR) -> np.ndarray:
    """uint8 frames [f, h, w, 4] of [f, h, w, 3]: the ground, to within `near` levels, transparent,
    its share taken out of the colours of mixed edges.
    """
    made = np.empty((*frames.shape[:3], 4), np.uint8)
    outside = _outside(frames, ground, near)
    for index, (frame, gone) in enumerate(zip(frames, outside, strict=True)):
        surface = ground.frame(index, *frame.shape[:2])
        opacity, colours = _mixed(frame, surface, gone)
        made[index, ..., 3] = (opacity * 255).round()
        made[index, ..., :3] = colours.round()
    return made


def _outside(frames: np.ndarray, ground: Ground, near: int) -> Mask:
    """Which pixels [f, h, w] are ground: near it and connected with the border, and beside those
    what may be, where the median of three frames says so.
    """
    sure = np.empty(frames.shape[:3], bool)
    maybe = np.empty(frames.shape[:3], bool)
    for index, frame in enumerate(frames):
        away = _away(frame, ground.frame(index, *frame.shape[:2]))
        sure[index] = away <= near
        maybe[index] = away <= near + MAYBE - NEAR
    held = _majority(maybe)
    return np.stack(
        [
            _beside(connected_to_border(certain), certain | (often & possible))
            for certain, often, possible in zip(sure, held, maybe, strict=True)
        ]
    )


def _majority(masks: Mask) -> Mask:
    """Of each frame [f, h, w] and the two beside it, what most say."""
    votes = masks.astype(np.uint8)
    votes[1:] += masks[:-1]
    votes[:-1] += masks[1:]
    votes[0] += masks[0]
    votes[-1] += masks[-1]
    return votes >= 2


def _beside(gone: Mask, possible: Mask) -> Mask:
    """What is gone, and what is possibly gone within the rim's width of it."""
    for _ in range(rim_of(gone.shape)):
        gone = gone | (_grown(gone, 1) & possible)
    return gone


def _mixed(frame: np.ndarray, surface: Floats, gone: Mask) -> tuple[Floats, Floats]:
    """Opacity [h, w] in 0 to 1 and colours [h, w, 3]: in a rim around the ground a pixel is as
    opaque as its colour is on the way from the ground's to that of the subject nearby. One that is
    on no such way is subject, as are the pixels of thin parts that differ most from the ground.
    """
    opacity = np.where(gone, np.float32(0), np.float32(1))
    rim = _grown(gone, rim_of(gone.shape)) & ~gone
    if not rim.any():
        return opacity, frame.astype(np.float32)
    away = _away(frame, surface)
    pure = away >= PURE * _furthest(away, rim_of(gone.shape))
    subject = _behind(frame, ~gone & (~rim | pure))
    own = subject[rim] - surface[rim]
    shift = frame[rim] - surface[rim]
    contrast = (own**2).sum(-1)
    share = (shift * own).sum(-1) / contrast.clip(min=1)
    beside = np.abs(shift - share[:, None] * own).max(-1)
    unmixed = (contrast < 3 * CONTRAST**2) | (beside > CONTRAST)
    share = np.where(unmixed, 1, share).clip(0, 1).astype(np.float32)
    opacity[rim] = share
    colours = frame.astype(np.float32)
    share = share[:, None].clip(min=1 / 255)
    colours[rim] = ((frame[rim] - (1 - share) * surface[rim]) / share).clip(0, 255)
    return opacity, colours


def _furthest(away: Floats, steps: int) -> Floats:
    """The largest of the values [h, w] within so many steps up, down, left and right."""
    for _ in range(steps):
        padded = np.pad(away, 1, mode="edge")
        along = np.maximum(padded[1:-1, :-2], padded[1:-1, 2:])
        across = np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1])
        away = np.maximum(away, np.maximum(along, across))
    return away


def _behind(frame: np.ndarray, inside: Mask) -> Floats:
    """The colours [h, w, 3] of what is inside, outside of it those of what is nearby."""
    opaque = np.concatenate([frame, np.where(inside, 255, 0)[..., None]], axis=-1).astype(np.uint8)
    return bled(opaque)[..., :3].astype(np.float32)


def rim_of(shape: tuple[int, ...]) -> int:
    """Pixels around the ground in which a frame of this height and width may be mixed with it."""
    return max(2, round(min(shape[:2]) / RIM))


def connected_to_border(mask: Mask) -> Mask:
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


def _along_rows(mask: Mask, reached: Mask) -> Mask:
    """Every unbroken stretch of a row of `mask` of which one pixel is reached is reached whole."""
    height, width = mask.shape
    stretch = np.cumsum(~mask, axis=1) + np.arange(height)[:, None] * (width + 1)
    found = np.zeros(height * (width + 1) + width + 1, bool)
    found[stretch[reached]] = True
    return mask & found[stretch]


def _grown(mask: Mask, steps: int) -> Mask:
    for _ in range(steps):
        padded = np.pad(mask, 1)
        beside = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
        mask = mask | beside
    return mask
