"""`lumiere evaluate upscale`: is the super-resolution net nearer to the truth than resampling?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.report import check_report, write_json
from openlumiere.engine.cascade import LumiereUpscalePipeline
from openlumiere.media import Clip
from openlumiere.tasks.request import DEFAULT_LEVEL, check_choice, check_range
from openlumiere_world.measures.judge import Judge, load_judge
from openlumiere_world.measures.upscale import Frames, average, compare, cut_to, middle, table

SIDE = 256  # of the world's pictures


@dataclass(frozen=True, kw_only=True)
class EvaluateUpscale:
    """Bring clips down four times by areas, enlarge them by the net, by Lanczos and bicubic
    resampling, and compare with what they were.

    Of the world, pictures that training does not see; of files, real footage.
    """

    world: Path | None = None
    """A built world, of whose validation split pictures are drawn at 256 px."""
    pictures: int = 16
    """Pictures of the world."""
    world_clips: int = 0
    """Clips of the world: these have flicker, pictures none."""
    clips: tuple[Path, ...] = ()
    """Videos, animated pictures or folders of pictures."""
    frames: int = 16
    """Frames taken of each clip: of the world's from the middle, of files from the beginning."""
    side: int = 0
    """The middle of larger files, so many pixels wide and high; 0 takes all."""
    steps: tuple[int, ...] = (1, 2, 4)
    """Numbers of denoising steps, each a row: --steps 1 2 4 or 1,2,4."""
    noise: float = DEFAULT_LEVEL
    """How little to trust the pixels, 0 to 1."""
    seed: int = 0
    """Of the net's noise."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    upscaler: Path | None = None
    """The folder of a super-resolution net alone, such as RUN/upscaler of `lumiere train upscaler`.
    """
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    out: Path | None = None
    """Where to write every figure: .json."""


def main(words: list[str]) -> int:
    options = parse(EvaluateUpscale, split_commas(words), "evaluate upscale")
    check(options)
    net = open_net(options)
    judge, _ = load_judge()
    found = {
        name: measure(clips, net, judge, options, name)
        for name, clips in sources(options, net.codec.factor).items()
    }
    command = shlex.join(["lumiere", "evaluate", "upscale", *words])
    print("\n\n".join(table(name, rows) for name, rows in found.items()) + f"\n\n    {command}")
    if options.out is not None:
        report = {"command": command, "model": net.fingerprint(), "measured": found}
        write_json(options.out, report)
        print(options.out)
    return 0


def split_commas(words: list[str]) -> list[str]:
    """`--steps 1,2,4` as `--steps 1 2 4`."""
    return [
        part
        for before, word in zip(["", *words], words)
        for part in (word.split(",") if before == "--steps" else [word])
    ]


def check(options: EvaluateUpscale) -> None:
    """Refuse before the long work what would fail after it."""
    if options.world is None and not options.clips:
        raise ValueError(
            "clips: expected a world or files to enlarge, got none, name some with --world or --clips"
        )
    check_range("pictures", options.pictures, 0, 100_000)
    check_range("world clips", options.world_clips, 0, 100_000)
    check_range("frames", options.frames, 1, 100_000)
    check_range("side", options.side, 0, 100_000)
    check_range("noise", options.noise, 0, 1)
    check_range("seed", options.seed, 0, 2**62)
    for steps in options.steps:
        check_range("steps", steps, 1, 1000)
    check_report(options.out, None)


def open_net(options: EvaluateUpscale) -> LumiereUpscalePipeline:
    from openlumiere.apps.cli.loading import (
        DTYPES,
        check_device,
        load,
    )  # the nets take seconds to import

    if options.upscaler is not None:
        check_choice("dtype", options.dtype, tuple(DTYPES))
        check_device(options.device)
        return LumiereUpscalePipeline.from_pretrained(options.upscaler, DTYPES[options.dtype]).to(
            options.device
        )
    net = load(options.model, options.device, options.dtype).upscaler
    if net is None:
        raise ValueError(
            "model: expected one with a super-resolution net, got one without, put one into its folder upscaler"
        )
    return net


def sources(options: EvaluateUpscale, factor: int) -> dict[str, Iterator[Frames]]:
    """What is measured, by name; clips are drawn and read one at a time."""
    found: dict[str, Iterator[Frames]] = {}
    if options.world is not None and options.pictures:
        found[f"{options.pictures} pictures of the world"] = of_world(
            options.world, options.pictures, 1
        )
    if options.world is not None and options.world_clips:
        found[f"{options.world_clips} clips of the world"] = of_world(
            options.world, options.world_clips, options.frames
        )
    return found | {path.name: of_file(path, options, factor) for path in options.clips}


def of_file(path: Path, options: EvaluateUpscale, factor: int) -> Iterator[Frames]:
    frames = Clip.load(path).over("white").frames[: options.frames]
    yield cut_to(middle(frames, options.side) if options.side else frames, factor)


def of_world(folder: Path, count: int, frames: int) -> Iterator[Frames]:
    """Pictures, or frames from the middle of whole clips, of the validation split."""
    from openlumiere_world.batch import CLIP  # the world needs the extra `world`
    from openlumiere_world.draw import render
    from openlumiere_world.scene import plan
    from openlumiere_world.subjects import World

    world = World.open(folder)
    for seed in range(count):
        facts = plan(world, seed, "validation", 1 if frames == 1 else CLIP)
        first = max(0, (facts.frames - frames) // 2)
        yield render(world, facts, SIDE, range(first, min(first + frames, facts.frames)))


def measure(
    clips: Iterator[Frames],
    net: LumiereUpscalePipeline,
    judge: Judge,
    options: EvaluateUpscale,
    name: str,
) -> dict[str, dict[str, float]]:
    """Means over clips, a row for each way to enlarge."""
    ways = {
        f"net, {steps} step{'s' * (steps > 1)}": enlarge(net, steps, options)
        for steps in options.steps
    }
    return average(
        [
            compare(clip, ways, net.codec.factor, judge)
            for clip in tqdm(clips, desc=name, disable=None)
        ]
    )


def enlarge(net: LumiereUpscalePipeline, steps: int, options: EvaluateUpscale):
    def way(small: np.ndarray) -> np.ndarray:
        return net(small, seed=options.seed, num_inference_steps=steps, noise=options.noise)

    return way
