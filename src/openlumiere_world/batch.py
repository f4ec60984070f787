"""Batches for training: pictures or clips of a part of the world, with captions and facts, drawn
from a torch generator.

batches = Batches(World.open("WORLD"), WORLD_32) batches.draw(generator, 16)
# 16 pictures batches.draw(generator, 4, frame_times=torch.arange(0, 80, 5))     # 4 clips of 16
frames that span five seconds
"""

import random
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from openlumiere.data.sample import whole_times
from openlumiere_world.backgrounds import COLOURS
from openlumiere_world.captions import caption, compose
from openlumiere_world.draw import SIDES
from openlumiere_world.names import LANGUAGES
from openlumiere_world.render import SpriteBank, render_batch
from openlumiere_world.scene import Facts, cast_of, every_lone_outline, plan, stage
from openlumiere_world.scope import SCOPES, WORLD_32, WORLD_64, Scope, within
from openlumiere_world.subjects import World

__all__ = ["CLIP", "SCOPES", "WORLD_32", "WORLD_64", "Batches", "Drawn", "Scope", "all_captions"]

CLIP = 80  # native frames of a whole clip
SEEDS = 2**62


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """`pixels` in [-1, 1] on the device; `frame_times` of a clip, in native frames: whole ones."""

    pixels: Float[Tensor, "b 3 f h w"]
    captions: list[str]
    facts: list[Facts]
    frame_times: Int[Tensor, "b f"]


class Batches:
    """Draws from the sprites of a scope and split, which it keeps on the device: 16 KiB a frame at
    64 px, a quarter at 32.

    `size`: side of the frames, 32, 64 or 256 px. The whole world at 64 px takes a gigabyte and a
    minute to read; at 256 px draw from a pack or a narrow scope. Raises ValueError for another size
    or split, and for a scope that has no drawings in this world.
    """

    def __init__(
        self,
        world: World,
        scope: Scope = WORLD_64,
        split: str = "train",
        size: int = 32,
        device: torch.device | str = "cpu",
    ):
        if size not in SIDES:
            raise ValueError(
                f"size: expected one of {', '.join(map(str, SIDES))}, got {size}, draw one of"
                " those and resize the clips"
            )
        self.world, self.scope, self.split = world, scope, split
        self.bank = SpriteBank(
            world, [item.id for item in cast_of(world, split, scope).items], size, device
        )

    def draw(
        self, generator: torch.Generator, count: int, frame_times: Tensor | None = None
    ) -> Drawn:
        """`count` pictures; or clips, seen at `frame_times` [f] or [b, f] in native frames (0 to
        79), rounded to whole ones.

        One time is a picture with the caption of the clip it is from. Raises ValueError for times
        outside a clip.
        """
        seeds = torch.randint(
            SEEDS, (count,), generator=generator, device=generator.device
        ).tolist()
        frames = 1 if frame_times is None else CLIP
        asked = torch.zeros(1) if frame_times is None else frame_times
        times = whole_times(asked, count, frames, "native frames")
        facts = [plan(self.world, seed, self.split, frames, self.scope) for seed in seeds]
        levels = render_batch(self.bank, facts, times.numpy())
        pixels = rearrange(levels, "b f c h w -> b c f h w").float() / 127.5 - 1
        return Drawn(
            pixels=pixels,
            captions=[caption(self.world, each, self.scope) for each in facts],
            facts=facts,
            frame_times=times,
        )


def all_captions(world: World, scope: Scope, split: str = "train") -> list[str]:
    """Every caption that `Batches` of this scope and split can give, of pictures and clips, so that
    text states are computed once.

    Raises:
        ValueError: a scope whose captions can't be listed: it must limit wordings, have plain
        backgrounds and a still camera, and
            neither copies nor pairs nor loops.
    """
    alone = scope.cameras == ("still",) and not (scope.copies or scope.pairs or scope.loops)
    if not (
        alone and scope.wordings and scope.backgrounds and set(scope.backgrounds) <= set(COLOURS)
    ):
        raise ValueError(
            "scope: expected one with few captions (see WORLD_32), got one with too many to list,"
            " encode them as they are drawn"
        )
    contents = [
        stage(outline, random.Random(0), seed=0, split_name=split, language="en", frames=frames)
        for frames in (1, 2)
        for outline in every_lone_outline(
            cast_of(world, split, scope), split, scope, moving=frames > 1
        )
    ]
    languages = within(scope.languages, LANGUAGES)
    return sorted(
        {
            compose(world, facts, language, number, scope).text
            for facts in contents
            for language in languages
            for number in range(scope.wordings)
        }
    )
