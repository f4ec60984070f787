"""Loops: the clip as a circle, whose last frame is followed by its first."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.diffusion.denoiser import Condition, Denoiser, Timestep
from openlumiere.diffusion.known import Known


def around(denoiser: Denoiser, starts: int = 2) -> Denoiser:
    """`denoiser` run from `starts` places evenly around the circle, its predictions averaged:
    MultiDiffusion windows that wrap.

    Our choice. Each run sees the whole clip, begun at another frame, and counts less the nearer a
    frame is to its ends; where one run has its ends, another has its middle, so at no frame do the
    neighbours come from different ends. Costs `starts` passes a step. Frame times stay those of a
    clip that begins. Raises ValueError for fewer than 2 starts.
    """
    if starts < 2:
        raise ValueError(f"starts: expected at least 2, got {starts}, use 2 for the least work")

    def denoise(noisy: Tensor, timestep: Timestep, condition: Condition) -> Tensor:
        frames = noisy.shape[2]
        weight = hat(frames).to(noisy)
        mean, total = torch.zeros_like(noisy), torch.zeros_like(weight)
        for shift in sorted({start * frames // starts for start in range(starts)}):
            prediction = denoiser(noisy.roll(-shift, 2), timestep, turn(condition, -shift)).roll(
                shift, 2
            )
            share = weight.roll(shift, 0)
            total += share
            mean.lerp_(prediction.to(mean), share / total)
        return mean

    return denoise


def hat(frames: int) -> Float[Tensor, "f 1 1"]:
    """1 at the ends, rising by 1 a frame to the middle."""
    place = torch.arange(1.0, frames + 1)
    return torch.minimum(place, place.flip(0))[:, None, None]


def turn(condition: Condition, shift: int) -> Condition:
    """What is known, and whatever else has frames, moved around the circle by `shift` frames."""
    known, added = condition.known, condition.added
    return replace(
        condition,
        known=None
        if known is None
        else Known(content=known.content.roll(shift, 2), mask=known.mask.roll(shift, 2)),
        added=None
        if added is None
        else {
            name: value.roll(shift, 2) if value.ndim == 5 else value
            for name, value in added.items()
        },
    )
