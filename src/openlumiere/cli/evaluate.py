"""`lumiere evaluate preview`: do the clips show what the prompts ask for?"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm
from tyro.conf import Positional

from openlumiere.cli.arguments import parse
from openlumiere.cli.generate import load
from openlumiere.data.world.slice import caption, open_sprites
from openlumiere.evaluate.preview import NATIVE_FRAMES, as_json, draw_scenes, measure, rendered, summary, table
from openlumiere.media import Clip, contact_sheet, filmstrip, save_image
from openlumiere.media.write import check_folder, write_beside
from openlumiere.pipelines.base import NATIVE_RATE, LumierePipeline
from openlumiere.pipelines.request import DEFAULT_GUIDANCE, DEFAULT_STEPS, check_range

MEASURES = ("preview",)
SHEET_CLIPS, SHEET_COLUMNS, SHEET_FRAMES = 16, 2, 6


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Make clips for prompts drawn by a fixed seed, read off their pixels what they show, and count how often it is what was asked."""

    measure: Positional[str]
    """preview: the first slice of the sticker world."""
    package: Path
    """The sprites: the file that `npm pack @lobehub/fluent-emoji-3d@1.1.0` writes."""
    prompts: int = 200
    """Prompts, and clips; half English, half Italian."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    seed: int = 0
    """Draws the prompts; clip n is made with seed + n."""
    frames: int = NATIVE_FRAMES
    """Frames a clip, always over the same five seconds: fewer is faster and coarser."""
    steps: int = DEFAULT_STEPS
    """Denoising steps."""
    guidance: float = DEFAULT_GUIDANCE
    """How closely to follow the prompt; 1 is off."""
    batch: int = 4
    """Clips made at a time."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    out: Path | None = None
    """Where to write every figure and reading: .json."""
    sheet: Path | None = None
    """Where to write filmstrips of the first 16 clips: .png."""


def main(words: list[str]) -> int:
    options = parse(Evaluate, words, "evaluate")
    check(options)
    sprites = open_sprites(options.package)
    base = load(options.model, options.device, options.dtype).base
    side = base.native_size
    scenes = draw_scenes(options.prompts, options.seed)
    shown: list[np.ndarray] = []
    results = measure(scenes, keep_first(generate(base, [caption(scene) for scene in scenes], options), shown), sprites, side)
    real = tqdm(rendered(scenes, sprites, options.frames, side), desc="ceiling", unit="clip", total=len(scenes), disable=None)
    ceiling = measure(scenes, iter(real), sprites, side)
    found = summary(results, ceiling)
    command = shlex.join(["lumiere", "evaluate", *words])
    print(f"{table(found)}\n\n    {command}")
    if options.out is not None:
        report = {"command": command, "model": base.fingerprint(), **as_json(found, results)}
        write_beside(options.out, lambda made: made.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"))
        print(options.out)
    if options.sheet is not None:
        strips = [filmstrip(Clip(frames), SHEET_FRAMES) for frames in shown]
        save_image(contact_sheet(strips, SHEET_COLUMNS, [caption(scene) for scene in scenes[: len(strips)]]), options.sheet)
        print(options.sheet)
    return 0


def check(options: Evaluate) -> None:
    """Refuse before the long work what would fail after it."""
    if options.measure not in MEASURES:
        raise ValueError(f"measure: expected {', '.join(MEASURES)}, got {options.measure!r}, name it")
    check_range("prompts", options.prompts, 1, 100_000)
    check_range("frames", options.frames, 2, NATIVE_FRAMES)
    check_range("steps", options.steps, 1, 1000)
    check_range("batch", options.batch, 1, 1000)
    check_range("seed", options.seed, 0, 2**62)
    check_range("guidance", options.guidance, 0, 100)
    for path, suffix in ((options.out, ".json"), (options.sheet, ".png")):
        if path is not None:
            check_file(path, suffix)


def check_file(path: Path, suffix: str) -> None:
    if path.suffix != suffix or path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"output: expected a {suffix} file in a folder that exists, got {path}, choose another path")
    check_folder(path.parent)


def generate(base: LumierePipeline, prompts: list[str], options: Evaluate) -> Iterator[np.ndarray]:
    """Clips at the net's own size, uint8 [f, h, w, 3], made a batch at a time."""
    with tqdm(total=len(prompts), desc="evaluate", unit="clip", disable=None) as bar:
        for first in range(0, len(prompts), options.batch):
            chosen = prompts[first : first + options.batch]
            yield from base(
                chosen, seeds=[options.seed + first + index for index in range(len(chosen))], num_frames=options.frames,
                frame_rate=NATIVE_RATE * options.frames / NATIVE_FRAMES, num_inference_steps=options.steps, guidance_scale=options.guidance,
            ).frames  # fmt: skip
            bar.update(len(chosen))


def keep_first(clips: Iterator[np.ndarray], shown: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Pass clips on and keep the first ones for the sheet."""
    for frames in clips:
        if len(shown) < SHEET_CLIPS:
            shown.append(frames)
        yield frames
