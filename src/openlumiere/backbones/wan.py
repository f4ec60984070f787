"""Wan 2.1 and 2.2 as backbones: flow transformers over latents of a video autoencoder.

Its loop shifts the steps by the scheduler's `flow_shift`. The large Wan 2.2 has a second net for
the low noise levels (`boundary_ratio`), the small one takes a time for each token, which is its own
way to hold what is known; elsewhere that is held by replacement. Wan's image-to-video nets read a
first frame beside the noisy clip, VACE reads any known content as a control.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any, Self

import torch
import torch.nn.functional as F
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from openlumiere.backbones.published import GIVEN, PublishedBackbone
from openlumiere.contract import TIMES, Condition, Known, Level, Native, Reads
from openlumiere.diffusion.process import Flow
from openlumiere.models.codec import on_device_of
from openlumiere.models.text import TextStates, t5_states
from openlumiere.models.video_codec import VideoCodec

TOKENS = 512  # a prompt's tokens, padded with zeros
FIRST_PICTURE = "first_picture"
"""The name, among what is whole, of the states of an image encoder that saw the first frame."""


class WanCodec(VideoCodec):
    """Latents of `diffusers.AutoencoderKLWan`: 8 x 8 pixels and 4 frames a place, the first frame
    alone.
    """

    def __init__(self, vae: Any) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.channels: int = vae.config.z_dim
        self.factor: int = vae.config.scale_factor_spatial
        self.time_factor: int = vae.config.scale_factor_temporal

    @torch.no_grad()
    def decode(self, coded: Float[Tensor, "b c g h w"]) -> Float[Tensor, "b 3 f H W"]:
        """The autoencoder's frames."""
        mean, spread = self._statistics(coded)
        pixels: Tensor = self.vae.decode(on_device_of(self.vae, coded * spread + mean)).sample
        return pixels

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of each latent channel."""
        config = self.vae.config
        rows = (config.latents_mean, config.latents_std)
        mean, spread = (torch.tensor(row).reshape(1, -1, 1, 1, 1).to(like) for row in rows)
        return mean, spread


@dataclass(frozen=True, kw_only=True)
class WanBackbone(PublishedBackbone):
    """`WanTransformer3DModel` with its flow, autoencoder and umT5 encoder.

    Below `boundary`, a share of the diffusion times, `low` stands in for `net`. A net `by_token`
    takes a time for each token, 0 for those that are known.
    """

    tokenizer: Any
    text_encoder: Any
    low: Any = None
    boundary: float = 0.0
    by_token: bool = False
    image_encoder: Any = None
    image_processor: Any = None

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Self:
        """Of a published folder's components and entries, by name."""
        return cls(
            net=parts["transformer"],
            process=Flow(parts["scheduler"]),
            codec=WanCodec(parts["vae"]),
            tokenizer=parts["tokenizer"],
            text_encoder=parts["text_encoder"],
            low=parts.get("transformer_2"),
            boundary=parts.get("boundary_ratio") or 0.0,
            by_token=bool(parts.get("expand_timesteps")),
            image_encoder=parts.get("image_encoder"),
            image_processor=parts.get("image_processor"),
        )

    @property
    def native(self) -> Native:
        """81 frames of 832 x 480 pixels at 16 fps; the small Wan 2.2 121 of 1280 x 704 at 24."""
        small = self.by_token
        return Native(
            side=704 if small else 480,
            longer=1280 if small else 832,
            frames=121 if small else 81,
            fps=Fraction(24 if small else 16),
            multiple=self.codec.factor * self.net.config.patch_size[1],
            time_multiple=self.codec.time_factor,
        )

    @property
    def places(self) -> int:
        """Coded places that share a token."""
        return prod(self.net.config.patch_size)

    @property
    def reads(self) -> Reads:
        """Text, and what is known where each token has its time."""
        return Reads(known=self.by_token)

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32."""
        condition = condition.to(noisy.device, self.net.dtype)
        time = level.time.to(noisy.device).expand(len(noisy))
        if not self.by_token:
            return self.process.clean(self._predict(noisy, time, condition), noisy, level)
        known = condition.known or Known.nothing(noisy.shape, device=noisy.device)
        unknown = self._unknown_tokens(known.mask)
        _, rows, columns = self.net.config.patch_size
        places = unknown.repeat_interleave(rows, 3).repeat_interleave(columns, 4)
        shown = torch.where(places, noisy, known.content.to(noisy))
        prediction = self._predict(shown, time[:, None] * unknown.flatten(1), condition)
        return known.paste(self.process.clean(prediction, noisy, level))

    def _unknown_tokens(self, mask: Float[Tensor, "b 1 f h w"]) -> Bool[Tensor, "b 1 f y x"]:
        """The tokens of which some place is unknown."""
        return F.max_pool3d((mask != 1).float(), tuple(self.net.config.patch_size)) > 0

    def _predict(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """The net's own prediction in float32, by the net of this time."""
        late = self.low is not None and float(time.max()) < self.boundary * TIMES
        net = self.low if late else self.net
        shown, further = self._inputs(noisy, condition)
        prediction: Tensor = net(
            hidden_states=shown.to(net.dtype),
            timestep=time,
            encoder_hidden_states=condition.text,
            **further,
        ).sample
        return prediction.float()

    def _inputs(self, noisy: Tensor, condition: Condition) -> tuple[Tensor, dict[str, Tensor]]:
        """What the net sees in place of the noisy clip, and what else it is given."""
        return noisy, {}

    @torch.no_grad()
    def text_states(self, prompts: list[str]) -> TextStates:
        """umT5's states, zeros after each prompt's end."""
        cleaned = [prompt_clean(prompt) for prompt in prompts]
        text = t5_states(self.tokenizer, self.text_encoder, cleaned, TOKENS)
        return replace(text, states=text.states * text.mask[..., None])


@dataclass(frozen=True, kw_only=True)
class WanImageBackbone(WanBackbone):
    """Wan image to video: the net reads, beside the noisy clip, which frames are known and the
    latents of a clip that is grey elsewhere; the older one also what CLIP sees in the first frame.
    """

    @property
    def reads(self) -> Reads:
        """A first frame; what is known elsewhere is held."""
        return Reads(known=self.by_token, first_frame=True)

    def read(self, condition: Condition, given: Known) -> Condition:
        """The condition with the frames that are known as wholes; see `contract.ReadsPixels`."""
        if self.by_token:
            return condition
        whole = given.mask.amin((1, 3, 4), keepdim=True)
        latents = self.codec.encode((given.content * whole).to(self.device))
        factor = self.codec.time_factor
        first, later = whole[:, :, :1], whole[:, :, 1:]
        shown = torch.cat([first.expand(-1, -1, factor, -1, -1), later], 2)
        mask = rearrange(shown, "b 1 (f k) h w -> b k f h w", k=factor)
        mask = mask.expand(-1, -1, -1, *latents.shape[3:]).to(latents)
        seen = condition.whole
        if self.image_encoder is not None:
            seen = {**seen, FIRST_PICTURE: self._picture_states(given.content[:, :, 0])}
        over = {**condition.over_frames, GIVEN: torch.cat([mask, latents], 1)}
        return replace(condition, over_frames=over, whole=seen)

    def _picture_states(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """The image encoder's last states but one."""
        levels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte()
        images = list(levels.permute(0, 2, 3, 1).cpu().numpy())
        shown = self.image_processor(images=images, return_tensors="pt")
        encoder = self.image_encoder
        states = encoder(on_device_of(encoder, shown.pixel_values), output_hidden_states=True)
        found: Tensor = states.hidden_states[-2]
        return found

    def _inputs(self, noisy: Tensor, condition: Condition) -> tuple[Tensor, dict[str, Tensor]]:
        if self.by_token:
            return noisy, {}
        shown = torch.cat([noisy, condition.over_frames[GIVEN].to(noisy)], 1)
        picture = condition.whole.get(FIRST_PICTURE)
        return shown, {} if picture is None else {"encoder_hidden_states_image": picture}


@dataclass(frozen=True, kw_only=True)
class WanVaceBackbone(WanBackbone):
    """Wan VACE: a control of what is kept, what is made anew, and a mask whose 1 is new: the
    reverse of ours.
    """

    @property
    def reads(self) -> Reads:
        """What is known, anywhere."""
        return Reads(known=True)

    def read(self, condition: Condition, given: Known) -> Condition:
        """The condition with the control; see `contract.ReadsPixels`."""
        new = (given.mask != 1).to(given.content)
        kept = self.codec.encode((given.content * (1 - new)).to(self.device))
        made = self.codec.encode((given.content * new).to(self.device))
        side = self.codec.factor
        squares = rearrange(new, "b 1 f (h y) (w x) -> b (y x) f h w", y=side, x=side)
        mask = F.interpolate(squares, size=kept.shape[2:], mode="nearest-exact").to(kept)
        control = torch.cat([kept, made, mask], 1)
        return replace(condition, over_frames={**condition.over_frames, GIVEN: control})

    def _inputs(self, noisy: Tensor, condition: Condition) -> tuple[Tensor, dict[str, Tensor]]:
        layers = len(self.net.config.vace_layers)
        return noisy, {
            "control_hidden_states": condition.over_frames[GIVEN].to(self.net.dtype),
            "control_hidden_states_scale": torch.ones(layers).to(noisy.device, self.net.dtype),
        }
