"""`lumiere evaluate world`: do the clips show what the prompts ask for?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.measuring import (
    LumiereModel,
    Output,
    Sampling,
    Weights,
    check_between,
    check_output,
    check_sampling,
    finish,
    load,
)

if TYPE_CHECKING:
    from openlumiere.engine.base import LumierePipeline
    from openlumiere.quality.bench import Report

MODELS = {"world-32": "world-32", "world-128": "toys"}  # bundled, of each scope
FLOOR = 20  # prompts of the net without temporal training, at most


@dataclass(frozen=True, kw_only=True)
class EvaluateWorld:
    """Make clips for prompts drawn by a fixed seed, read off their pixels what they show, and count
    how often it is what was asked.

    Half of the prompts name combinations of subject, motion and background that training shows,
    half such that it never shows.
    """

    world: Positional[Path]
    """A built world or a pack: lumiere data world build DIR --scope world-32 makes one in a minute.
    For world-128 a packed cache of toys.
    """
    scope: Literal["world-32", "world-128"] = "world-32"
    """Eight drawings on plain colours, as the bundled model world-32 knows them; or the toy world,
    that of toys. The model of the scope is measured unless --model names another.
    """
    prompts: int = 100
    """Prompts, and clips: half trained combinations, half held out, the five languages by turns."""
    judge: Path | None = None
    """The weights of a judge instead of the bundled one's."""
    floor: int | None = None
    """Of the prompts, how many the net without temporal training gets too: 20, or all where there
    are fewer; 0 for none.
    """
    weights: Annotated[Weights, arg(name="")] = field(default_factory=Weights)
    sampling: Annotated[Sampling, arg(name="")] = field(default_factory=Sampling)
    output: Annotated[Output, arg(name="")] = field(default_factory=Output)


def main(words: list[str]) -> int:
    """Measure; answers the exit code. ValueError is the user's mistake."""
    options = parse(OmitArgPrefixes[EvaluateWorld], words, "evaluate world")
    check_between("prompts", options.prompts, 2, 100_000)
    floor = min(FLOOR, options.prompts) if options.floor is None else options.floor
    check_between("floor", floor, 0, options.prompts)
    check_sampling(options.sampling)
    check_output(options.output)
    measured = toys if options.scope == "world-128" else stickers
    report, fingerprint = measured(options, floor)
    return finish(report, "world", words, fingerprint, options.output)


def stickers(options: EvaluateWorld, floor: int) -> tuple[Report, str]:
    """On world-32; the model's fingerprint beside the report."""
    from openlumiere_world.measures.judge import load_judge
    from openlumiere_world.measures.world import draw_prompts, evaluate
    from openlumiere_world.subjects import World

    world = World.open(options.world)
    judge = load_judge(options.judge)
    base, model, floor_model = both(options)
    sampling = options.sampling
    prompts = draw_prompts(world, -(-options.prompts // 2), sampling.seed)[: options.prompts]
    report = evaluate(
        world,
        prompts,
        judge,
        model,
        floor_model,
        floor=floor,
        frames=sampling.frames,
        side=checked_side(base),
        seed=sampling.seed,
    )
    return report, base.fingerprint()


def toys(options: EvaluateWorld, floor: int) -> tuple[Report, str]:
    """On the toy world; the model's fingerprint beside the report."""
    from openlumiere_world.toys.cache import Cache
    from openlumiere_world.toys.judge import load_judge
    from openlumiere_world.toys.measure import draw_prompts, evaluate
    from openlumiere_world.toys.scene import Planner

    planner = Planner(Cache(options.world))
    judge = load_judge(options.judge)
    base, model, floor_model = both(options)
    sampling = options.sampling
    report = evaluate(
        planner,
        draw_prompts(planner, options.prompts, sampling.seed),
        judge,
        model,
        floor_model,
        floor=floor,
        frames=sampling.frames,
        seed=sampling.seed,
    )
    return report, base.fingerprint()


def both(options: EvaluateWorld) -> tuple[LumierePipeline, LumiereModel, LumiereModel]:
    """The inflated model, what makes its clips, and what makes those of the same net without
    temporal training.
    """
    from openlumiere.engine.base import inflated
    from openlumiere.engine.lumiere import Lumiere

    lumiere = load(options.weights, MODELS[options.scope])
    base = inflated(lumiere.base)
    alpha = options.scope == "world-128"
    model = LumiereModel(lumiere, options.sampling, alpha=alpha)
    slow = replace(options.sampling, fast=False)
    bare = LumiereModel(Lumiere(untrained(base)), slow, alpha=alpha)
    return base, model, bare


def checked_side(base: LumierePipeline) -> int:
    """The side of a model's frames. Raises ValueError where the world is not drawn at it."""
    from openlumiere_world.draw import SIDES

    if base.native_size not in SIDES:
        raise ValueError(
            f"model: expected frames of {', '.join(map(str, SIDES))} px, got {base.native_size},"
            " the world is drawn at those"
        )
    return base.native_size


def untrained(base: LumierePipeline) -> LumierePipeline:
    """The same pipeline around the net without temporal training."""
    from openlumiere_world.measures.world import without_temporal_training

    same = {name: base.config[name] for name in ("unshuffle", "path_spacing", "path_until")}
    parts = {**base.components, "stunet": without_temporal_training(base.stunet)}
    return type(base)(**parts, **same)
