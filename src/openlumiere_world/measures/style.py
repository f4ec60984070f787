"""The measure `style`: styles learnt from single drawings of the style that nothing was trained on,
blended in at several weights.

A judge of its own learns to tell that style from the trained ones, from rendered frames alone, and
reads what is made under the blend `W = a W_style + (1 - a) W_orig` (PAPER: style). The drawings
that a style is learnt from show subjects that are not asked for. All of this is our choice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8

from openlumiere.contract import NATIVE_RATE
from openlumiere.engine.lumiere import Lumiere
from openlumiere.media import Clip
from openlumiere.tasks import Learning
from openlumiere_world.batch import CLIP, Batches, Drawn
from openlumiere_world.measures.judge import SIDE, Judge, JudgeConfig, accuracy, draw_moments, fit
from openlumiere_world.measures.reading import read
from openlumiere_world.measures.sources import Ask, ask
from openlumiere_world.measures.tasks import READS, Figure, Settings, Show
from openlumiere_world.scene import plan
from openlumiere_world.scope import WORLD_32, Scope
from openlumiere_world.sources import HELD_OUT_STYLE
from openlumiere_world.subjects import World

WEIGHTS = (0.0, 0.5, 0.7, 0.85, 1.0)
TASK = "style"
UNSAID = frozenset({"style"})
REFERENCE_SIDE = 64  # pixels of a drawing that a style is learnt from
COLUMNS = {
    "subject": READS["subject"],
    "style": "reads as the learnt style",
    "motion": READS["motion"],
}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A drawing in the held-out style, what it shows, and what to ask for under its style."""

    picture: UInt8[np.ndarray, "h w 3"]
    prompt: str
    asked: Ask


def held_out(scope: Scope = WORLD_32) -> Scope:
    """The same part of the world in the style that is never trained on, which the captions, English
    ones, do not name.
    """
    return replace(scope, styles=(HELD_OUT_STYLE,), default_style=HELD_OUT_STYLE, languages=("en",))


def asks(world: World, count: int, seed: int, scope: Scope = WORLD_32) -> list[Ask]:
    """Sentences that name no style, of clips in the one that is meant then."""
    plain = replace(scope, styles=(scope.default_style,))
    return [
        ask(world, plan(world, seed + number, "train", CLIP, plain), scope, UNSAID)
        for number in range(count)
    ]


def references(
    world: World, given: list[Ask], seed: int, scope: Scope = WORLD_32
) -> list[Reference]:
    """A drawing for each ask: of another subject of the same groups, on white, where black outlines
    show. Raises ValueError for a world without the style.
    """
    groups = {item.group for item in world.items if item.subject in scope.subjects}
    drawn = {
        item.subject
        for item in world.items
        if item.style == HELD_OUT_STYLE and item.group in groups and not item.toned
    }
    others = sorted(drawn - set(scope.subjects))
    if len(others) < len(given):
        expected = f"at least {len(given)} drawings in the style {HELD_OUT_STYLE}"
        raise ValueError(
            f"world: expected {expected}, got {len(others)}, build the whole one: lumiere data"
            " world build DIR"
        )
    chosen = random.Random(seed).sample(others, len(given))
    return [
        reference(
            world,
            replace(held_out(scope), subjects=(subject,), backgrounds=("white",)),
            asked,
            seed,
        )
        for subject, asked in zip(chosen, given)
    ]


def reference(world: World, scope: Scope, asked: Ask, seed: int) -> Reference:
    """A drawing within this part of the world, and what it is for."""
    drawn = Batches(world, scope, "style", REFERENCE_SIDE).draw(
        torch.Generator().manual_seed(seed), 1
    )
    picture = ((drawn.pixels[0, :, 0] + 1) * 127.5).round().to(torch.uint8)
    prompt = ask(world, drawn.facts[0], scope, UNSAID).prompt
    return Reference(
        picture=np.ascontiguousarray(rearrange(picture, "c h w -> h w c").numpy()),
        prompt=prompt,
        asked=asked,
    )


def train_style_judge(world: World, config: JudgeConfig, scope: Scope = WORLD_32) -> Judge:
    """A judge of the scope's subjects in its styles and the held-out one, each style as often as
    another.
    """
    torch.manual_seed(config.seed)
    trained, fresh = (
        Batches(world, scope, "train", SIDE),
        Batches(world, held_out(scope), "style", SIDE),
    )
    judge = Judge(tuple(sorted(scope.subjects)), (*scope.styles, HELD_OUT_STYLE))
    new = config.batch // len(judge.styles)

    def draw(generator: torch.Generator) -> Drawn:
        return join(
            draw_moments(trained, generator, config.batch - new),
            draw_moments(fresh, generator, new),
            generator,
        )

    return fit(judge, draw, config)


def join(one: Drawn, other: Drawn, generator: torch.Generator) -> Drawn:
    """Both in one batch, shuffled: the judge's loss spoils and roughens frames by their place."""
    facts, order = (
        [*one.facts, *other.facts],
        torch.randperm(len(one.facts) + len(other.facts), generator=generator),
    )
    return Drawn(
        pixels=torch.cat([one.pixels, other.pixels])[order],
        captions=[],
        facts=[facts[k] for k in order],
        frame_times=torch.cat([one.frame_times, other.frame_times])[order],
    )


def judge_figures(
    judge: Judge, world: World, frames: int = 300, scope: Scope = WORLD_32
) -> Iterator[Figure]:
    """How often the judge reads rendered frames right that it did not learn from."""
    for name, split, drawn in (
        ("trained styles", "validation", scope),
        ("held-out style", "style", held_out(scope)),
    ):
        for aspect, rate in accuracy(
            judge, Batches(world, drawn, split, SIDE), frames, rough=True
        ).items():
            yield figure(
                "renders",
                f"judge reads the {aspect} of rendered frames right, {name} (share)",
                rate.share,
            )


def sweep(
    lumiere: Lumiere,
    given: list[Reference],
    frames: int,
    settings: Settings,
    learning: Learning,
    judge: Judge,
    show: Show,
) -> Iterator[Figure]:
    """For each reference a style, and a clip at each weight; only the weight differs."""
    for number, each in enumerate(given):
        start = time.process_time()
        style = lumiere.learn_style([each.picture], TASK, prompts=[each.prompt], learning=learning)
        yield figure(f"reference {number}", "CPU seconds to learn it", time.process_time() - start)
        show(f"style {number} learnt from", Clip(each.picture[None]))
        for weight in WEIGHTS:
            made = lumiere.generate(
                each.asked.prompt,
                frames=frames,
                fps=NATIVE_RATE * frames / CLIP,
                size=SIDE,
                style=style,
                style_weight=weight,
                steps=settings.steps,
                guidance=settings.guidance,
                seed=settings.seed + number,
            )
            show(f"style {number} at a = {weight:g}", made)
            yield from read_styled(number, each.asked, made, judge, weight)


def read_styled(
    number: int, asked: Ask, made: Clip, judge: Judge, weight: float
) -> Iterator[Figure]:
    """What a judge reads off a clip under a style."""
    seen = read(made.frames, judge)
    hits = {
        "style": seen.style == HELD_OUT_STYLE,
        "subject": seen.subject == asked.subject,
        "motion": seen.motion == asked.motion,
    }
    for aspect, hit in hits.items():
        yield figure(f"reference {number}", f"{COLUMNS[aspect]} at a = {weight:g}", hit)


def figure(source: str, what: str, value: float | bool) -> Figure:
    """One of this measure."""
    return Figure(source=source, task=TASK, keep="", what=what, value=value)
