"""Mochi as a backbone: a flow transformer whose time rises from noise to the clip.

It predicts `clean - noise`, the reverse of other flows, at the time 1000 minus ours. Its steps are
linear up to a little signal and quadratic beyond (`linear_quadratic_schedule`). Six frames share a
coded place, so clips have 6k + 1 frames. Where its folder says `force_zeros_for_empty_prompt` an
empty prompt has tokens of zeros and a mask without any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule
from jaxtyping import Float
from torch import Tensor

from openlumiere.backbones.published import PublishedBackbone
from openlumiere.contract import TIMES, Condition, Level, Native
from openlumiere.diffusion.process import Flow
from openlumiere.models.text import TextStates, t5_states
from openlumiere.models.video_codec import ScaledVideoCodec

TOKENS = 256  # of a prompt; longer ones are cut
THRESHOLD = 0.025  # signal at which the steps turn from linear to quadratic


def levels(steps: int) -> list[float]:
    """The noise of so many steps; one step begins at noise alone."""
    if steps == 1:
        return [1.0]
    spaced: list[float] = linear_quadratic_schedule(steps, THRESHOLD)
    return spaced


@dataclass(frozen=True, kw_only=True)
class MochiBackbone(PublishedBackbone):
    """`MochiTransformer3DModel` with its flow, autoencoder and T5 encoder."""

    tokenizer: Any
    text_encoder: Any
    zero_empty: bool = False

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> MochiBackbone:
        """Of a published folder's components, by name."""
        vae = parts["vae"]
        return cls(
            net=parts["transformer"],
            process=Flow(parts["scheduler"], sigmas=levels),
            codec=ScaledVideoCodec(vae, prod(vae.config.temporal_expansions)),
            tokenizer=parts["tokenizer"],
            text_encoder=parts["text_encoder"],
            zero_empty=bool(parts["force_zeros_for_empty_prompt"]),
        )

    @property
    def native(self) -> Native:
        """163 frames of 848 x 480 pixels at 30 fps."""
        return Native(
            side=480,
            longer=848,
            frames=163,
            fps=Fraction(30),
            multiple=self.codec.factor * self.net.config.patch_size,
            time_multiple=self.codec.time_factor,
        )

    @property
    def places(self) -> int:
        """Coded places that share a token."""
        patch: int = self.net.config.patch_size**2
        return patch

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32."""
        condition = condition.to(noisy.device, self.net.dtype)
        rising = TIMES - level.time.to(noisy.device).expand(len(noisy))
        prediction: Tensor = self.net(
            hidden_states=noisy.to(self.net.dtype),
            timestep=rising.to(self.net.dtype),
            encoder_hidden_states=condition.text,
            encoder_attention_mask=condition.text_mask,
        ).sample
        return self.process.clean(-prediction.float(), noisy, level)

    def text_states(self, prompts: list[str]) -> TextStates:
        """T5's states with their mask."""
        zero = self.zero_empty
        return t5_states(self.tokenizer, self.text_encoder, prompts, TOKENS, zero_empty=zero)
