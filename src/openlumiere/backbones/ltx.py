"""LTX-Video as a backbone: a flow transformer over tokens of a strongly compressing autoencoder.

Its way to hold what is known is a time for each token: 0 where the place is known, whose clean
content stands in the noisy clip. It is given the frame rate, by which its positions count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import (
    NATIVE_RATE,
    Codec,
    Condition,
    Known,
    Level,
    Native,
    Process,
    Reads,
)
from openlumiere.diffusion.process import Flow
from openlumiere.models.codec import device_of, on_device_of
from openlumiere.models.video_codec import VideoCodec

TOKENS = 128  # of a prompt; longer ones are cut
FPS = 25.0  # frames a second that the net was trained at
RATE = "rate"
"""The name, among what is whole, of a clip's frames a second."""
STATES = 16  # tensors of a token's width that are alive at once, an estimate


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
class LTXBackbone:
    """`LTXVideoTransformer3DModel` with its flow, autoencoder and T5 encoder."""

    net: Any
    process: Process
    codec: Codec
    tokenizer: Any
    text_encoder: Any
    sparse: None = None

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

    @property
    def device(self) -> torch.device:
        """Where the net lies."""
        return device_of(self.net)

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
        asked = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=TOKENS,
            truncation=True,
            return_tensors="pt",
        ).to(device_of(self.text_encoder))
        states = self.text_encoder(asked.input_ids).last_hidden_state
        whole = {}
        if frame_times is not None and len(frame_times) > 1:
            fps = float(NATIVE_RATE) / float(frame_times[1] - frame_times[0])
            whole[RATE] = torch.full((len(prompts),), fps)
        mask = asked.attention_mask.bool()
        condition = Condition(text=states, text_mask=mask, known=known, whole=whole)
        return condition.to(self.device)

    def bytes_for(self, shape: Sequence[int]) -> int:
        """What one pass takes beside the weights: mostly states of the tokens."""
        batch, _, *grid = shape
        width: int = self.net.config.num_attention_heads * self.net.config.attention_head_dim
        number: int = self.net.dtype.itemsize
        return STATES * number * batch * prod(grid) * width
