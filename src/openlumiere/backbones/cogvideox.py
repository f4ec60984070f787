"""CogVideoX as a backbone, text and image to video: a transformer that predicts velocity.

Its noise levels are a scaled-linear schedule with its SNR shifted and without signal at the end
(`CogVideoXDDIMScheduler`). Frames stand before channels in its layout. T5 is run without a mask, so
padding counts as text. CogVideoX 1.5 joins two coded places in time: of an odd number of places the
first one is given twice (our choice; diffusers' pipeline samples one more and drops it). The
image-to-video nets read the latents of a first frame beside the noisy clip, and zeros for all
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from openlumiere.backbones.published import GIVEN, PublishedBackbone
from openlumiere.contract import Condition, Known, Level, Native, Reads
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.models.text import TextStates, t5_states
from openlumiere.models.video_codec import ScaledVideoCodec

OFFSET = 2.0  # that CogVideoX 1.5 image to video is given, always


@dataclass(frozen=True, kw_only=True)
class CogVideoXBackbone(PublishedBackbone):
    """`CogVideoXTransformer3DModel` with its schedule, autoencoder and T5 encoder."""

    codec: ScaledVideoCodec
    tokenizer: Any
    text_encoder: Any

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Self:
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
        """The config's size and frames at 8 frames a second. CogVideoX 1.5 makes 1360 x 768 pixels
        at 16; its config names the largest size that its positions count to.
        """
        config = self.net.config
        later = config.patch_size_t is not None
        factor = self.codec.factor
        return Native(
            side=768 if later else config.sample_height * factor,
            longer=1360 if later else config.sample_width * factor,
            frames=config.sample_frames,
            fps=Fraction(16 if later else 8),
            multiple=factor * config.patch_size,
            time_multiple=self.codec.time_factor,
        )

    @property
    def places(self) -> int:
        """Coded places that share a token."""
        config = self.net.config
        patch: int = config.patch_size**2 * (config.patch_size_t or 1)
        return patch

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32."""
        condition = condition.to(noisy.device, self.net.dtype)
        self._check_size(noisy)
        shown = self._inputs(noisy, condition)
        missing = -noisy.shape[2] % (self.net.config.patch_size_t or 1)
        padded = torch.cat([shown[:, :, :missing], shown], 2)
        prediction: Tensor = self.net(
            hidden_states=rearrange(padded, "b c f h w -> b f c h w").to(self.net.dtype),
            timestep=level.time.to(noisy.device).expand(len(noisy)),
            encoder_hidden_states=condition.text,
            image_rotary_emb=self._rotation(padded.shape[2:], noisy.device),
            ofs=self._offset(noisy.device),
        ).sample
        prediction = rearrange(prediction[:, missing:], "b f c h w -> b c f h w")
        return self.process.clean(prediction.float(), noisy, level)

    def _check_size(self, noisy: Tensor) -> None:
        """The 5B image-to-video net learnt a position for each place of one size; the positions of
        CogVideoX 1.5 count to its config's size.
        """
        config, factor = self.net.config, self.codec.factor
        size, trained = tuple(noisy.shape[3:]), (config.sample_height, config.sample_width)
        wide, got = (f"{w * factor} x {h * factor}" for h, w in (trained, size))
        if config.use_learned_positional_embeddings and size != trained:
            raise ValueError(
                f"size: expected {wide} pixels, the one size of this CogVideoX, got {got}, "
                "crop or resize what is given"
            )
        if config.patch_size_t is not None and (size[0] > trained[0] or size[1] > trained[1]):
            raise ValueError(
                f"size: expected at most {wide} pixels, to which this CogVideoX counts its places, "
                f"got {got}, take fewer"
            )

    def _inputs(self, noisy: Tensor, condition: Condition) -> Tensor:
        """What the net sees in place of the noisy clip."""
        return noisy

    def _offset(self, device: torch.device) -> Tensor | None:
        """A constant that CogVideoX 1.5 image to video is given."""
        if self.net.config.ofs_embed_dim is None:
            return None
        return torch.full((1,), OFFSET, device=device)

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

    def text_states(self, prompts: list[str]) -> TextStates:
        """T5's states, padding among them."""
        length = self.net.config.max_text_seq_length
        return t5_states(self.tokenizer, self.text_encoder, prompts, length, masked=False)


@dataclass(frozen=True, kw_only=True)
class CogVideoXImageBackbone(CogVideoXBackbone):
    """CogVideoX image to video."""

    @property
    def reads(self) -> Reads:
        """A first frame; what is known elsewhere is held."""
        return Reads(first_frame=True)

    def read(self, condition: Condition, given: Known) -> Condition:
        """The condition with the latents of a first frame that is known as a whole, or zeros
        (our choice); see `contract.ReadsPixels`. They are the posterior's mean, where diffusers'
        pipeline draws from it.
        """
        content = given.content[:, :, :1].to(self.device)
        whole = given.mask[:, :, :1].amin((1, 3, 4), keepdim=True).to(content)
        first = self.codec.encode(content) * whole * self._scale()
        later = (0, 0, 0, 0, 0, (given.content.shape[2] - 1) // self.codec.time_factor)
        over = {**condition.over_frames, GIVEN: F.pad(first, later)}
        return replace(condition, over_frames=over)

    def _scale(self) -> float:
        """The older net reads latents that were divided by the autoencoder's factor, where all
        others are multiplied by it.
        """
        config = self.codec.vae.config
        return float(config.scaling_factor**-2) if config.invert_scale_latents else 1.0

    def _inputs(self, noisy: Tensor, condition: Condition) -> Tensor:
        return torch.cat([noisy, condition.over_frames[GIVEN].to(noisy)], 1)
