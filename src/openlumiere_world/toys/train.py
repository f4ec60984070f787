"""Training the chain of the toy world from its packed cache.

    python -m openlumiere_world.toys.train codec --cache CACHE --run RUN

A run goes on from its newest checkpoint; everything that is drawn follows from the seed and the step.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor

from openlumiere.train.stages.codec import CodecConfig, codec_stage
from openlumiere.train.stages.schedule import NEVER, fit
from openlumiere_world.toys.batches import Frames, Mixed, WorldFrames
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.frames import Drawings
from openlumiere_world.toys.pack import SUBJECTS
from openlumiere_world.toys.scene import Planner

TESTED = 64  # drawings that the codec never sees
TESTED_PHOTOGRAPHS = 30
WORLD = 0.5  # of the codec's frames


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
    """Train the autoencoder: half on drawings and photographs of the cache, half on frames of the world where that is packed."""
    torch.set_num_threads(threads)
    source, held_out = codec_sources(cache)
    config = replace(CodecConfig(), noise=noise)
    loop = replace(config.loop, learning_rate=learning_rate, warmup=warmup, seed=seed)
    schedule = replace(config.schedule, fall_from=fall_from, fall_to=fall_to)
    stage = codec_stage(source, replace(config, loop=loop, schedule=schedule), held_out, start)
    print(f"codec: {sum(value.numel() for value in stage.net.parameters()):,} parameters", flush=True)
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


def opened(file: Path) -> Tensor:
    if not file.is_file():
        raise ValueError(f"cache: expected {file.name} in {file.parent}, got none, do: python -m openlumiere_world.toys.pack")
    return torch.from_numpy(np.load(file))


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"codec": codec})
