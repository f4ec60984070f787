"""`lumiere train image|video`: the two first stages, on the first slice of the sticker world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor
from tyro.conf import Positional, arg

from openlumiere.cli.arguments import parse
from openlumiere.data.world.slice import open_sprites
from openlumiere.media.write import check_folder
from openlumiere.models.stunet import TEMPORAL_WEIGHTS
from openlumiere.pipelines.request import check_choice, check_range
from openlumiere.train.image import ImageConfig, train_image
from openlumiere.train.loop import LoopConfig
from openlumiere.train.video import VideoConfig, train_video

STAGES = ("image", "video")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train the picture net (`image`), then the temporal parameters over it (`video`). A run folder is gone on from."""

    stage: Positional[str]
    """image or video."""
    run: Annotated[Path, arg(aliases=("-o",))]
    """The run's folder: state, log, averaged weights."""
    package: Path
    """The sprites: the file that `npm pack @lobehub/fluent-emoji-3d@1.1.0` writes."""
    image_run: Path | None = None
    """For video: the run of the picture net."""
    start: Path | None = None
    """For video: an earlier stage's run whose temporal weights to go on from."""
    stride: int = 5
    """For video: native frames between two that are trained on; 1 trains on all 80."""
    batch: int = 16
    """Pictures or clips a step."""
    learning_rate: float = 8e-4
    """Peak learning rate."""
    max_minutes: float = 60
    """Stop cleanly, saved, after this long."""
    threads: int = 2
    """CPU threads."""


def main(words: list[str]) -> int:
    options = parse(Train, words, "train")
    sprites = check(options)
    torch.set_num_threads(options.threads)
    loop = LoopConfig(learning_rate=options.learning_rate)
    if options.stage == "image":
        train_image(sprites, options.run, options.max_minutes, ImageConfig(batch=options.batch, loop=loop))
        return 0
    config = VideoConfig(stride=options.stride, batch=options.batch, loop=loop)
    train_video(sprites, options.image_run, options.run, options.max_minutes, config, options.start)
    return 0


def check(options: Train) -> Float[Tensor, "s 4 h w"]:
    """The sprites, once nothing else stands in the way of training; the run's folder is made last, so that a mistake leaves none."""
    check_choice("stage", options.stage, STAGES)
    check_range("stride", options.stride, 1, 16)
    check_range("batch", options.batch, 1, 10_000)
    check_range("learning rate", options.learning_rate, 0, 1)
    check_range("max minutes", options.max_minutes, 0, 10**6)
    check_range("threads", options.threads, 1, 1024)
    if options.stage == "video":
        check_stages(options)
    sprites = open_sprites(options.package)
    make_run(options.run)
    return sprites


def check_stages(options: Train) -> None:
    """The runs that a video run goes on from."""
    if options.image_run is None or not (options.image_run / "unet" / "config.json").is_file():
        raise ValueError(f"image run: expected a run with a trained picture net, got {options.image_run}, do: lumiere train image first")
    if options.start is not None and not (options.start / "temporal" / TEMPORAL_WEIGHTS).is_file():
        raise ValueError(f"start: expected a run with temporal weights, got {options.start}, name an earlier video run")


def make_run(run: Path) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"run: expected a folder that can be made, got {error.strerror} for {run}, choose another one") from None
    check_folder(run)
