"""Clips for the measure `tasks`: drawn from the sticker world, with all that is true of them, or a
person's own files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

from openlumiere.contract import NATIVE_RATE
from openlumiere.media import Clip
from openlumiere_world.batch import CLIP, Batches
from openlumiere_world.captions import compose
from openlumiere_world.measures.reading import WAYS
from openlumiere_world.scene import Facts
from openlumiere_world.scope import WORLD_32, Scope
from openlumiere_world.subjects import World

SECONDS = 5
VARIATIONS = 200


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A sentence and what a clip made for it shows; empty where that is not read."""

    prompt: str
    subject: str = ""
    style: str = ""
    motion: str = ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A clip and what it shows. Of clips of the world: the same in other words.

    `turned`: the same subject going each way, by the way; `other`: another subject in its place;
    `restyled`: the same in another style, in a sentence that says nothing of motion.
    """

    name: str
    clip: Clip
    shows: Ask
    turned: Mapping[str, Ask] = field(default_factory=dict)
    other: Ask | None = None
    restyled: Ask | None = None


def draw_sources(
    world: World, count: int, frames: int, seed: int, scope: Scope = WORLD_32, side: int = 32
) -> list[Source]:
    """Clips of training content, `frames` frames over five seconds; every sentence is English and
    says motion and background.
    """
    batches = Batches(world, scope, "train", side)
    drawn = batches.draw(
        torch.Generator().manual_seed(seed), count, torch.arange(frames) * (CLIP / frames)
    )
    levels = rearrange(
        ((drawn.pixels + 1) * 127.5).round().to(torch.uint8), "b c f h w -> b f h w c"
    ).numpy()
    rate = NATIVE_RATE * frames / CLIP
    return [
        described(f"world {index}", Clip(np.ascontiguousarray(clip), rate), world, facts, scope)
        for index, (clip, facts) in enumerate(zip(levels, drawn.facts))
    ]


def described(name: str, clip: Clip, world: World, facts: Facts, scope: Scope) -> Source:
    """A drawn clip, and sentences about what it shows and might show."""
    subjects, styles = sorted(scope.subjects), scope.styles
    actor = facts.actors[0]
    other = cast(
        world, facts, subjects[(subjects.index(actor.subject) + 1) % len(subjects)], actor.style
    )
    restyled = replace(
        cast(world, facts, actor.subject, styles[(styles.index(actor.style) + 1) % len(styles)]),
        frames=1,
    )
    turned = {way: ask(world, replace(facts, motion=way), scope) for way in WAYS}
    return Source(
        name=name,
        clip=clip,
        shows=ask(world, facts, scope),
        turned=turned,
        other=ask(world, other, scope),
        restyled=ask(world, restyled, scope),
    )


def cast(world: World, facts: Facts, subject: str, style: str) -> Facts:
    """The same with another drawing."""
    item = next(
        item
        for item in world.items
        if (item.subject, item.style, item.kind) == (subject, style, "still")
    )
    return replace(
        facts, actors=(replace(facts.actors[0], item=item.id, subject=subject, style=style),)
    )


def ask(world: World, facts: Facts, scope: Scope, unsaid: frozenset[str] = frozenset()) -> Ask:
    """An English sentence for these facts that says motion (of one frame: nothing of it) and
    background, and not what is to be `unsaid`.
    """
    actor, told = facts.actors[0], {"motion", "background"} if facts.frames > 1 else {"background"}
    for variation in range(VARIATIONS):
        caption = compose(world, facts, "en", variation, replace(scope, wordings=0))
        said = {what for what, _ in caption.said}
        if told == said & {"motion", "background"} and not said & unsaid:
            return Ask(
                prompt=caption.text, subject=actor.subject, style=actor.style, motion=facts.motion
            )
    raise ValueError(
        f"scope: expected captions that say {' and '.join(sorted(told))}, got none in"
        f" {VARIATIONS}, use world-32"
    )


def open_source(text: str, frames: int) -> Source:
    """`cat.mp4=a cat walks`; without words the prompt is the file's name."""
    path, _, prompt = text.partition("=")
    return Source(
        name=Path(path).name,
        clip=thinned(Clip.load(path).over("white"), frames),
        shows=Ask(prompt=prompt or Path(path).stem),
    )


def thinned(clip: Clip, frames: int) -> Clip:
    """The first five seconds in about as many frames; a clip that has no more is left alone."""
    first = clip.frames[: max(1, int(SECONDS * clip.fps))]
    stride = -(-len(first) // frames)
    return (
        clip
        if stride == 1 and len(first) == len(clip)
        else replace(clip, frames=first[::stride], fps=clip.fps / stride, audio=None)
    )
