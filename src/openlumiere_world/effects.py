"""What falls or rises in front: rain, snow, confetti, bubbles; two layers of a tile that scrolls
and wraps round.
"""

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

OVERSAMPLING = 4
VARIANTS = 4
LAYERS = 2


@dataclass(frozen=True, kw_only=True)
class Effect:
    """`shift`: how far each layer's tile has moved at each frame, in frame sides, x and y."""

    name: str
    variant: int
    shift: Float[np.ndarray, "l f 2"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """`falls`: whole tiles a clip of five seconds for each layer, negative upwards. `sway`: swings
    sideways, frame sides.
    """

    falls: tuple[int, int]
    sway: float
    count: int


KINDS = {
    "rain": Kind(falls=(9, 7), sway=0.0, count=16),
    "snow": Kind(falls=(2, 1), sway=0.03, count=14),
    "confetti": Kind(falls=(3, 2), sway=0.04, count=13),
    "bubbles": Kind(falls=(-2, -1), sway=0.02, count=7),
}


def plan(name: str, frames: int, rng: random.Random) -> Effect:
    """An effect for a clip; after the last frame every tile is back where it started."""
    kind, u = KINDS[name], np.arange(frames) / frames
    clips = max(frames / 80, 1 / 80)
    layers = [_path(falls, kind, u, clips, rng.uniform(0, 1)) for falls in kind.falls]
    return Effect(name=name, variant=rng.randrange(VARIANTS), shift=np.round(np.stack(layers), 6))


def _path(
    falls: int, kind: Kind, u: np.ndarray, clips: float, start: float
) -> Float[np.ndarray, "f 2"]:
    tiles = int(np.sign(falls)) * max(1, round(abs(falls) * clips))
    sway = kind.sway * np.sin(2 * np.pi * (max(1, round(2 * clips)) * u + start))
    return np.stack([sway, start + tiles * u], axis=-1)


@lru_cache(maxsize=64)
def tile(name: str, variant: int, layer: int, side: int) -> UInt8[np.ndarray, "s s 4"]:
    """One layer's tile, RGBA premultiplied; its edges meet. Read-only."""
    size = side * OVERSAMPLING
    image = Image.new(
        "RGBA", (3 * size, 3 * size)
    )  # drawn nine times over, the middle kept: so the edges meet
    draw, rng = ImageDraw.Draw(image), random.Random(f"{name}/{variant}/{layer}")
    for _ in range(KINDS[name].count):
        _PAINTERS[name](
            draw, rng, rng.uniform(0, size), rng.uniform(0, size), size, 1 - 0.35 * layer
        )
    pixels = np.array(
        image.crop((size, size, 2 * size, 2 * size)).convert("RGBa").reduce(OVERSAMPLING)
    )
    pixels.setflags(write=False)
    return pixels


def _nine(x: float, y: float, size: int):
    return ((x + dx * size, y + dy * size) for dx in range(3) for dy in range(3))


def _rain(draw, rng, x, y, size, near):
    length = size * rng.uniform(0.08, 0.14) * near
    for px, py in _nine(x, y, size):
        draw.line((px, py, px, py + length), fill=(130, 165, 215, 200), width=round(size * 0.016))


def _snow(draw, rng, x, y, size, near):
    radius = size * rng.uniform(0.014, 0.024) * near
    for px, py in _nine(x, y, size):
        draw.ellipse(
            (px - radius, py - radius, px + radius, py + radius), fill=(255, 255, 255, 235)
        )


def _confetti(draw, rng, x, y, size, near):
    colour = rng.choice(
        [(235, 70, 70), (70, 130, 235), (80, 190, 90), (245, 205, 60), (200, 90, 210)]
    )
    half, lean = size * rng.uniform(0.016, 0.024) * near, rng.uniform(0, np.pi)
    a, b = (
        half * 1.5 * np.array([np.cos(lean), np.sin(lean)]),
        half * np.array([-np.sin(lean), np.cos(lean)]),
    )
    for p in _nine(x, y, size):
        draw.polygon([tuple(p + corner) for corner in (a + b, a - b, -a - b, b - a)], fill=colour)


def _bubbles(draw, rng, x, y, size, near):
    radius = size * rng.uniform(0.03, 0.06) * near
    for px, py in _nine(x, y, size):
        box = (px - radius, py - radius, px + radius, py + radius)
        draw.ellipse(
            box, fill=(170, 215, 245, 70), outline=(150, 200, 240, 230), width=round(size * 0.014)
        )
        shine, spot = radius * 0.35, radius * 0.22
        draw.ellipse(
            (px - shine - spot, py - shine - spot, px - shine + spot, py - shine + spot),
            fill=(255, 255, 255, 230),
        )


_PAINTERS = {"rain": _rain, "snow": _snow, "confetti": _confetti, "bubbles": _bubbles}
