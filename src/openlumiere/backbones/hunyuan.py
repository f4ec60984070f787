"""HunyuanVideo text to video as a backbone: a flow transformer distilled from guided passes.

The guidance scale is an input of the net, so a step is one pass and there is no negative prompt;
nets without that input are guided by a second pass. A LLaMA reads the prompt inside an instruction
whose tokens are cut off again, and CLIP's pooled prompt is added. Four frames share a coded place,
so clips have 4k + 1 frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
from jaxtyping import Bool, Float
from torch import Tensor

from openlumiere.backbones.published import POOLED, PublishedBackbone
from openlumiere.contract import GUIDANCE, TIMES, Condition, Level, Native, Reads
from openlumiere.diffusion.process import Flow, even_levels
from openlumiere.models.codec import device_of
from openlumiere.models.text import TextStates
from openlumiere.models.video_codec import ScaledVideoCodec

TOKENS = 256  # of a prompt, after the instruction; longer ones are cut
CLIP_TOKENS = 77
SKIPPED = 2  # last layers of the LLaMA, whose states are not used
INSTRUCTION: str = DEFAULT_PROMPT_TEMPLATE["template"]
CUT: int = DEFAULT_PROMPT_TEMPLATE["crop_start"]  # tokens of the instruction before the prompt


@dataclass(frozen=True, kw_only=True)
class HunyuanVideoBackbone(PublishedBackbone):
    """`HunyuanVideoTransformer3DModel` with its flow, autoencoder, LLaMA and CLIP."""

    tokenizer: Any
    text_encoder: Any
    tokenizer_2: Any
    text_encoder_2: Any

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> HunyuanVideoBackbone:
        """Of a published folder's components, by name."""
        vae = parts["vae"]
        config = vae.config
        factors = (config.temporal_compression_ratio, config.spatial_compression_ratio)
        return cls(
            net=parts["transformer"],
            process=Flow(parts["scheduler"], sigmas=even_levels),
            codec=ScaledVideoCodec(vae, *factors),
            tokenizer=parts["tokenizer"],
            text_encoder=parts["text_encoder"],
            tokenizer_2=parts["tokenizer_2"],
            text_encoder_2=parts["text_encoder_2"],
        )

    @property
    def native(self) -> Native:
        """129 frames of 1280 x 720 pixels at 24 fps."""
        return Native(
            side=720,
            longer=1280,
            frames=129,
            fps=Fraction(24),
            multiple=self.codec.factor * self.net.config.patch_size,
            time_multiple=self.codec.time_factor,
        )

    @property
    def reads(self) -> Reads:
        """Text, and the guidance scale where it is an input of the net."""
        return Reads(guidance=self.net.config.guidance_embeds)

    @property
    def places(self) -> int:
        """Coded places that share a token."""
        config = self.net.config
        patch: int = config.patch_size**2 * config.patch_size_t
        return patch

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32; a condition without a guidance scale is of scale 1."""
        scale = condition.whole.get(GUIDANCE, torch.ones(len(noisy)))
        condition = condition.to(noisy.device, self.net.dtype)
        prediction: Tensor = self.net(
            hidden_states=noisy.to(self.net.dtype),
            timestep=level.time.to(noisy.device).expand(len(noisy)),
            encoder_hidden_states=condition.text,
            encoder_attention_mask=condition.text_mask,
            pooled_projections=condition.whole[POOLED],
            guidance=TIMES * scale.to(noisy.device, self.net.dtype),
        ).sample
        return self.process.clean(prediction.float(), noisy, level)

    @torch.no_grad()
    def text_states(self, prompts: list[str]) -> TextStates:
        """The LLaMA's states after its instruction, and CLIP's pooled prompt."""
        states, mask = self._llama_states(prompts)
        asked = self.tokenizer_2(
            prompts,
            padding="max_length",
            max_length=CLIP_TOKENS,
            truncation=True,
            return_tensors="pt",
        ).to(device_of(self.text_encoder_2))
        pooled: Tensor = self.text_encoder_2(asked.input_ids).pooler_output
        return TextStates(states=states, mask=mask, pooled=pooled.to(states.device))

    def _llama_states(
        self, prompts: list[str]
    ) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        asked = self.tokenizer(
            [INSTRUCTION.format(prompt) for prompt in prompts],
            padding="max_length",
            max_length=CUT + TOKENS,
            truncation=True,
            return_tensors="pt",
        ).to(device_of(self.text_encoder))
        layers = self.text_encoder(
            asked.input_ids, attention_mask=asked.attention_mask, output_hidden_states=True
        ).hidden_states
        return layers[-1 - SKIPPED][:, CUT:], asked.attention_mask[:, CUT:].bool()
