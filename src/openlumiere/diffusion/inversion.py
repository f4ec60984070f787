"""From a clip back to the noise that it was made from: DDIM read backwards (Song et al. 2021,
section 4.3).
"""

from __future__ import annotations

import diffusers
import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.diffusion.denoiser import Condition, Denoiser, to_clean


def invert(
    denoiser: Denoiser,
    scheduler: diffusers.DDIMScheduler,
    clean: Float[Tensor, "b c f h w"],
    condition: Condition,
    *,
    steps: int,
) -> Float[Tensor, "b c f h w"]:
    """An estimate of the noise. `condition` is that of the empty prompt where the clip's own isn't
    known.
    """
    levels = scheduler.alphas_cumprod.double()
    timesteps = torch.linspace(0, len(levels) - 1, steps + 1).round().long()[1:]
    noisy, alpha, sigma = clean, 1.0, 0.0
    for timestep in timesteps:
        next_alpha, next_sigma = (
            float(levels[timestep]) ** 0.5,
            (1 - float(levels[timestep])) ** 0.5,
        )
        told = to_clean(
            denoiser(noisy, timestep, condition),
            noisy,
            next_alpha,
            next_sigma,
            scheduler.config.prediction_type,
        )
        noise = (noisy - next_alpha * told) / next_sigma
        noisy = next_alpha * (noisy - sigma * noise) / alpha + next_sigma * noise
        alpha, sigma = next_alpha, next_sigma
    return noisy
