"""Training the chain of the toy world from its packed cache.

    python -m openlumiere_world.toys.train codec --cache CACHE --run RUN
    python -m openlumiere_world.toys.train export-codec --cache CACHE --codec RUN/codec \\
        --folder CODEC
    python -m openlumiere_world.toys.train picture --bank BANK --codec CODEC --run RUN

A run goes on from its newest checkpoint; everything that is drawn follows from the seed and the
step.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import tyro
from diffusers import UNet2DConditionModel
from torch import Tensor

from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.text import carried_encoder
from openlumiere.train.stages.codec import (
    CodecConfig,
    codec_stage,
    over_grey,
    save_sheet,
    standardised,
)
from openlumiere.train.stages.picture import PictureConfig, picture_stage, sample_pictures
from openlumiere.train.stages.schedule import NEVER, fit
from openlumiere_world.toys.bank import Bank
from openlumiere_world.toys.batches import Frames, Mixed, WorldFrames
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.frames import Drawings
from openlumiere_world.toys.pack import SUBJECTS
from openlumiere_world.toys.scene import Planner

TESTED = 64  # drawings that the codec never sees
TESTED_PHOTOGRAPHS = 30
WORLD = 0.5  # of the codec's frames
PROMPTS = (  # of the sheets that a run makes
    "a fox walks to the left on a transparent background",
    "a shark swims to the right underwater",
    "a horse gallops to the right on a meadow",
    "a knight stands still in a forest",
    "a red robot dances on a yellow background",
    "a T. rex walks to the left on a beach",
    "a bee astronaut waves in space",
    "a crab walks to the left on a beach",
    "a clownfish swims to the left on a blue background",
    "una volpe galoppa verso destra nella neve",
    "ein Wolf geht nach links im Wald",
    "un requin nage vers la droite sur fond blanc",
    "a dolphin swims at sea",
    "a white horse stands still on a red background",
    "a spider walks on a white background",
    "a tank drives in a city",
    "a grinning face on a transparent background in 3D style",
    "a smiling face with heart-eyes on a pink background in Noto style",
    "a face with tears of joy on a blue background",
    "a penguin in the snow in 3D style",
    "a butterfly on a meadow",
    "a rocket moves up in space",
    "a red apple on a white background in Twemoji style",
    "a pizza on a green background in flat style",
    "a strawberry on a transparent background",
    "a cactus on a beach",
    "a tiger in a forest in 3D style",
    "an owl under a night sky",
    "a birthday cake in a room",
    "a guitar on an orange background",
    "a sparkling heart on a black background",
    "ein Oktopus unter Wasser",
)


def codec(
    cache: Path,
    run: Path,
    start: Path | None = None,
    learning_rate: float = 2e-3,
    noise: float = 0.1,
    warmup: int = 50,
    fall_from: int = NEVER,
    fall_to: int = NEVER,
    minutes: float = float("inf"),
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Train the autoencoder: half on drawings and photographs of the cache, half on frames of the
    world where that is packed.
    """
    torch.set_num_threads(threads)
    source, held_out = codec_sources(cache)
    config = replace(CodecConfig(), noise=noise)
    loop = replace(config.loop, learning_rate=learning_rate, warmup=warmup, seed=seed)
    schedule = replace(config.schedule, fall_from=fall_from, fall_to=fall_to)
    stage = codec_stage(source, replace(config, loop=loop, schedule=schedule), held_out, start)
    print(
        f"codec: {sum(value.numel() for value in stage.net.parameters()):,} parameters", flush=True
    )
    fit(stage, loop, schedule, run, max_minutes=minutes)


def codec_sources(cache: Path) -> tuple[Frames, Tensor]:
    """What is trained on, and frames of drawings and photographs that are not."""
    drawings = opened(cache / "drawings.npy")
    photographs = opened(cache / "photographs.npy")
    order = torch.randperm(len(drawings), generator=torch.Generator().manual_seed(1))
    tested, trained = order[:TESTED], order[TESTED:]
    held_out = Drawings(drawings[tested], photographs[-TESTED_PHOTOGRAPHS:])
    source = Drawings(drawings[trained.sort().values], photographs[:-TESTED_PHOTOGRAPHS])
    if (cache / SUBJECTS).is_file():
        source = Mixed(source, WorldFrames(Planner(Cache(cache))), WORLD)
    return source, held_out.draw(torch.Generator().manual_seed(5), TESTED)


def picture(
    bank: Path,
    codec: Path,
    run: Path,
    shards: int | None = None,
    start: Path | None = None,
    learning_rate: float = 1e-3,
    batch: int = 32,
    warmup: int = 100,
    fall_from: int = NEVER,
    fall_to: int = NEVER,
    minutes: float = float("inf"),
    show_every: int = 1500,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Train the picture net on the first `shards` of a bank; a run that goes on with more shards
    draws from all of them.
    """
    torch.set_num_threads(threads)
    source = Bank(bank, shards)
    config = PictureConfig()
    loop = replace(
        config.loop,
        learning_rate=learning_rate,
        batch=batch,
        warmup=warmup,
        show_every=show_every,
        seed=seed,
    )
    schedule = replace(config.schedule, fall_from=fall_from, fall_to=fall_to)
    sheet = SheetOf(StickerAutoencoder.from_pretrained(codec).float().eval(), source.empty)
    stage = picture_stage(source, replace(config, loop=loop, schedule=schedule), start, sheet)
    print(
        f"picture: {sum(value.numel() for value in stage.net.parameters()):,} parameters, "
        f"{len(source.latents):,} pictures",
        flush=True,
    )
    fit(stage, loop, schedule, run, max_minutes=minutes)


def export_codec(
    cache: Path, codec: Path, folder: Path, frames: int = 512, threads: int = 1
) -> None:
    """Write a trained codec in half precision, its latents standardised by those of frames of the
    world.
    """
    torch.set_num_threads(threads)
    net = StickerAutoencoder.from_pretrained(codec).float().eval()
    shown = WorldFrames(Planner(Cache(cache))).draw(torch.Generator().manual_seed(0), frames)
    standardised(net, shown).half().save_pretrained(folder)


class SheetOf:
    """Makes pictures of `PROMPTS`, decoded over grey."""

    def __init__(self, codec: StickerAutoencoder, empty: Tensor):
        self.codec, self.empty = codec, empty
        encoder = carried_encoder()
        self.states = [encoder.encode([prompt]).states[0] for prompt in PROMPTS]

    @torch.no_grad()
    def __call__(self, net: UNet2DConditionModel, file: Path) -> None:
        latents = torch.cat(
            [
                sample_pictures(net, self.states[first : first + 8], self.empty, seed=first)
                for first in range(0, len(PROMPTS), 8)
            ]
        )
        frames = ((self.codec.decode(latents) + 1) / 2).clamp(0, 1)
        rows = [
            torch.cat(list(over_grey(frames[first : first + 8])), dim=2)
            for first in range(0, len(frames), 8)
        ]
        save_sheet(torch.cat(rows, dim=1), file)


def opened(file: Path) -> Tensor:
    if not file.is_file():
        raise ValueError(
            f"cache: expected {file.name} in {file.parent}, got none, "
            "do: python -m openlumiere_world.toys.pack"
        )
    return torch.from_numpy(np.load(file))


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {"codec": codec, "picture": picture, "export-codec": export_codec}
    )
