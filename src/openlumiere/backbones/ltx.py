"""LTX-Video as a backbone: a flow transformer over tokens of a strongly compressing autoencoder.

Its way to hold what is known is a time for each token: 0 where the place is known, whose clean
content stands in the noisy clip. It is given the frame rate, by which its positions count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from openlumiere.backbones.published import PublishedBackbone
from openlumiere.contract import (
    NATIVE_RATE,
    Condition,
    Known,
    Level,
    Native,
    Reads,
)
from openlumiere.diffusion.process import Flow
from openlumiere.models.codec import on_device_of
from openlumiere.models.text import TextStates, t5_states
from openlumiere.models.video_codec import VideoCodec

TOKENS = 128  # of a prompt; longer ones are cut
FPS = 25.0  # frames a second that the net was trained at
RATE = "rate"
"""The name, among what is whole, of a clip's frames a second."""


class LTXCodec(VideoCodec):
    """Latents of `diffusers.AutoencoderKLLTXVideo`: 32 x 32 pixels and 8 frames a place, the first
    frame alone. Autoencoders that clean up a little noise are given none.
    """

    def __init__(self, vae: Any) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.channels: int = vae.config.latent_channels
        self.factor: int = vae.spatial_compression_ratio
        self.time_factor: int = vae.temporal_compression_ratio

    @torch.no_grad()
    def decode(self, coded: Float[Tensor, "b c g h w"]) -> Float[Tensor, "b 3 f H W"]:
        """The autoencoder's frames."""
        mean, spread = self._statistics(coded)
        latents = on_device_of(self.vae, coded * spread + mean)
        clean = self.vae.config.timestep_conditioning
        time = torch.zeros(len(latents)).to(latents) if clean else None
        pixels: Tensor = self.vae.decode(latents, time).sample
        return pixels

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of each latent channel."""
        rows = (self.vae.latents_mean, self.vae.latents_std / self.vae.config.scaling_factor)
        mean, spread = (row.reshape(1, -1, 1, 1, 1).to(like) for row in rows)
        return mean, spread


def flow_of(scheduler: Any) -> Flow:
    """The flow, whose steps are shifted the more, the more places a clip has."""
    config = scheduler.config

    def shift(places: int) -> float:
        mu: float = calculate_shift(
            places,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        return mu

    def levels(steps: int) -> list[float]:
        spaced: list[float] = np.linspace(1.0, 1 / steps, steps).tolist()
        return spaced

    return Flow(scheduler, sigmas=levels, mu=shift)


@dataclass(frozen=True, kw_only=True)
class LTXBackbone(PublishedBackbone):
    """`LTXVideoTransformer3DModel` with its flow, autoencoder and T5 encoder."""

    tokenizer: Any
    text_encoder: Any

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> LTXBackbone:
        """Of a published folder's components, by name."""
        return cls(
            net=parts["transformer"],
            process=flow_of(parts["scheduler"]),
            codec=LTXCodec(parts["vae"]),
            tokenizer=parts["tokenizer"],
            text_encoder=parts["text_encoder"],
        )

    @property
    def native(self) -> Native:
        """161 frames of 704 x 512 pixels at 25 fps."""
        return Native(
            side=512,
            longer=704,
            frames=161,
            fps=Fraction(25),
            multiple=self.codec.factor,
            time_multiple=self.codec.time_factor,
        )

    @property
    def reads(self) -> Reads:
        """What is known, and the rate."""
        return Reads(known=True, frame_times=True)

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32."""
        condition = condition.to(noisy.device, self.net.dtype)
        time = level.time.to(noisy.device).expand(len(noisy))
        known = condition.known
        if known is None:
            return self.process.clean(self._predict(noisy, time, condition), noisy, level)
        unknown = known.mask != 1
        shown = torch.where(unknown, noisy, known.content.to(noisy))
        times = time[:, None] * unknown.flatten(1)
        clean = self.process.clean(self._predict(shown, times, condition), noisy, level)
        return known.paste(clean)

    def _predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """The net's own prediction in float32; one time a clip or a token."""
        frames, height, width = noisy.shape[2:]
        rate = condition.whole.get(RATE)
        fps = FPS if rate is None else float(rate[0])
        factor = self.codec.factor
        prediction = self.net(
            hidden_states=rearrange(noisy, "b c f h w -> b (f h w) c").to(self.net.dtype),
            timestep=time,
            encoder_hidden_states=condition.text,
            encoder_attention_mask=condition.text_mask,
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(self.codec.time_factor / fps, factor, factor),
        ).sample
        unpacked = rearrange(prediction, "b (f h w) c -> b c f h w", f=frames, h=height, w=width)
        return unpacked.float()

    def condition(
        self,
        prompts: Sequence[str],
        *,
        frames: int,
        height: int,
        width: int,
        frame_times: Float[Tensor, " f"] | None = None,
        known: Known | None = None,
    ) -> Condition:
        """Token states with their mask, and the rate of frames that have times."""
        condition = super().condition(
            prompts, frames=frames, height=height, width=width, known=known
        )
        if frame_times is None or len(frame_times) < 2:
            return condition
        fps = float(NATIVE_RATE) / float(frame_times[1] - frame_times[0])
        rate = torch.full((len(prompts),), fps, device=self.device)
        return replace(condition, whole={RATE: rate})

    def text_states(self, prompts: list[str]) -> TextStates:
        """T5's states with their mask, which T5 itself is not given."""
        return t5_states(self.tokenizer, self.text_encoder, prompts, TOKENS, masked=False)
