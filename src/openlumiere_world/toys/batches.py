"""Batches of the toy world for training: single frames for the codec."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere_world.toys.scene import SECONDS, Planner, render

SEEDS = 2**31


@runtime_checkable
class Frames(Protocol):
    """Premultiplied RGBA in [0, 1], by the generator alone."""

    def draw(self, generator: torch.Generator, count: int) -> Float[Tensor, "b 4 128 128"]:
        """So many frames, each time others."""


class WorldFrames:
    """Frames of clips at any moment, of a split."""

    def __init__(self, planner: Planner, split: str = "train"):
        self.planner, self.split = planner, split

    def draw(self, generator: torch.Generator, count: int) -> Float[Tensor, "b 4 128 128"]:
        """Frames of scenes at moments of their own."""
        seeds = torch.randint(SEEDS, (count,), generator=generator).tolist()
        moments = torch.rand(count, 1, generator=generator) * SECONDS
        drawn = [self.planner.plan(seed, self.split) for seed in seeds]
        return torch.cat(
            [render(self.planner.cache, scene, moment) for scene, moment in zip(drawn, moments)]
        )


class Mixed:
    """Of each batch a share from the second source, the rest from the first."""

    def __init__(self, first: Frames, second: Frames, share: float):
        self.first, self.second, self.share = first, second, share

    def draw(self, generator: torch.Generator, count: int) -> Float[Tensor, "b 4 128 128"]:
        """The first source's frames, then the second's."""
        others = round(count * self.share)
        return torch.cat(
            [self.first.draw(generator, count - others), self.second.draw(generator, others)]
        )
