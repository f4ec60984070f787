"""Latents of published video autoencoders, shifted and scaled to about unit variance: what they
have in common, and CogVideoX's, HunyuanVideo's and Mochi's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.models.codec import VideoPlaces, on_device_of

PIXELS = 8  # of a side, that share one place


class VideoCodec(VideoPlaces, ABC):
    """An autoencoder `vae` of diffusers whose latents have a mean and a spread of their own."""

    vae: Any

    @torch.no_grad()
    def encode(self, pixels: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c g h w"]:
        """The mean of the posterior, each channel brought to about unit variance."""
        self.grid(*pixels.shape[2:])
        mean, spread = self._statistics(pixels)
        latents: Tensor = self.vae.encode(on_device_of(self.vae, pixels)).latent_dist.mode()
        return (latents.to(pixels) - mean) / spread

    @abstractmethod
    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of each latent channel, on the device of `like`."""


class ScaledVideoCodec(VideoCodec):
    """An autoencoder whose latents are `coded / scaling_factor`, or with a mean and a spread of
    each channel in its config `coded spread / scaling_factor + mean` (Mochi's).

    `time_factor` is the number of frames that share a place, the first frame alone.
    """

    def __init__(self, vae: Any, time_factor: int, factor: int = PIXELS) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.channels: int = vae.config.latent_channels
        self.factor = factor
        self.time_factor = time_factor

    @torch.no_grad()
    def decode(self, coded: Float[Tensor, "b c g h w"]) -> Float[Tensor, "b 3 f H W"]:
        """The autoencoder's frames, of more than belong to the places the last ones: CogVideoX's
        makes 4 of the first place, too, where their number is even (our choice; diffusers' pipeline
        keeps all).
        """
        mean, spread = self._statistics(coded)
        pixels: Tensor = self.vae.decode(on_device_of(self.vae, coded * spread + mean)).sample
        return pixels[:, :, -1 - (coded.shape[2] - 1) * self.time_factor :]

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of each latent channel, or of all alike."""
        config = self.vae.config
        scale = 1 / torch.tensor(config.scaling_factor).to(like)
        mean, spread = config.get("latents_mean"), config.get("latents_std")
        if mean is None or spread is None:
            return torch.zeros_like(scale), scale
        rows = [torch.tensor(row).reshape(1, -1, 1, 1, 1).to(like) for row in (mean, spread)]
        return rows[0], rows[1] * scale
