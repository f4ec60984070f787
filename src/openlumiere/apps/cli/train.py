"""`lumiere train STAGE`: a stage of training, from a preset, into a run folder that can be resumed.

This file reads the words; `training.py`, which needs torch, does the work.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from tyro import MISSING
from tyro.conf import OmitArgPrefixes, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.measuring import check_between
from openlumiere.apps.cli.processes import INSIDE, launch
from openlumiere.tasks.base import nearest
from openlumiere.train.config import (
    PRESETS,
    CodecConfig,
    DistillConfig,
    ImageConfig,
    LoraTraining,
    UpscalerConfig,
    VideoConfig,
    check_config,
)

STAGES = {
    "codec": "the autoencoder of RGBA frames that nets on latents live behind",
    "image": "the picture net, new or from other weights",
    "video": "the temporal parameters over a trained, frozen picture net",
    "conditional": "the same for every task: a net that reads what is known of a clip",
    "lora": "low-rank factors for any model, on your own clips",
    "distill": "low-rank factors that make clips in few steps without guidance (--fast)",
    "upscaler": "the picture part of the super-resolution net",
    "upscaler-video": "its temporal parameters, on short clips",
}
Config: TypeAlias = (
    CodecConfig | ImageConfig | VideoConfig | LoraTraining | DistillConfig | UpscalerConfig
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a run lies, how long it takes and on what."""

    run: Annotated[Path, arg(aliases=("-o",))]
    """The run's folder: checkpoints, log, averaged weights; one with a checkpoint is resumed."""
    preset: Literal["world-32", "world-64", "tiny"] = "world-32"
    """What everything below is that is not given."""
    start: Annotated[Path | None, arg(aliases=("--model",))] = None
    """A run, an exported folder or a model whose weights to begin from, with a fresh optimiser.
    Clip stages on your own clips begin from the bundled weights when nothing is named.
    """
    max_minutes: float = 60
    """Stop cleanly, saved, after this long."""
    max_steps: int = 10**9
    """Stop at this step of the run."""
    export: Path | None = None
    """Also write the averaged weights there in half precision, in files of at most 15 MB."""
    processes: int = 1
    """Processes on this machine; the weights come out as from one. (On GPUs: accelerate launch -m
    openlumiere.apps.cli train ...)
    """
    threads: int = 2
    """CPU threads of a process."""
    pin: bool = False
    """Keep each process on cores of its own (Linux)."""
    dry_run: bool = False
    """Print the configuration and stop."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """What is trained on: one of these."""

    world: Path | None = None
    """A built world (`lumiere data world build`), of which the preset's scope is drawn."""
    package: Path | None = None
    """The 3D drawings of eight subjects, nothing built: the file that `npm pack
    @lobehub/fluent-emoji-3d@1.1.0` writes.
    """
    footage: Annotated[Path | None, arg(name="data", aliases=("--footage",))] = None
    """Your own clips: the shards that `lumiere data ingest FOLDER -o SHARDS` writes. Their side,
    length and rate are what is trained, unless you say otherwise.
    """
    latents: bool = True
    """Use the latents that `lumiere data latents` computed; --no-latents codes pixels instead."""


@dataclass(frozen=True, kw_only=True)
class Cache:
    """What the codec is trained on."""

    cache: Path | None = None
    """The toy world (`lumiere data world build WORLD --scope world-128 --photographs FOLDER`): its
    drawings and photographs, and frames of its clips where there are any.
    """


@dataclass(frozen=True, kw_only=True)
class TrainCodec:
    """Train an autoencoder of RGBA frames."""

    run: Run
    data: Cache
    config: CodecConfig


@dataclass(frozen=True, kw_only=True)
class TrainImage:
    """Train a picture net."""

    run: Run
    data: Data
    config: ImageConfig


@dataclass(frozen=True, kw_only=True)
class TrainClips:
    """Train temporal parameters over a frozen picture net."""

    run: Run
    data: Data
    config: VideoConfig
    image_run: Path | None = None
    """The run of the picture net, when `--start` brings none."""


@dataclass(frozen=True, kw_only=True)
class Footage:
    """What factors are trained on."""

    footage: Annotated[Path | None, arg(name="data", aliases=("--footage",))] = None
    """Your own clips: the shards that `lumiere data ingest FOLDER -o SHARDS` writes."""
    buckets: tuple[Path, ...] = ()
    """Further shards, each of clips of a side and a length of their own (one frame: pictures);
    every part of a batch is of one of them.
    """
    latents: bool = True
    """Use the latents that `lumiere data latents` computed; --no-latents codes pixels instead."""


@dataclass(frozen=True, kw_only=True)
class TrainLora:
    """Train low-rank factors (LoRA) for the bundled model, or for the one that `--model` names."""

    run: Run
    data: Footage
    config: LoraTraining


@dataclass(frozen=True, kw_only=True)
class TrainDistill:
    """Distil the bundled model, or the one of pixels that `--model` names, into few steps."""

    run: Run
    data: Data
    config: DistillConfig


@dataclass(frozen=True, kw_only=True)
class Drawings:
    """What super-resolution is trained on."""

    world: Path | None = None
    """A built world (`lumiere data world build`)."""
    base: Path | None = None
    """A whole model for clips of 32 px, whose own mistakes are to be mended."""


@dataclass(frozen=True, kw_only=True)
class TrainUpscaler:
    """Train the picture part of a super-resolution net."""

    run: Run
    data: Drawings
    config: UpscalerConfig


@dataclass(frozen=True, kw_only=True)
class TrainUpscalerClips:
    """Train the temporal parameters of a super-resolution net."""

    run: Run
    data: Drawings
    config: UpscalerConfig
    image_run: Path | None = None
    """The run of its picture net, when `--start` brings none."""


Options: TypeAlias = (
    TrainCodec
    | TrainImage
    | TrainClips
    | TrainLora
    | TrainDistill
    | TrainUpscaler
    | TrainUpscalerClips
)
KINDS: dict[str, type[Any]] = {
    "codec": TrainCodec,
    "image": TrainImage,
    "video": TrainClips,
    "conditional": TrainClips,
    "lora": TrainLora,
    "distill": TrainDistill,
    "upscaler": TrainUpscaler,
    "upscaler-video": TrainUpscalerClips,
}


def main(words: list[str]) -> int:
    """Train a stage; answers the exit code. ValueError is the user's mistake."""
    stage, *rest = words or [""]
    if stage in ("-h", "--help"):
        print(usage())
        return 0
    if stage not in STAGES:
        raise ValueError(
            f"stage: expected one of {', '.join(STAGES)}, got {stage[:100]!r}, "
            f"{nearest(stage, STAGES, 'see lumiere train --help')}"
        )
    options = read(stage, rest)
    check_numbers(options)
    from openlumiere.apps.cli import training  # torch takes seconds to import

    options = training.from_bundled(options)
    training.check(stage, options)
    if options.run.dry_run:
        print(json.dumps(asdict(options.config), indent=1))
        return 0
    if options.run.processes > 1 and INSIDE not in os.environ:
        return launch(options.run.processes, ["train", *words])
    training.run(stage, options)
    return 0


def read(stage: str, words: list[str]) -> Options:
    """The options of a stage; what is not given is the preset's."""
    kind = KINDS[stage]
    preset = PRESETS.get(named(words, "--preset") or Run.preset, PRESETS[Run.preset])
    config = getattr(preset, stage.replace("-", "_"))
    shards = named(words, "--data", "--footage")
    sources = {
        "codec": Cache(),
        "lora": Footage(),
        "upscaler": Drawings(),
        "upscaler-video": Drawings(),
    }
    defaults: dict[str, Any] = {
        "run": Run(run=MISSING),
        "data": sources.get(stage, Data()),
        "config": config if shards is None else fitted(config, Path(shards)),
    }
    flat: Any = OmitArgPrefixes[kind]  # type: ignore[misc, valid-type]
    return parse(flat, words, f"train {stage}", kind(**defaults))


def named(words: list[str], *options: str) -> str | None:
    """What the words give for one of these options, before they are read."""
    for word, following in zip(words, [*words, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        if name in options:
            return value if equals else following
    return None


def fitted(config: Config, folder: Path) -> Config:
    """The configuration for clips of these shards: their side, or their length at their rate."""
    from openlumiere.contract import NATIVE_RATE
    from openlumiere.data.ingest import Shards
    from openlumiere.data.ingest.source import native_frames

    clips = Shards(folder).config
    if isinstance(config, ImageConfig):
        return replace(config, side=clips.side, clip_frames=0.0)
    if isinstance(config, VideoConfig):
        stride = max(1, round(NATIVE_RATE / clips.fps))
        return replace(config, frames=native_frames(clips), stride=stride, path_spacing=1)
    return config


def check_numbers(options: Options) -> None:
    """Refuse numbers that are out of range before anything is imported."""
    check_config(options.config)
    check_between("max minutes", options.run.max_minutes, 0, 10**6)
    check_between("max steps", options.run.max_steps, 0, 10**9)
    check_between("threads", options.run.threads, 1, 1024)
    check_between("processes", options.run.processes, 1, 1024)


def usage() -> str:
    """The stages, a line each."""
    stages = "\n".join(f"  {name:<15} {what}" for name, what in STAGES.items())
    return (
        "usage: lumiere train STAGE --run DIR ... (lumiere train STAGE --help tells more)\n\n"
        f"{stages}\n\n"
        "example: lumiere train image --world WORLD --run runs/image --max-minutes 120"
    )
