"""`lumiere evaluate tasks`: is known content kept, do loops close, does a restyled clip move alike?"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from tqdm import tqdm
from tyro.conf import UseAppendAction

from openlumiere.cli.arguments import parse
from openlumiere.cli.evaluate_world import check_file
from openlumiere.cli.generate import load
from openlumiere.data.world.batch import CLIP, WORLD_32, Batches
from openlumiere.data.world.subjects import World
from openlumiere.evaluate.judge import CARRIED, Judge, load_judge
from openlumiere.evaluate.tasks import Settings, Source, measure, table, thinned
from openlumiere.media import Clip, contact_sheet, filmstrip, save_image
from openlumiere.media.write import write_beside
from openlumiere.pipelines.base import NATIVE_RATE
from openlumiere.pipelines.request import DEFAULT_GUIDANCE, check_range

STRIP, SHEET_COLUMNS, SHEET_CLIPS = 6, 3, 60


@dataclass(frozen=True, kw_only=True)
class EvaluateTasks:
    """Animate, inpaint, loop and restyle clips whose content is known, keeping it exactly and softly, and measure what is left of it."""

    world: Path | None = None
    """A built world or a pack, to draw clips from."""
    clips: int = 4
    """Clips to draw from it."""
    file: UseAppendAction[tuple[str, ...]] = ()
    """A clip of your own, as cat.mp4 or cat.mp4=a cat walks; may be given again."""
    frames: int = 16
    """Frames a clip, over the same time: fewer is faster and coarser."""
    steps: int = 10
    """Denoising steps."""
    guidance: float = DEFAULT_GUIDANCE
    """How closely to follow the prompt; 1 is off."""
    seed: int = 0
    """Draws the clips and the noise."""
    judge: Path | None = None
    """The weights of a judge instead of the carried one's, if one is carried."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    out: Path | None = None
    """Where to write every figure: .json."""
    sheet: Path | None = None
    """Where to write filmstrips of what was made: .png."""


def main(words: list[str]) -> int:
    options = parse(EvaluateTasks, words, "evaluate tasks")
    check(options)
    sources = [*draw_sources(options), *(open_source(text, options.frames) for text in options.file)]
    if not sources:
        raise ValueError("clips: expected a world or files, got neither, pass --world or --file")
    judge = open_judge(options.judge)
    lumiere = load(options.model, options.device, options.dtype)
    shown: dict[str, Clip] = {}
    settings = Settings(steps=options.steps, guidance=options.guidance, seed=options.seed)
    figures = list(tqdm(measure(lumiere, sources, settings, judge, shown.__setitem__), desc="evaluate", unit="figure", disable=None))
    command = shlex.join(["lumiere", "evaluate", "tasks", *words])
    print(f"{table(figures)}\n\n    {command}")
    if options.out is not None:
        report = {"command": command, "model": lumiere.base.fingerprint(), "figures": [asdict(each) for each in figures]}
        write_beside(options.out, lambda made: made.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8"))
    if options.sheet is not None:
        save_sheet(sources, shown, options.sheet)
    return 0


def check(options: EvaluateTasks) -> None:
    check_range("clips", options.clips, 0, 1000)
    check_range("frames", options.frames, 3, CLIP)
    check_range("steps", options.steps, 1, 1000)
    check_range("seed", options.seed, 0, 2**62)
    for path, suffix in ((options.out, ".json"), (options.sheet, ".png")):
        if path is not None:
            check_file(path, suffix)


def draw_sources(options: EvaluateTasks) -> list[Source]:
    """Clips of the world's first scope, each with its caption and motion."""
    if options.world is None:
        return []
    batches = Batches(World.open(options.world), WORLD_32, "train", 32)
    times = torch.linspace(0, CLIP - 1, options.frames).round()
    drawn = batches.draw(torch.Generator().manual_seed(options.seed), options.clips, times)
    levels = ((drawn.pixels + 1) * 127.5).round().to(torch.uint8)
    rate = NATIVE_RATE * options.frames / CLIP
    return [
        Source(name=f"world {index}", clip=Clip(np.ascontiguousarray(frames), rate), prompt=caption, motion=facts.motion)
        for index, (frames, caption, facts) in enumerate(zip(rearrange(levels, "b c f h w -> b f h w c").numpy(), drawn.captions, drawn.facts))
    ]  # fmt: skip


def open_source(text: str, frames: int) -> Source:
    """`cat.mp4=a cat walks` as a source; without words the prompt is the file's name."""
    path, _, prompt = text.partition("=")
    return Source(name=Path(path).name, clip=thinned(Clip.load(path), frames), prompt=prompt or Path(path).stem)


def open_judge(path: Path | None) -> Judge | None:
    """The judge of `path`, else the carried one, else none."""
    if path is None and not Path(str(CARRIED)).is_file():
        return None
    return load_judge(path)[0]


def save_sheet(sources: list[Source], shown: dict[str, Clip], path: Path) -> None:
    """Every source and what was made of it, a filmstrip each."""
    clips = {**{source.name: source.clip for source in sources}, **shown}
    names = sorted(clips)[:SHEET_CLIPS]
    save_image(contact_sheet([filmstrip(clips[name], STRIP) for name in names], SHEET_COLUMNS, names), path)
