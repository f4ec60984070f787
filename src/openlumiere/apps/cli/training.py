"""What `lumiere train` does once its words are read: check the folders, build the stage, train."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from openlumiere.apps.cli.loading import without_bars
from openlumiere.apps.cli.processes import INSIDE
from openlumiere.apps.cli.train import (
    Options,
    TrainClips,
    TrainCodec,
    TrainDistill,
    TrainImage,
    TrainLora,
    TrainUpscaler,
    TrainUpscalerClips,
)
from openlumiere.engine.base import inflated
from openlumiere.engine.lumiere import Lumiere
from openlumiere.engine.model import Model
from openlumiere.media.replace import check_folder_of_weights
from openlumiere.models.e5 import E5TextEncoder
from openlumiere.models.folder import UPSCALER
from openlumiere.models.hub import BUNDLED, WORLD_32
from openlumiere.models.stunet import TEMPORAL_WEIGHTS
from openlumiere.train.budget import Budget
from openlumiere.train.config import PRESETS
from openlumiere.train.data import TEXTS, CaptionStates, Source
from openlumiere.train.log import Line, Observer
from openlumiere.train.loop import train
from openlumiere.train.pairs import Pairs, open_base
from openlumiere.train.show import save_model_sheet
from openlumiere.train.stages.image import image_stage
from openlumiere.train.stages.upscaler import clip_net, picture_net, upscaler_stage
from openlumiere.train.stages.video import conditional_stage, side_of, video_stage
from openlumiere.train.start import MODEL, model_folder, open_net, read_json
from openlumiere.train.step import Stage, split_batch

if TYPE_CHECKING:
    from openlumiere.train.stages.backbone import Bucket

MODELS = (MODEL, f"model/{MODEL}")
UPSCALER_MODELS = (MODEL, f"{UPSCALER}/{MODEL}")
PICTURE_NET = "unet/config.json"
OLD_STATE = "state"  # a folder of runs of the first version


def run(stage: str, options: Options) -> None:
    """Train; the terminal shows the configuration and a line now and then."""
    set_threads(options)
    if options.run.export is not None:
        check_folder_of_weights(options.run.export)
    train(
        build(stage, options),
        options.config.loop,
        options.run.run,
        max_minutes=options.run.max_minutes,
        max_steps=options.run.max_steps,
        release=options.run.export,
        about={"stage": stage, "preset": options.run.preset},
        observer=Terminal(),
    )


def from_bundled(options: Options) -> Options:
    """The same options, beginning from the bundled weights where clips of one's own are to be
    trained on and no weights are named.
    """
    options = named(options)
    if not isinstance(options, TrainClips | TrainLora | TrainDistill):
        return options
    if options.data.footage is None and not isinstance(options, TrainDistill):
        return options
    if options.run.start is not None or image_run(options) is not None:
        return options
    return replace(options, run=replace(options.run, start=WORLD_32))


def named(options: Options) -> Options:
    """The same options, with the folder of a bundled model that was given by its name."""
    start = options.run.start
    if start is None or start.exists() or str(start) not in BUNDLED:
        return options
    return replace(options, run=replace(options.run, start=BUNDLED[str(start)]))


def build(stage: str, options: Options) -> Stage:
    """The stage that the options describe. Raises ValueError for weights or data that don't fit."""
    if isinstance(options, TrainCodec):
        return build_codec(options)
    if isinstance(options, TrainLora):
        return build_lora(options)
    texts = caption_states(options)
    if isinstance(options, TrainDistill):
        return build_distill(options, texts)
    if isinstance(options, TrainUpscaler | TrainUpscalerClips):
        return build_upscaler(options, texts)
    if isinstance(options, TrainClips):
        return build_clips(stage, options, texts)
    frames = PRESETS[options.run.preset].video.frames
    pictures = source(options, options.config.side, frames)
    return image_stage(pictures, texts, options.config, options.run.start)


def build_clips(stage: str, options: TrainClips, texts: CaptionStates) -> Stage:
    """The stage of a net's temporal parameters."""
    config = options.config
    if options.image_run is None and is_of_latents(given(options.run.start)):
        return build_temporal(stage, options)
    net, codec = open_net(options.image_run, options.run.start, config.attention_blocks)
    clips = source(options, side_of(net, codec), config.frames)
    build_stage = conditional_stage if stage == "conditional" else video_stage
    return build_stage(clips, texts, net, codec, config)


def build_temporal(stage: str, options: TrainClips) -> Stage:
    """The stage of the temporal parameters of a model of latents."""
    from openlumiere.train.stages.temporal import temporal_stage

    if options.data.footage is None:
        raise ValueError(
            f"data: expected shards of clips for a model of latents in {options.run.start}, got"
            " none, do: lumiere data ingest FOLDER -o SHARDS, and name them with --data"
        )
    model = inflated(opened(options))
    clips = bucket(options, model, options.data.footage)
    return temporal_stage(model, clips, options.config, masked=stage == "conditional")


def build_lora(options: TrainLora) -> Stage:
    """The stage of a model's low-rank factors."""
    from openlumiere.train.stages.lora import lora_stage

    model = opened(options)
    folders = [given(options.data.footage), *options.data.buckets]
    return lora_stage(model, [bucket(options, model, each) for each in folders], options.config)


def build_distill(options: TrainDistill, texts: CaptionStates) -> Stage:
    """The stage of a model's factors for few steps."""
    from openlumiere.train.stages.distill import DrawnClips, distill_stage

    model, config = inflated(opened(options)), options.config
    frames = PRESETS[options.run.preset].video.frames
    clips = source(options, model.native_size, frames)
    drawn = DrawnClips(source=clips, texts=texts, model=model, config=config)
    sheet = partial(save_model_sheet, steps=config.steps, guidance=1.0)
    return distill_stage(drawn, model, config, sheet)


def bucket(options: TrainClips | TrainLora, model: Model, folder: Path) -> Bucket:
    """A person's own clips, of whatever form they are, and their latents where they are computed
    and wanted. Raises ValueError for another model's.
    """
    from openlumiere.data.ingest import Shards
    from openlumiere.data.ingest.source import ShardSource
    from openlumiere.train.latents import coded_for
    from openlumiere.train.stages.backbone import Bucket

    side, loop = Shards(folder).config.side, options.config.loop
    clips = ShardSource(folder, side, None, loop.device, options.run.threads, loop.seed)
    coded = coded_for(model, clips.shards) if options.data.latents else None
    return Bucket(source=clips, coded=coded)


def opened(options: TrainClips | TrainLora | TrainDistill) -> Model:
    """The model that is trained."""
    without_bars()
    folder = model_folder(given(options.run.start))
    return Lumiere.from_pretrained(folder, device=options.config.loop.device).base


def is_of_latents(start: Path) -> bool:
    """Whether a folder holds a model that sees latents."""
    entry = read_json(model_folder(start) / MODEL).get("vae")
    return entry not in (None, [None, None])


def build_codec(options: TrainCodec) -> Stage:
    """The stage of the codec, on the packed world of toys."""
    from openlumiere.train.stages.codec import codec_stage
    from openlumiere_world.toys.training import codec_sources

    source, held_out = codec_sources(given(options.data.cache))
    return codec_stage(source, options.config, held_out, codec_folder(options.run.start))


def codec_folder(start: Path | None) -> Path | None:
    """Where a codec lies that a run made, or that was exported."""
    if start is None or not (start / "codec" / "config.json").is_file():
        return start
    return start / "codec"


def build_upscaler(options: TrainUpscaler | TrainUpscalerClips, texts: CaptionStates) -> Stage:
    """The stage of a super-resolution net; what is drawn for it is kept in the run."""
    from openlumiere_world.enlarging import drawn_clips  # the world needs the extra `world`
    from openlumiere_world.scope import SCOPES, WORLD_64
    from openlumiere_world.subjects import World

    config = options.config
    if isinstance(options, TrainUpscalerClips):
        net = clip_net(options.image_run, options.run.start, config.loop.seed)
    else:
        net = picture_net(config, options.run.start)
    base = None if options.data.base is None else open_base(options.data.base)
    world = World.open(given(options.data.world))
    folder = options.run.run / "drawn"
    scope = SCOPES[PRESETS[options.run.preset].scope]
    few = max(1, round(config.from_base * config.drawn))
    clips = drawn_clips(world, folder / "world", config.drawn, config.frames, WORLD_64)
    scenes = drawn_clips(world, folder / "scenes", few, config.frames, scope)
    return upscaler_stage(Pairs(clips, scenes, texts, config, base), net, config)


def caption_states(options: Options) -> CaptionStates:
    """Those of the run, or to begin with those of a run before it."""
    texts = CaptionStates(E5TextEncoder(), options.config.loop.device)
    for folder in (options.run.run, options.run.start, image_run(options)):
        if folder is not None and not texts.known:
            texts.open(folder / TEXTS)
    return texts


def source(options: TrainImage | TrainClips | TrainDistill, side: int, frames: int) -> Source:
    """What `Data` names, in frames of `side` pixels."""
    device = options.config.loop.device
    if options.data.footage is not None:
        from openlumiere.data.ingest.source import ShardSource

        spanned = None if isinstance(options, TrainImage) else frames
        threads, seed = options.run.threads, options.config.loop.seed
        return ShardSource(options.data.footage, side, spanned, device, threads, seed)
    from openlumiere_world.batch import Batches  # the world needs the extra `world`
    from openlumiere_world.package import open_package
    from openlumiere_world.scope import SCOPES
    from openlumiere_world.subjects import World

    package = options.data.package
    world = World.open(given(options.data.world)) if package is None else open_package(package)
    return Batches(world, SCOPES[PRESETS[options.run.preset].scope], "train", side, device)


def given(path: Path | None) -> Path:
    """A path that `check` has found to be there."""
    assert path is not None
    return path


def image_run(options: Options) -> Path | None:
    """The run of the picture net, where the stage has one."""
    return getattr(options, "image_run", None)


def set_threads(options: Options) -> None:
    """The threads, cores and GPU of this process."""
    rank = int(os.environ.get("LOCAL_RANK", 0))
    threads = options.run.threads
    torch.set_num_threads(threads)
    if options.config.loop.device == "cuda":
        torch.cuda.set_device(rank)
    if options.run.pin:
        cores = sorted(os.sched_getaffinity(0))
        own = {cores[(rank * threads + number) % len(cores)] for number in range(threads)}
        os.sched_setaffinity(0, own)


class Terminal(Observer):
    """Prints the configuration, then one line that replaces the last on a terminal, and follows it
    elsewhere.
    """

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()

    def started(self, config: dict[str, object]) -> None:
        """The configuration, once."""
        print(json.dumps(config, indent=1), flush=True)

    def planned(self, budget: Budget, frames: int) -> None:
        """What the run will take, once."""
        print(budget.in_words("clips" if frames > 1 else "pictures"), flush=True)

    def logged(self, line: Line, seconds_left: float) -> None:
        """Where the run is."""
        text = in_words(line, seconds_left)
        print(f"\r{text:<100}" if self.live else text, end="" if self.live else "\n", flush=True)

    def ended(self) -> None:
        """End the line."""
        if self.live:
            print()


def in_words(line: Line, seconds_left: float) -> str:
    """A line of the log for a person."""
    loss = "none" if line["loss"] is None else f"{line['loss']:.4f}"
    parts = [
        f"step {line['step']}",
        f"loss {loss}",
        f"{line['steps_a_second']:.2f} steps/s",
        f"{line['frames_a_second']:.1f} frames/s",
    ]
    if line["utilisation"]:
        parts.append(f"{100 * line['utilisation']:.0f} % of the matrix rate")
    if line["skipped"]:
        parts.append(f"{line['skipped']} skipped")
    return "  ".join([*parts, f"{clock(seconds_left)} to go"])


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, seconds = divmod(round(max(seconds, 0)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def check(stage: str, options: Options) -> None:
    """Refuse what can be seen before anything is opened or made."""
    split_batch(options.config.loop, int(os.environ.get(INSIDE, options.run.processes)))
    if options.config.loop.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: expected a CUDA device that torch can use, got none, use cpu")
    check_run(options.run.run)
    check_start(stage, options.run.start)
    if isinstance(options, TrainClips | TrainUpscalerClips):
        check_image_run(stage, options.image_run, options.run.start)
    if isinstance(options, TrainDistill):
        check_distilled(options)
    if isinstance(options, TrainCodec):
        check_cache(options.data.cache)
    elif isinstance(options, TrainUpscaler | TrainUpscalerClips):
        check_drawings(stage, options)
    else:
        check_data(options)


def check_run(folder: Path) -> None:
    """Raise ValueError for what can't be a run's folder."""
    if (folder / OLD_STATE).is_dir():
        raise ValueError(
            f"run: expected a run of this version, got an older one in {folder}, name a new folder"
            f" and --start {folder}"
        )
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(
            f"run: expected a folder that can be made and written, got {existing}, choose another"
            " one"
        )


def check_start(stage: str, start: Path | None) -> None:
    """Raise ValueError where there are no weights to begin from."""
    if start is not None and not holds(start, starts(stage)):
        raise ValueError(
            f"start: expected a run or a model's folder with weights, got {start}, name one that"
            " lumiere train wrote"
        )
    if stage == "conditional" and start is None:
        raise ValueError(
            "start: expected a trained video model, got none, do: lumiere train video first"
        )


def check_distilled(options: TrainDistill) -> None:
    """Raise ValueError for a model on latents, and for a place that is no model's folder."""
    if is_of_latents(given(options.run.start)):
        raise ValueError(
            f"model: expected one of pixels, got one of latents in {options.run.start}, "
            "do: python -m openlumiere_world.toys.training distill"
        )
    export = options.run.export
    if export is not None and not (export / MODEL).is_file():
        raise ValueError(
            f"export: expected the folder of the model that is distilled, got {export}, name it,"
            " or a copy"
        )


def check_image_run(stage: str, run: Path | None, start: Path | None) -> None:
    """Raise ValueError where no picture net is named, or none is there."""
    first = "upscaler" if stage == "upscaler-video" else "image"
    nets = (PICTURE_NET, *UPSCALER_MODELS) if first == "upscaler" else (PICTURE_NET, *MODELS)
    if run is None and start is None:
        raise ValueError(
            "image run: expected a run with a trained picture net, got none, do: lumiere train"
            f" {first} first"
        )
    if run is not None and not holds(run, nets):
        raise ValueError(
            f"image run: expected a run with a trained picture net, got {run}, do: lumiere train"
            f" {first} first"
        )
    if run is None and first == "image" and not holds(given(start), MODELS):
        raise ValueError(
            f"start: expected a whole model, got temporal weights alone in {start}, name their"
            " picture net with --image-run"
        )


def check_cache(cache: Path | None) -> None:
    """Raise ValueError where the packed world of toys is not there."""
    if cache is None or not (cache / "drawings.npy").is_file():
        raise ValueError(
            f"cache: expected a packed world of toys, got {cache}, do: lumiere data world build"
            " WORLD --scope world-128, and name WORLD with --cache"
        )


def check_data(options: TrainImage | TrainClips | TrainLora | TrainDistill) -> None:
    """Raise ValueError where not exactly one collection is named."""
    data = options.data
    if isinstance(options, TrainLora):
        check_footage(data.footage)
        return
    named = [name for name in ("world", "package", "footage") if getattr(data, name) is not None]
    if len(named) != 1:
        raise ValueError(
            "world: expected one of a built world, a package of sprites and shards of footage,"
            f" got {' and '.join(named) or 'none'}, name one with --world, --package or --data"
        )


def check_footage(folder: Path | None) -> None:
    """Raise ValueError where no clips are named."""
    if folder is None:
        raise ValueError(
            "data: expected shards of clips, got none, do: lumiere data ingest FOLDER -o SHARDS,"
            " and name them with --data"
        )


def check_drawings(stage: str, options: TrainUpscaler | TrainUpscalerClips) -> None:
    """Raise ValueError for what super-resolution stages can't do."""
    if options.data.world is None:
        raise ValueError(
            f"world: expected a built world for {stage}, got none, do: lumiere data world build"
            " DIR, and name it with --world"
        )
    if options.data.base is not None and stage != "upscaler":
        raise ValueError(
            f"base: expected it for the stage upscaler, got it for {stage}, leave it out"
        )
    if options.run.processes > 1:
        raise ValueError(
            f"processes: expected 1 for {stage}, got {options.run.processes}, leave it out"
        )


def starts(stage: str) -> tuple[str, ...]:
    """Files of which a folder to start from holds one."""
    if stage == "codec":
        return ("codec/config.json", "config.json")
    if stage == "upscaler":
        return (PICTURE_NET, *UPSCALER_MODELS)
    if stage == "upscaler-video":
        return UPSCALER_MODELS
    if stage == "image":
        return (PICTURE_NET, "config.json", *MODELS)
    if stage in ("lora", "distill"):
        return MODELS
    return (f"temporal/{TEMPORAL_WEIGHTS}", *MODELS)


def holds(folder: Path, names: tuple[str, ...]) -> bool:
    """Whether a folder has any of these files."""
    return any((folder / name).is_file() for name in names)
