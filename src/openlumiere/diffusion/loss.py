"""What training minimises: the error of the predicted clean clip, weighted by noise level."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from openlumiere.diffusion.process import VariancePreserving

TRUNCATION = 5.0


def add_noise(
    clean: Float[Tensor, "b ..."],
    noise: Float[Tensor, "b ..."],
    timestep: Int[Tensor, " b"],
    process: VariancePreserving,
) -> Float[Tensor, "b ..."]:
    """`alpha clean + sigma noise` at whole trained timesteps."""
    alpha, sigma = signal_and_noise(timestep, process, clean.ndim)
    return alpha * clean + sigma * noise


def signal_and_noise(
    timestep: Int[Tensor, " b"], process: VariancePreserving, ndim: int
) -> tuple[Tensor, Tensor]:
    """alpha and sigma of each sample, shaped to broadcast over `ndim` axes."""
    signal = process.signal(timestep).reshape(-1, *[1] * (ndim - 1))
    return signal.sqrt(), (1 - signal).sqrt()


def draw_timesteps(
    batch: int, steps: int, low_noise: float, generator: torch.Generator
) -> Int[Tensor, " b"]:
    """Timesteps in [0, steps): uniform for `low_noise` 1, denser at low noise above (ours)."""
    uniform = torch.rand(batch, generator=generator, device=generator.device)
    return (uniform**low_noise * steps).long().clamp(max=steps - 1)


def velocity_weight(
    timestep: Int[Tensor, " b"], process: VariancePreserving
) -> Float[Tensor, " b"]:
    """Turns an error of the clean clip into one of the velocity, truncated: `min(1 / sigma^2, 1 +
    5)`.

    Our choice. The velocity's error is the clean clip's over sigma^2; without the truncation the
    nearly clean timesteps would be all of the loss (the same cure as min-SNR weighting, Hang et al.
    2023).
    """
    return (1 / (1 - process.signal(timestep)).clamp(min=1e-6)).clamp(max=1 + TRUNCATION)


def clean_loss(
    predict: Callable[[Tensor, Tensor], Tensor],
    clean: Float[Tensor, "b ..."],
    noise: Float[Tensor, "b ..."],
    timestep: Int[Tensor, " b"],
    process: VariancePreserving,
) -> Float[Tensor, " b"]:
    """One loss a sample; `predict(noisy, timestep)` answers with the clean clip or picture."""
    prediction = predict(add_noise(clean, noise, timestep, process), timestep)
    error = (prediction.float() - clean).square().flatten(1).mean(1)
    return error * velocity_weight(timestep, process)
