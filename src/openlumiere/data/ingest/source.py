"""Finished shards as a source of training clips (`train/data.py` says what a source is)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import NATIVE_RATE
from openlumiere.data.ingest.config import IngestConfig
from openlumiere.data.ingest.shardset import Shards
from openlumiere.data.sample import Sample, whole_times


class ShardSource:
    """Draws clips of finished shards: all of them once an epoch, each epoch in an order of its own.

    The order is a function of `seed` and of the number of samples drawn before (`move_to`), so a
    run that is resumed, on any number of processes and with any number of `workers` (threads that
    read and unpack), draws what the unbroken one would have. `frames` are the native frames that a
    clip spans; None takes single frames of clips of any length.

    Raises ValueError for shards of another side than the model's, of another length, or without
    clips.
    """

    def __init__(
        self,
        folder: Path,
        side: int,
        frames: int | None,
        device: torch.device | str = "cpu",
        workers: int = 1,
        seed: int = 0,
    ):
        self.shards = Shards(folder)
        self.device = device
        self.threads = ThreadPoolExecutor(workers)
        self.seed = seed
        self.position = 0
        config = self.shards.config
        spanned = native_frames(config)
        if config.side != side or frames not in (None, spanned):
            asked = "" if frames is None else f" of {frames} native frames"
            raise ValueError(
                f"data: expected clips{asked} of {side} px for this model, got {spanned} of"
                f" {config.side} px in {folder}, ingest for it with --side {side} and --frames"
            )
        if not len(self.shards):
            raise ValueError(
                f"data: expected clips in {folder}, got none, see why they were dropped:"
                f" lumiere data look {folder}"
            )

    def move_to(self, position: int) -> None:
        """The next clip drawn is the one that a run draws after `position` others."""
        self.position = position

    def draw(
        self, generator: torch.Generator, count: int, frame_times: Float[Tensor, "*b f"] | None
    ) -> Sample:
        """`count` clips seen at `frame_times` (in native frames, the frame then on the screen; for
        all or for each), or, for None, single frames at moments that are drawn.
        """
        if frame_times is None:
            frames = self.shards.config.frames
            places = torch.randint(frames, (count, 1), generator=generator).tolist()
        else:
            places = self.places(frame_times, count)
        chosen = self.take(count)
        return Sample(self.pixels(chosen, places), [self.caption(number) for number in chosen])

    def take(self, count: int) -> list[int]:
        """Which clips are the next `count` in order, by their rows."""
        chosen = [self._clip_at(self.position + number) for number in range(count)]
        self.position += count
        return chosen

    def places(self, frame_times: Float[Tensor, "*b f"], count: int) -> list[list[int]]:
        """Which frames of each of `count` clips are on the screen at these native frames."""
        rate = self.shards.config.fps / NATIVE_RATE
        spanned = native_frames(self.shards.config)
        times = whole_times(frame_times, count, spanned, "native frames")
        return (times * rate.numerator // rate.denominator).tolist()

    def pixels(self, chosen: list[int], places: list[list[int]]) -> Float[Tensor, "b 3 f h w"]:
        """Frames of these clips in [-1, 1], each at its places."""
        levels = list(self.threads.map(self._seen, chosen, places))
        pixels = torch.from_numpy(np.stack(levels)).to(self.device)
        return rearrange(pixels, "b f h w c -> b c f h w").float() / 127.5 - 1

    def caption(self, number: int) -> str:
        """What clip `number` shows."""
        return str(self.shards.rows[number]["caption"])

    def _clip_at(self, position: int) -> int:
        epoch, place = divmod(position, len(self.shards))
        return int(order(len(self.shards), self.seed, epoch)[place])

    def _seen(self, number: int, places: list[int]) -> np.ndarray:
        return self.shards.frames(number)[places]


class Turns:
    """Several sets of shards, each of clips of one side and length, drawn from in turn.

    `count` clips that are drawn at once come from one set, so they are of one form. A round has as
    many turns of a set as it has such batches, in an order of its own; which set and which of its
    clips come next is a function of `seed` and of the number of clips drawn before, as in
    `ShardSource`, as long as `count` stays the same. All clips of a set are drawn once an epoch of
    that set.
    """

    def __init__(self, sources: Sequence[ShardSource], seed: int = 0):
        self.sources = sources
        self.seed = seed
        self.position = 0

    def move_to(self, position: int) -> None:
        """The next clip drawn is the one that a run draws after `position` others."""
        self.position = position

    def next(self, count: int) -> tuple[int, list[int]]:
        """The number of a set, and the rows of its next `count` clips."""
        chosen, position = 0, self.position
        if len(self.sources) > 1:
            chosen, position = self._turn(self.position // count, count)
        self.position += count
        self.sources[chosen].move_to(position)
        return chosen, self.sources[chosen].take(count)

    def _turn(self, number: int, count: int) -> tuple[int, int]:
        """Which set a batch is of, and how many clips of that set were drawn before."""
        shares = [max(1, round(len(each.shards) / count)) for each in self.sources]
        epoch, place = divmod(number, sum(shares))
        sets = np.repeat(np.arange(len(shares)), shares)
        turns = sets[order(len(sets), self.seed, epoch)]
        chosen = int(turns[place])
        before = epoch * shares[chosen] + int((turns[:place] == chosen).sum())
        return chosen, before * count


def native_frames(config: IngestConfig) -> int:
    """Native frames (1/16 s) that a clip of the shards spans, rounded down."""
    return int(config.frames * NATIVE_RATE / config.fps)


@lru_cache(maxsize=16)
def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The clips 0 to `count` - 1 in the order of an epoch: a function of its three arguments."""
    return np.random.default_rng((seed, epoch)).permutation(count)
