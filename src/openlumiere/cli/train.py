"""`lumiere train image|video`: the two first stages, on the first slice of the sticker world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg

from openlumiere.cli.arguments import parse
from openlumiere.data.world.slice import STILLS
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
    if options.stage not in STAGES:
        raise ValueError(f"stage: expected {' or '.join(STAGES)}, got {options.stage!r}, name one of the two")
    if not options.package.is_file():
        raise ValueError(f"package: expected {STILLS}, got no file {options.package}, do: npm pack @lobehub/fluent-emoji-3d@1.1.0")
    torch.set_num_threads(options.threads)
    loop = LoopConfig(learning_rate=options.learning_rate)
    if options.stage == "image":
        train_image(options.package, options.run, options.max_minutes, ImageConfig(batch=options.batch, loop=loop))
        return 0
    if options.image_run is None or not (options.image_run / "unet").is_dir():
        raise ValueError(f"image run: expected a run with a trained picture net, got {options.image_run}, do: lumiere train image first")
    config = VideoConfig(stride=options.stride, batch=options.batch, loop=loop)
    train_video(options.package, options.image_run, options.run, options.max_minutes, config, options.start)
    return 0
