"""The batched renderer: many clips at once on any device, as training wants them.

The same picture as `draw.render` by other means: sprites lie as tensors on the device, and affine
grids place them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from openlumiere_world import effects
from openlumiere_world.backgrounds import EXTENT, paint
from openlumiere_world.draw import FINER
from openlumiere_world.effects import Effect
from openlumiere_world.scene import Actor, Facts
from openlumiere_world.subjects import World

AT_ONCE = 256  # frames sampled together: 64 MiB at 64 px, enough to fill a device


class SpriteBank:
    """Sprites of one size on a device: all frames of all items one after another, RGBA
    premultiplied.

    64 px sprites take 16 KiB a frame: every base animation and 5,000 stills are 0.9 GiB.
    """

    def __init__(
        self, world: World, ids: Sequence[str], side: int, device: torch.device | str = "cpu"
    ):
        """Raises ValueError when an id is not in the world."""
        missing = [id for id in ids if id not in world.by_id]
        if missing:
            raise ValueError(
                f"expected ids of this world, got {missing[0]!r}: take them from world.items"
            )
        self.side, self.device = side, torch.device(device)
        counts = [world.by_id[id].frames for id in ids]
        self.first = dict(zip(ids, np.cumsum([0, *counts[:-1]]).tolist()))
        self.frames: UInt8[Tensor, "n 4 s s"] = torch.empty(
            sum(counts), 4, side, side, dtype=torch.uint8, device=device
        )
        for id, count in zip(ids, counts):
            sprite = torch.from_numpy(world.sprite(id, side).transpose(0, 3, 1, 2).copy())
            self.frames[self.first[id] : self.first[id] + count] = sprite.to(device)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One actor of every clip that has that many, at the frames where it is not wholly transparent.

    `row` counts frames through the batch (clip * f + frame); `frame` is the sprite's in the bank.
    """

    row: Int[Tensor, " n"]
    frame: Int[Tensor, " n"]
    place: Float[Tensor, "n 7"]  # x, y, scale, angle, opacity, anchor x, anchor y


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What `compose` needs of a batch of clips, as tensors: made by `gather`, perhaps in another
    process.
    """

    frames: int
    background: UInt8[Tensor, "b 3 g g"]
    moving: Int[Tensor, " m"]  # the clips with a moving camera
    view: Float[Tensor, "m f 3"]  # x, y, zoom of those
    layers: tuple[Layer, ...]  # from back to front
    lively: Int[Tensor, " e"]  # the clips with an effect
    tiles: UInt8[Tensor, "e l 4 s s"]
    shift: Float[Tensor, "e f l 2"]

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device."""
        return _moved(self, device)


def _moved(value, device):
    """A copy of nested tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in value)
    return (
        type(value)(**{name: _moved(part, device) for name, part in vars(value).items()})
        if isinstance(value, (Batch, Layer))
        else value
    )


def render_batch(
    bank: SpriteBank, clips: Sequence[Facts], at: Int[np.ndarray, "b f"] | None = None
) -> UInt8[Tensor, "b f 3 s s"]:
    """The pixels of several clips, each at all its frames or at its row of frame numbers `at`.

    Raises:
        ValueError: a sprite that is not in the bank, or clips of unequal length without `at`.
    """
    return compose(bank, gather(bank, clips, at).to(bank.device))


def gather(
    bank: SpriteBank, clips: Sequence[Facts], at: Int[np.ndarray, "b f"] | None = None
) -> Batch:
    """What `compose` needs, on the CPU. Raises ValueError as `render_batch` does."""
    at = _frame_numbers(clips) if at is None else np.asarray(at)
    moving = [n for n, facts in enumerate(clips) if facts.camera != "still"]
    lively = [n for n, facts in enumerate(clips) if facts.effect]
    depth = max(len(facts.actors) for facts in clips)
    views = [
        np.stack([clips[n].view.x, clips[n].view.y, clips[n].view.zoom], -1)[at[n]] for n in moving
    ]
    side, frames = bank.side, at.shape[1]
    return Batch(
        frames=frames,
        background=_stacked([paint(facts.background, side).transpose(2, 0, 1) for facts in clips]),
        moving=torch.tensor(moving, dtype=torch.long),
        view=_stacked(views, (frames, 3)).float(),
        layers=tuple(_layer(bank, clips, at, number) for number in reversed(range(depth))),
        lively=torch.tensor(lively, dtype=torch.long),
        tiles=_stacked(
            [_tiles(effect, side) for _, effect in _effects(clips, lively)],
            (effects.LAYERS, 4, side, side),
            np.uint8,
        ),
        shift=_stacked(
            [effect.shift[:, at[n]].swapaxes(0, 1) for n, effect in _effects(clips, lively)],
            (frames, effects.LAYERS, 2),
        ).float(),
    )


def compose(bank: SpriteBank, batch: Batch) -> UInt8[Tensor, "b f 3 s s"]:
    """Draw a batch that lies on the bank's device."""
    canvas = _backgrounds(batch, bank.side)
    flat = canvas.flatten(0, 1)
    for layer in batch.layers:
        for part in torch.arange(len(layer.row), device=bank.device).split(AT_ONCE):
            rows = layer.row[part]
            flat[rows] = _over(_sprites(bank, layer.frame[part], layer.place[part]), flat[rows])
    for n, clip in enumerate(batch.lively.tolist()):
        for number in reversed(range(effects.LAYERS)):
            canvas[clip] = _over(
                _effect(batch.tiles[n, number], batch.shift[n, :, number]), canvas[clip]
            )
    return canvas.round_().to(torch.uint8)


def _backgrounds(batch: Batch, side: int) -> Float[Tensor, "b f 3 s s"]:
    first = (EXTENT - 1) * side // 2
    middle = batch.background[:, None, :, first : first + side, first : first + side]
    canvas = middle.float().repeat(1, batch.frames, 1, 1, 1)
    for n, clip in enumerate(batch.moving.tolist()):
        canvas[clip] = _seen(batch.background[clip], batch.view[n], side)
    return canvas


def _seen(
    background: UInt8[Tensor, "3 g g"], view: Float[Tensor, "f 3"], side: int
) -> Float[Tensor, "f 3 s s"]:
    """What a moving camera sees of one background."""
    x, y, zoom = view.unbind(-1)
    window, zero = 1 / (EXTENT * zoom), torch.zeros_like(x)  # of the background, as a share of it
    theta = torch.stack([window, zero, 2 * x / EXTENT, zero, window, 2 * y / EXTENT], -1)
    return _sampled(background, theta, side)


def _effect(tile: UInt8[Tensor, "4 s s"], shift: Float[Tensor, "f 2"]) -> Float[Tensor, "f 4 s s"]:
    start = -shift % 1  # where in the tile the frame begins
    half, zero = torch.full_like(start[:, 0], 0.5), torch.zeros_like(start[:, 0])
    theta = torch.stack([half, zero, start[:, 0] - 0.5, zero, half, start[:, 1] - 0.5], -1)
    return _sampled(tile.repeat(1, 2, 2), theta, tile.shape[-1])


def _sampled(
    picture: UInt8[Tensor, "c g g"], theta: Float[Tensor, "f 6"], side: int
) -> Float[Tensor, "f c s s"]:
    """One picture seen through f upright windows: all frames in one look."""
    f, c = len(theta), len(picture)
    grid = F.affine_grid(theta.view(f, 2, 3), [f, c, side, side], align_corners=False).reshape(
        1, f * side, side, 2
    )
    drawn = F.grid_sample(
        picture[None].float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return drawn.view(c, f, side, side).transpose(0, 1)


def _sprites(
    bank: SpriteBank, frame: Int[Tensor, " n"], place: Float[Tensor, "n 7"]
) -> Float[Tensor, "n 4 s s"]:
    x, y, scale, angle, opacity, anchor_x, anchor_y = place.unbind(-1)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    dx, dy = 1 - 2 * x, 1 - 2 * y  # from the subject to the middle of the frame, in half frames
    left, top = cos * dx + sin * dy + 2 * anchor_x - 1, cos * dy - sin * dx + 2 * anchor_y - 1
    theta = torch.stack([cos, sin, left, -sin, cos, top], -1).view(-1, 2, 3)
    pictures = bank.frames[frame].float().mul_(opacity.view(-1, 1, 1, 1))
    grid = F.affine_grid(
        theta, [len(frame), 4, bank.side * FINER, bank.side * FINER], align_corners=False
    )
    fine = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(fine, FINER)


def _over(
    over: Float[Tensor, "n 4 s s"], under: Float[Tensor, "n 3 s s"]
) -> Float[Tensor, "n 3 s s"]:
    return torch.addcmul(over[:, :3] + under, under, over[:, 3:], value=-1 / 255)


def _frame_numbers(clips: Sequence[Facts]) -> Int[np.ndarray, "b f"]:
    lengths = {facts.frames for facts in clips}
    if len(lengths) != 1:
        raise ValueError(
            f"expected clips of one length, got {sorted(lengths)}: say which frames with at="
        )
    return np.tile(np.arange(lengths.pop()), (len(clips), 1))


def _layer(
    bank: SpriteBank, clips: Sequence[Facts], at: Int[np.ndarray, "b f"], number: int
) -> Layer:
    parts = [
        _actor(bank, facts.actors[number], n, at[n])
        for n, facts in enumerate(clips)
        if number < len(facts.actors)
    ]
    row, frame, place = (torch.from_numpy(np.concatenate(part)) for part in zip(*parts))
    return Layer(row=row, frame=frame, place=place.float())


def _actor(
    bank: SpriteBank, actor: Actor, clip: int, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, sprite frames and places of one actor of one clip, at its frames `numbers`."""
    if actor.item not in bank.first:
        raise ValueError(
            f"expected a sprite of {actor.item} in the bank, got none: build the bank with every"
            " id drawn"
        )
    shown = np.flatnonzero(actor.opacity[numbers] > 0)
    curves = np.stack([actor.x, actor.y, actor.scale, actor.angle, actor.opacity], -1)[
        numbers[shown]
    ]
    places = np.concatenate([curves, np.tile(actor.anchor, (len(shown), 1))], -1)
    return clip * len(numbers) + shown, bank.first[actor.item] + actor.frame[numbers[shown]], places


def _effects(clips: Sequence[Facts], lively: Sequence[int]) -> Iterator[tuple[int, Effect]]:
    """The effect of each clip that has one, with the clip's number."""
    for number in lively:
        effect = clips[number].effect
        if effect is not None:
            yield number, effect


def _tiles(effect: Effect, side: int) -> UInt8[np.ndarray, "l 4 s s"]:
    layers = [
        effects.tile(effect.name, effect.variant, layer, side) for layer in range(effects.LAYERS)
    ]
    return np.stack(layers).transpose(0, 3, 1, 2)


def _stacked(arrays: list[np.ndarray], empty: tuple[int, ...] = (), dtype=np.float64) -> Tensor:
    """One tensor of arrays of one shape; of no arrays, one with room for none of shape `empty`."""
    return torch.from_numpy(np.stack(arrays) if arrays else np.zeros((0, *empty), dtype))
