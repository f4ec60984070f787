"""CogVideoX text to video as a backbone: a transformer that predicts velocity (v prediction).

Its noise levels are a scaled-linear schedule with its SNR shifted and without signal at the end
(`CogVideoXDDIMScheduler`). Frames stand before channels in its layout. T5 is run without a mask, so
padding counts as text. CogVideoX 1.5 joins two coded places in time: of an odd number of places the
first one is given twice (our choice; diffusers' pipeline samples one more and drops it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Codec, Condition, Known, Level, Native, Process, Reads
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.models.codec import device_of
from openlumiere.models.text import t5_states
from openlumiere.models.video_codec import ScaledVideoCodec

STATES = 16  # tensors of a token's width that are alive at once, an estimate


@dataclass(frozen=True, kw_only=True)
class CogVideoXBackbone:
    """`CogVideoXTransformer3DModel` with its schedule, autoencoder and T5 encoder."""

    net: Any
    process: Process
    codec: Codec
    tokenizer: Any
    text_encoder: Any
    sparse: None = None

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> CogVideoXBackbone:
        """Of a published folder's components, by name."""
        vae = parts["vae"]
        factor = 2 ** (len(vae.config.block_out_channels) - 1)
        return cls(
            net=parts["transformer"],
            process=VariancePreserving(parts["scheduler"]),
            codec=ScaledVideoCodec(vae, int(vae.config.temporal_compression_ratio), factor),
            tokenizer=parts["tokenizer"],
            text_encoder=parts["text_encoder"],
        )

    @property
    def native(self) -> Native:
        """The config's size and frames; 8 frames a second, 16 for CogVideoX 1.5."""
        config = self.net.config
        return Native(
            side=config.sample_height * self.codec.factor,
            longer=config.sample_width * self.codec.factor,
            frames=config.sample_frames,
            fps=Fraction(8 if config.patch_size_t is None else 16),
            multiple=self.codec.factor * config.patch_size,
            time_multiple=self.codec.time_factor,
        )

    @property
    def reads(self) -> Reads:
        """Text alone."""
        return Reads()

    @property
    def device(self) -> torch.device:
        """Where the net lies."""
        return device_of(self.net)

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32."""
        condition = condition.to(noisy.device, self.net.dtype)
        missing = -noisy.shape[2] % (self.net.config.patch_size_t or 1)
        padded = torch.cat([noisy[:, :, :missing], noisy], 2)
        prediction: Tensor = self.net(
            hidden_states=rearrange(padded, "b c f h w -> b f c h w").to(self.net.dtype),
            timestep=level.time.to(noisy.device).expand(len(noisy)),
            encoder_hidden_states=condition.text,
            image_rotary_emb=self._rotation(padded.shape[2:], noisy.device),
        ).sample
        prediction = rearrange(prediction[:, missing:], "b f c h w -> b c f h w")
        return self.process.clean(prediction.float(), noisy, level)

    def _rotation(self, grid: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor] | None:
        """Rotary positions of the tokens, where the net (all but the 2B one) wants them."""
        config = self.net.config
        if not config.use_rotary_positional_embeddings:
            return None
        frames, *sides = grid
        height, width = (side // config.patch_size for side in sides)
        trained = (
            config.sample_height // config.patch_size,
            config.sample_width // config.patch_size,
        )
        if config.patch_size_t is None:
            crop = get_resize_crop_region_for_grid((height, width), trained[1], trained[0])
            kind: dict[str, Any] = {"crops_coords": crop, "temporal_size": frames}
        else:
            kind = {
                "crops_coords": None,
                "temporal_size": frames // config.patch_size_t,
                "grid_type": "slice",
                "max_size": trained,
            }
        rotation: tuple[Tensor, Tensor] = get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim, grid_size=(height, width), device=device, **kind
        )
        return rotation

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
        """Token states, padding among them; the net knows no other rate than its own, so frame
        times are left out.
        """
        length = self.net.config.max_text_seq_length
        text, _ = t5_states(self.tokenizer, self.text_encoder, prompts, length, masked=False)
        return Condition(text=text, known=known).to(self.device)

    def bytes_for(self, shape: Sequence[int]) -> int:
        """What one pass takes beside the weights: mostly states of the tokens."""
        batch, _, *grid = shape
        config = self.net.config
        patch: int = config.patch_size**2 * (config.patch_size_t or 1)
        width: int = config.num_attention_heads * config.attention_head_dim
        number: int = self.net.dtype.itemsize
        return STATES * number * batch * prod(grid) // patch * width
