"""Seamless loops: the clip as a circle, whose last frame is followed by its first."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Condition, Denoiser, Level


def looped(denoiser: Denoiser, starts: int = 2) -> Denoiser:
    """`denoiser` run from `starts` places evenly around the circle, its predictions averaged:
    MultiDiffusion windows that wrap.

    Our choice. Each run sees the whole clip, begun at another frame, and counts less the nearer a
    frame is to its ends; where one run has its ends, another has its middle, so at no frame do the
    neighbours come from different ends. Costs `starts` passes a step. Frame times stay those of a
    clip that begins. Raises ValueError for fewer than 2 starts.
    """
    if starts < 2:
        raise ValueError(f"starts: expected at least 2, got {starts}, use 2 for the least work")

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        frames = noisy.shape[2]
        weight = hat(frames).to(noisy)
        mean = torch.zeros_like(noisy)
        total = torch.zeros_like(weight)
        for shift in sorted({start * frames // starts for start in range(starts)}):
            clean = denoiser(noisy.roll(-shift, 2), level, condition.roll(-shift)).roll(shift, 2)
            share = weight.roll(shift, 0)
            total += share
            mean.lerp_(clean.to(mean), share / total)
        return mean

    return denoise


def hat(frames: int) -> Float[Tensor, "f 1 1"]:
    """1 at the ends, rising by 1 per frame to the middle."""
    place = torch.arange(1.0, frames + 1)
    return torch.minimum(place, place.flip(0))[:, None, None]
