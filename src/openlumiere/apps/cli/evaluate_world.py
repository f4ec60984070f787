"""`lumiere evaluate world`: do the clips show what the prompts ask for?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm
from tyro.conf import Positional

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.loading import load
from openlumiere.apps.cli.report import check_report, write_json
from openlumiere.engine.base import NATIVE_RATE, LumierePipeline
from openlumiere.engine.finish import Shown
from openlumiere.media import Clip, contact_sheet, filmstrip, save_image
from openlumiere.tasks.request import DEFAULT_GUIDANCE, DEFAULT_STEPS, check_range
from openlumiere_world.batch import CLIP
from openlumiere_world.draw import SIDES
from openlumiere_world.measures.judge import load_judge
from openlumiere_world.measures.world import (
    Columns,
    Prompt,
    as_json,
    draw_prompts,
    measure,
    reference_features,
    rendered,
    summary,
    tables,
    without_temporal_training,
)
from openlumiere_world.subjects import World

SHEET_CLIPS, SHEET_COLUMNS, SHEET_FRAMES = 40, 4, 6


@dataclass(frozen=True, kw_only=True)
class EvaluateWorld:
    """Make clips for prompts drawn by a fixed seed, read off their pixels what they show, and count
    how often it is what was asked.

    Half of the prompts name combinations of subject, motion and background that training shows,
    half such that it never shows.
    """

    world: Positional[Path]
    """A built world or a pack: lumiere data world build DIR --scope world-32 makes one in a minute.
    """
    prompts: int = 100
    """Prompts, and clips: half trained combinations, half held out, the five languages by turns."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    judge: Path | None = None
    """The weights of a judge instead of the carried one's."""
    seed: int = 0
    """Draws the prompts; clip n is made with seed + n."""
    frames: int = 16
    """Frames a clip, always over the same five seconds: 80 are all."""
    steps: int = DEFAULT_STEPS
    """Denoising steps."""
    guidance: float = DEFAULT_GUIDANCE
    """How closely to follow the prompt; 1 is off."""
    floor: int = 20
    """Of the prompts, how many the net without temporal training gets too; 0 for none."""
    batch: int = 4
    """Clips made at a time."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    out: Path | None = None
    """Where to write every figure and reading: .json."""
    sheet: Path | None = None
    """Where to write filmstrips of the first 40 clips: .png."""


def main(words: list[str]) -> int:
    options = parse(EvaluateWorld, words, "evaluate world")
    check(options)
    world, (judge, about) = World.open(options.world), load_judge(options.judge)
    base = load(options.model, options.device, options.dtype).base
    side = checked_side(base)
    prompts = draw_prompts(world, -(-options.prompts // 2), options.seed)[: options.prompts]
    shown: list[np.ndarray] = []
    columns = Columns(
        made=measure(prompts, keep_first(generate(base, prompts, options), shown), judge),
        real=measure(prompts, rendered(world, prompts, options.frames, side), judge),
        floor=measure(
            prompts[: options.floor],
            generate(untrained(base), prompts[: options.floor], options),
            judge,
        )
        if options.floor
        else [],
        reference=reference_features(world, judge, side),
    )
    found = summary(columns, judge)
    command = shlex.join(["lumiere", "evaluate", "world", *words])
    print(
        f"{tables(found)}\n\nthe judge, on renders it did not learn from: {judge_line(about)}\n\n    {command}"
    )
    if options.out is not None:
        report = {
            "command": command,
            "model": base.fingerprint(),
            "judge": about,
            **as_json(found, columns.made),
        }
        write_json(options.out, report)
        print(options.out)
    if options.sheet is not None:
        origin = Shown(command=command, model=base.fingerprint())
        strips = [filmstrip(Clip(frames), min(SHEET_FRAMES, options.frames)) for frames in shown]
        save_image(
            contact_sheet(
                strips, SHEET_COLUMNS, [prompt.text for prompt in prompts[: len(strips)]]
            ),
            options.sheet,
            origin,
        )
        print(options.sheet)
    return 0


def check(options: EvaluateWorld) -> None:
    """Refuse before the long work what would fail after it."""
    check_range("prompts", options.prompts, 2, 100_000)
    check_range("frames", options.frames, 2, CLIP)
    check_range("steps", options.steps, 1, 1000)
    check_range("batch", options.batch, 1, 1000)
    check_range("seed", options.seed, 0, 2**62)
    check_range("guidance", options.guidance, 0, 100)
    check_range("floor", options.floor, 0, options.prompts)
    check_report(options.out, options.sheet)


def checked_side(base: LumierePipeline) -> int:
    if base.native_size not in SIDES:
        raise ValueError(
            f"model: expected frames of {', '.join(map(str, SIDES))} px, got {base.native_size}, the world is drawn at those"
        )
    return base.native_size


def untrained(base: LumierePipeline) -> LumierePipeline:
    """The same pipeline around the net without temporal training."""
    same = {name: base.config[name] for name in ("unshuffle", "path_spacing", "path_until")}
    return LumierePipeline(
        **{**base.components, "stunet": without_temporal_training(base.stunet)}, **same
    )


def generate(
    base: LumierePipeline, prompts: list[Prompt], options: EvaluateWorld
) -> Iterator[np.ndarray]:
    """Clips at the net's own size, uint8 [f, h, w, 3], made a batch at a time."""
    with tqdm(total=len(prompts), desc="evaluate", unit="clip", disable=None) as bar:
        for first in range(0, len(prompts), options.batch):
            chosen = [prompt.text for prompt in prompts[first : first + options.batch]]
            yield from base(
                chosen,
                seeds=[options.seed + first + index for index in range(len(chosen))],
                num_frames=options.frames,
                frame_rate=NATIVE_RATE * options.frames / CLIP,
                num_inference_steps=options.steps,
                guidance_scale=options.guidance,
            ).frames
            bar.update(len(chosen))


def keep_first(clips: Iterator[np.ndarray], shown: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Pass clips on and keep the first ones for the sheet."""
    for frames in clips:
        if len(shown) < SHEET_CLIPS:
            shown.append(frames)
        yield frames


def judge_line(about: dict) -> str:
    return "; ".join(
        f"{where}: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items())
        for where, shares in about["accuracy"].items()
    )
