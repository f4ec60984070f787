"""Shards as a source of training samples."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from openlumiere.data.ingest.shardset import Shards
from openlumiere.data.sample import Sample, whole_times


class ShardSource:
    """Draws clips of finished shards, each time any of them with equal chance.

    What is drawn depends on the generator alone, neither on earlier draws nor on `workers` (threads
    that read and unpack), so a run that is resumed draws what the unbroken one would have. Raises
    ValueError for shards of another side than the model's, of another length, or without clips.
    """

    def __init__(
        self,
        folder: Path,
        side: int,
        frames: int,
        device: torch.device | str = "cpu",
        workers: int = 1,
    ):
        self.shards = Shards(folder)
        self.device = device
        self.threads = ThreadPoolExecutor(workers)
        config = self.shards.config
        if (config.side, config.frames) != (side, frames):
            raise ValueError(
                f"data: expected clips of {frames} frames of {side} px for this model, got"
                f" {config.frames} of {config.side} px in {folder},"
                " ingest with that --side and --frames"
            )
        if not len(self.shards):
            raise ValueError(
                f"data: expected clips in {folder}, got none, see why they were dropped:"
                f" lumiere data look {folder}"
            )

    def draw(
        self, generator: torch.Generator, count: int, frame_times: Float[Tensor, "*b f"] | None
    ) -> Sample:
        """`count` clips seen at `frame_times` (in frames of the shards, rounded to whole ones; for
        all or for each), or, for None, single frames at moments that are drawn.
        """
        chosen = torch.randint(len(self.shards), (count,), generator=generator).tolist()
        frames = self.shards.config.frames
        if frame_times is None:
            places = torch.randint(frames, (count, 1), generator=generator)
        else:
            places = whole_times(frame_times, count, frames, "frames of the shards")
        levels = list(self.threads.map(self._seen, chosen, places.tolist()))
        pixels = torch.from_numpy(np.stack(levels)).to(self.device)
        pixels = rearrange(pixels, "b f h w c -> b c f h w").float() / 127.5 - 1
        return Sample(pixels, [str(self.shards.rows[number]["caption"]) for number in chosen])

    def _seen(self, number: int, places: list[int]) -> np.ndarray:
        return self.shards.frames(number)[places]
