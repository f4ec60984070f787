"""`lumiere evaluate upscale`: is the super-resolution net nearer to the truth than resampling?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.measuring import (
    Output,
    Weights,
    check_between,
    check_output,
    finish,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openlumiere.engine.lumiere import Lumiere
    from openlumiere.quality.bench import Frames


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
    noise: float = 0.0
    """How little to trust the pixels, 0 to 1."""
    seed: int = 0
    """Of the net's noise."""
    upscaler: Path | None = None
    """The folder of a super-resolution net alone, such as RUN/upscaler of `lumiere train upscaler`.
    """
    weights: Annotated[Weights, arg(name="")] = field(default_factory=Weights)
    out: Path | None = None
    """Where to write every figure: .json."""


def main(words: list[str]) -> int:
    """Measure; answers the exit code. ValueError is the user's mistake."""
    options = parse(OmitArgPrefixes[EvaluateUpscale], split_commas(words), "evaluate upscale")
    check(options)
    from openlumiere_world.measures.judge import load_judge
    from openlumiere_world.measures.upscale import evaluate

    clips = collections(options)
    lumiere = open_lumiere(options)
    judge, _ = load_judge()
    report = evaluate(
        lumiere, clips, judge, steps=options.steps, noise=options.noise, seed=options.seed
    )
    assert lumiere.upscaler is not None
    fingerprint = lumiere.upscaler.fingerprint()
    return finish(report, "upscale", words, fingerprint, Output(out=options.out))


def split_commas(words: list[str]) -> list[str]:
    """`--steps 1,2,4` as `--steps 1 2 4`."""
    found: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        found += word.split(",") if before == "--steps" else [word]
    return found


def check(options: EvaluateUpscale) -> None:
    """Refuse before the long work what would fail after it."""
    if options.world is None and not options.clips:
        raise ValueError(
            "clips: expected a world or files to enlarge, got none, name some with --world or"
            " --clips"
        )
    check_between("pictures", options.pictures, 0, 100_000)
    check_between("world clips", options.world_clips, 0, 100_000)
    check_between("frames", options.frames, 1, 100_000)
    check_between("side", options.side, 0, 100_000)
    check_between("noise", options.noise, 0, 1)
    check_between("seed", options.seed, 0, 2**62)
    for steps in options.steps:
        check_between("steps", steps, 1, 1000)
    check_output(Output(out=options.out))


def open_lumiere(options: EvaluateUpscale) -> Lumiere:
    """The model, with the super-resolution net that is measured. Raises ValueError for none."""
    lumiere = load(options.weights, "world-32")
    if options.upscaler is not None:
        from openlumiere.engine.cascade import LumiereUpscalePipeline
        from openlumiere.engine.lumiere import Lumiere

        dtype = lumiere.base.dtype
        net = LumiereUpscalePipeline.from_pretrained(options.upscaler, dtype)
        return Lumiere(lumiere.base, net.to(options.weights.device))
    if lumiere.upscaler is None:
        raise ValueError(
            "model: expected one with a super-resolution net, got one without, put one into its"
            " folder upscaler"
        )
    return lumiere


def collections(options: EvaluateUpscale) -> dict[str, Iterator[Frames]]:
    """What is measured, by name; clips are drawn and read one at a time."""
    from openlumiere_world.measures.upscale import of_file, of_world
    from openlumiere_world.subjects import World

    found: dict[str, Iterator[Frames]] = {}
    if options.world is not None:
        world = World.open(options.world)
        if options.pictures:
            name = f"{options.pictures} pictures of the world"
            found[name] = of_world(world, options.pictures, 1)
        if options.world_clips:
            name = f"{options.world_clips} clips of the world"
            found[name] = of_world(world, options.world_clips, options.frames)
    for path in options.clips:
        found[path.name] = of_file(path, options.frames, options.side)
    return found
