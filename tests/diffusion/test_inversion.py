"""DDIM read backwards."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler

from openlumiere.diffusion.denoiser import Condition
from openlumiere.diffusion.inversion import invert
from openlumiere.diffusion.sampler import sample


def test_inversion_gives_the_noise_back():
    """Clips of N(0, 1/4) under their exact denoiser: sampling is a known map of the noise, and
    inversion its inverse.
    """
    scheduler = DDIMScheduler(
        prediction_type="sample", clip_sample=False, timestep_spacing="trailing"
    )
    levels = scheduler.alphas_cumprod.double()

    def denoiser(noisy, timestep, condition):
        signal = levels[int(timestep)]
        return (noisy * signal**0.5 * 0.25 / (signal * 0.25 + 1 - signal)).to(noisy.dtype)

    condition = Condition(text=torch.zeros(1, 1, 1))
    noise = torch.randn(1, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    *_, last = sample(denoiser, scheduler, noise, condition, steps=200)
    back = invert(denoiser, scheduler, last.noisy, condition, steps=200)
    assert torch.corrcoef(torch.stack([back.flatten(), noise.flatten()]))[0, 1] > 0.999
    assert abs(float(back.std() / noise.std()) - 1) < 0.05
