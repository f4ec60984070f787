"""The reference renderer: one clip at a time, drawn with Pillow frame by frame. Slow to read
nothing, simple to trust.

A sprite is sampled twice as fine as the frame and averaged, which smooths edges and lets it move by
parts of a pixel.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from openlumiere.media import Clip
from openlumiere_world import captions, effects
from openlumiere_world.backgrounds import EXTENT, paint
from openlumiere_world.effects import Effect
from openlumiere_world.scene import Actor, Facts, plan
from openlumiere_world.scope import WORLD_64, Scope
from openlumiere_world.subjects import FPS, World

FINER = 2  # samples a pixel, each way
SIDES = (32, 64, 256)

Canvas = Float[np.ndarray, "f h w 3"]


def draw(
    world: World,
    seed: int,
    split: str = "train",
    size: int = 64,
    frames: int = 80,
    scope: Scope = WORLD_64,
) -> tuple[Clip, str, Facts]:
    """A clip of the world, its caption and its facts. The same seed gives the same facts and
    caption everywhere, and pixels within one level of each other.

    Args:
        split: train, validation, composition (held-out combinations) or style (the held-out style).
        size: side of the frames in pixels: 32, 64 or 256.
        frames: 80 for a clip of five seconds, 1 for a picture.
        scope: a part of the world to draw from; everything by default.

    Raises:
        ValueError: an unknown split or size, no frames, or a damaged world.
    """
    facts = plan(world, seed, split, frames, scope)
    return (
        Clip(render(world, facts, size), fps=Fraction(FPS)),
        captions.caption(world, facts, scope),
        facts,
    )


def render(
    world: World, facts: Facts, size: int, at: Sequence[int] | np.ndarray | None = None
) -> UInt8[np.ndarray, "f h w 3"]:
    """The pixels of a clip, or of its frames `at` only."""
    if size not in SIDES:
        raise ValueError(
            f"expected a size among {SIDES}, got {size}: draw one of those and resize the clip"
        )
    numbers = np.arange(facts.frames)[slice(None) if at is None else np.asarray(at)]
    canvas = _background(facts, size, numbers)
    for actor in reversed(facts.actors):
        _add_actor(canvas, actor, world.sprite(actor.item, size), numbers)
    if facts.effect:
        for layer in reversed(range(effects.LAYERS)):
            _add_layer(canvas, facts.effect, layer, numbers)
    return np.rint(canvas).astype(np.uint8)


def _background(facts: Facts, size: int, numbers: np.ndarray) -> Canvas:
    picture = paint(facts.background, size)
    if facts.camera == "still":
        first = (EXTENT - 1) * size // 2
        return np.repeat(
            picture[None, first : first + size, first : first + size], len(numbers), 0
        ).astype(np.float32)
    image, view = Image.fromarray(picture), facts.view
    frames = [_seen(image, size, view.x[n], view.y[n], 1 / view.zoom[n]) for n in numbers]
    return np.stack(frames).astype(np.float32)


def _seen(image: Image.Image, size: int, x: float, y: float, step: float) -> np.ndarray:
    """What a camera at x, y (frame sides from the middle) sees: one background pixel is `1 / step`
    of the frame's.
    """
    left, top = ((EXTENT / 2 + centre) * size - step * size / 2 for centre in (x, y))
    return np.asarray(
        image.transform(
            (size, size),
            Image.Transform.AFFINE,
            (step, 0, left, 0, step, top),
            Image.Resampling.BILINEAR,
        )
    )


def _add_actor(
    canvas: Canvas, actor: Actor, sprite: UInt8[np.ndarray, "n s s 4"], numbers: np.ndarray
) -> None:
    images = {n: Image.fromarray(sprite[n], "RGBa") for n in set(actor.frame[numbers].tolist())}
    for row, n in enumerate(numbers.tolist()):
        if actor.opacity[n] > 0:
            _add_sprite(canvas[row], actor, n, images[int(actor.frame[n])])


def _add_sprite(frame: np.ndarray, actor: Actor, n: int, sprite: Image.Image) -> None:
    """Sample the sprite where it can be seen only, then lay it over the frame."""
    size, side = len(frame), sprite.width
    scale, cos, sin = float(actor.scale[n]), math.cos(actor.angle[n]), math.sin(actor.angle[n])
    across, along = (
        (-scale * anchor, scale * (1 - anchor)) for anchor in actor.anchor
    )  # the sprite's edges, unturned
    x0, x1 = _span(actor.x[n], [cos * x for x in across], [-sin * y for y in along], size)
    y0, y1 = _span(actor.y[n], [sin * x for x in across], [cos * y for y in along], size)
    if x0 >= x1 or y0 >= y1:
        return
    step = side / (scale * size * FINER)  # sprite pixels from one sample to the next
    dx, dy = (
        first * FINER - centre * size * FINER
        for first, centre in ((x0, actor.x[n]), (y0, actor.y[n]))
    )
    left = step * (cos * dx + sin * dy) + actor.anchor[0] * side
    top = step * (cos * dy - sin * dx) + actor.anchor[1] * side
    turn = (step * cos, step * sin, left, -step * sin, step * cos, top)
    fine = sprite.transform(
        ((x1 - x0) * FINER, (y1 - y0) * FINER),
        Image.Transform.AFFINE,
        turn,
        Image.Resampling.BILINEAR,
    )
    _lay_over(frame[y0:y1, x0:x1], np.asarray(fine.reduce(FINER)), actor.opacity[n])


def _span(centre: float, one: list[float], other: list[float], size: int) -> tuple[int, int]:
    """First and last pixel, along one axis, that the turned sprite touches within the frame."""
    first, last = centre + min(one) + min(other), centre + max(one) + max(other)
    return max(0, math.floor(first * size)), min(size, math.ceil(last * size))


def _lay_over(under: np.ndarray, over: UInt8[np.ndarray, "h w 4"], opacity: float) -> None:
    """In place; `over` has its colours multiplied by alpha."""
    over = over.astype(np.float32) * np.float32(opacity)
    under *= 1 - over[..., 3:] / 255
    under += over[..., :3]


def _add_layer(canvas: Canvas, effect: Effect, layer: int, numbers: np.ndarray) -> None:
    size = canvas.shape[1]
    picture = effects.tile(effect.name, effect.variant, layer, size)
    image = Image.fromarray(np.tile(picture, (2, 2, 1)), "RGBa")
    for row, n in enumerate(numbers.tolist()):
        left, top = -effect.shift[layer, n] % 1 * size
        moved = image.transform(
            (size, size), Image.Transform.AFFINE, (1, 0, left, 0, 1, top), Image.Resampling.BILINEAR
        )
        _lay_over(canvas[row], np.asarray(moved), 1.0)
