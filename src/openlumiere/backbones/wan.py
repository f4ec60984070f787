"""Wan 2.1 text to video as a backbone: a flow transformer over latents of a video autoencoder.

Its loop shifts the steps by the scheduler's `flow_shift`. What is known is held by replacement;
Wan's own image-to-video nets, and the second net of Wan 2.2, are other classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import torch
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Codec, Condition, Known, Level, Native, Process, Reads
from openlumiere.diffusion.process import Flow
from openlumiere.models.codec import check_sides, pooled_mask

TOKENS = 512  # a prompt's tokens, padded with zeros
STATES = 16  # tensors of a token's width that are alive at once, an estimate


class WanCodec:
    """Latents of `diffusers.AutoencoderKLWan`: 8 x 8 pixels and 4 frames a place, the first frame
    alone.
    """

    colours = 3
    bounded = False

    def __init__(self, vae: Any) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.channels: int = vae.config.z_dim
        self.factor: int = vae.config.scale_factor_spatial
        self.time_factor: int = vae.config.scale_factor_temporal

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(f, h, w) of the coded clip. Raises ValueError for sizes that do not fit."""
        check_sides(height, width, self.factor)
        if frames != self.frames_for(frames):
            raise ValueError(
                f"frames: expected 1 and a multiple of {self.time_factor}, got {frames}, "
                f"take {self.frames_for(frames)}"
            )
        places = 1 + (frames - 1) // self.time_factor
        return places, height // self.factor, width // self.factor

    def frames_for(self, count: int) -> int:
        """The least number of frames of at least `count` that fits."""
        return 1 + -(-(count - 1) // self.time_factor) * self.time_factor

    @torch.no_grad()
    def encode(self, pixels: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c g h w"]:
        """The mean of the posterior, each channel brought to about unit variance."""
        self.grid(*pixels.shape[2:])
        mean, spread = self._statistics(pixels)
        latents: Tensor = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.mode()
        return (latents - mean) / spread

    @torch.no_grad()
    def decode(self, coded: Float[Tensor, "b c g h w"]) -> Float[Tensor, "b 3 f H W"]:
        """The autoencoder's frames."""
        mean, spread = self._statistics(coded)
        pixels: Tensor = self.vae.decode((coded * spread + mean).to(self.vae.dtype)).sample
        return pixels

    def mask(
        self, known: Float[Tensor, "b 1 f H W"], grid: tuple[int, int, int]
    ) -> Float[Tensor, "b 1 g h w"]:
        """A place is known only if every pixel and frame under it is."""
        return pooled_mask(known, grid, self.time_factor)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of each latent channel."""
        config = self.vae.config
        rows = (config.latents_mean, config.latents_std)
        mean, spread = (torch.tensor(row).reshape(1, -1, 1, 1, 1).to(like) for row in rows)
        return mean, spread


@dataclass(frozen=True, kw_only=True)
class WanBackbone:
    """`WanTransformer3DModel` with its flow, autoencoder and umT5 encoder."""

    net: Any
    process: Process
    codec: Codec
    tokenizer: Any
    text_encoder: Any
    sparse: None = None

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> WanBackbone:
        """Of a published folder's components, by name."""
        return cls(
            net=parts["transformer"],
            process=Flow(parts["scheduler"]),
            codec=WanCodec(parts["vae"]),
            tokenizer=parts["tokenizer"],
            text_encoder=parts["text_encoder"],
        )

    @property
    def native(self) -> Native:
        """81 frames of 832 x 480 pixels at 16 fps."""
        return Native(
            side=480,
            longer=832,
            frames=81,
            fps=Fraction(16),
            multiple=self.codec.factor * self.net.config.patch_size[1],
            time_multiple=self.codec.time_factor,
        )

    @property
    def reads(self) -> Reads:
        """Text alone."""
        return Reads()

    @property
    def device(self) -> torch.device:
        """Where the net lies."""
        device: torch.device = self.net.device
        return device

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32."""
        condition = condition.to(noisy.device, self.net.dtype)
        prediction: Tensor = self.net(
            hidden_states=noisy.to(self.net.dtype),
            timestep=level.time.to(noisy.device).expand(len(noisy)),
            encoder_hidden_states=condition.text,
        ).sample
        return self.process.clean(prediction.float(), noisy, level)

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
        """Token states, zeros after each prompt's end; the net knows no other rate than its own,
        so frame times are left out.
        """
        asked = self.tokenizer(
            [prompt_clean(prompt) for prompt in prompts],
            padding="max_length",
            max_length=TOKENS,
            truncation=True,
            return_tensors="pt",
        ).to(self.text_encoder.device)
        states = self.text_encoder(asked.input_ids, asked.attention_mask).last_hidden_state
        text = states * asked.attention_mask[..., None]
        return Condition(text=text, known=known).to(self.device, self.net.dtype)

    def bytes_for(self, shape: Sequence[int]) -> int:
        """What one pass takes beside the weights: mostly states of the tokens."""
        batch, _, *grid = shape
        patch: int = prod(self.net.config.patch_size)
        width: int = self.net.config.num_attention_heads * self.net.config.attention_head_dim
        number: int = self.net.dtype.itemsize
        return STATES * number * batch * prod(grid) // patch * width
