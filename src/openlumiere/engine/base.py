"""`LumierePipeline`: prompts (and what is known) to clips at the base model's size, in diffusers'
habits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.utils import BaseOutput
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from openlumiere.diffusion.blend import SHARES, follow, spread
from openlumiere.diffusion.denoiser import Condition, Denoiser, NetDenoiser, Timestep
from openlumiere.diffusion.guidance import guide, threshold
from openlumiere.diffusion.held import hold_shapes, replace_known
from openlumiere.diffusion.known import Known
from openlumiere.diffusion.loop import around
from openlumiere.diffusion.multidiffusion import Windows, multidiffuse
from openlumiere.diffusion.sampler import Step, draw_noise, noise_to, sample
from openlumiere.diffusion.sparse_first import path_first
from openlumiere.engine.fit import NATIVE_RATE
from openlumiere.models.codec import Codec, UnshuffleCodec, VAECodec
from openlumiere.models.e5 import bundled_encoder
from openlumiere.models.folder import read_parts, write_checksums
from openlumiere.models.hub import locate
from openlumiere.models.stunet import STUNet
from openlumiere.models.text import (
    PairedTextEncoder,
    TextEncoder,
    TextStates,
    TransformersTextEncoder,
)

OnStep = Callable[[Step], None]
Size = tuple[int | None, int | None]


@dataclass
class LumierePipelineOutput(BaseOutput):
    """`frames`: uint8 [b, f, h, w, 3]."""

    frames: UInt8[np.ndarray, "b f h w 3"]


class CheckedPipeline(DiffusionPipeline):
    """A pipeline that knows its weights by their sha256, and saves them with those of its files."""

    def fingerprint(self) -> str:
        """sha256 over the weights of every net, by name, and all configs: what a replay must agree
        with.
        """
        return fingerprint(
            self.components,
            {name: value for name, value in self.config.items() if isinstance(value, (int, float))},
        )

    def save_pretrained(self, folder: str | Path, max_shard_size: str = "15MB") -> None:
        """diffusers' layout, safetensors only, and the sha256 of every file, which loading checks."""
        super().save_pretrained(folder, safe_serialization=True, max_shard_size=max_shard_size)
        write_checksums(Path(folder))


class LumierePipeline(CheckedPipeline):
    """A Space-Time U-Net with its scheduler, text encoder and codec.

    Without `text_encoder` the carried multilingual encoder is used, with a second one both, as in
    SDXL; without `vae` clips are pixels, unshuffled by `unshuffle`. `force_zeros_for_empty_prompt`
    is SDXL's, too. From timestep `path_until` up a clip's path is found on frames `path_spacing`
    native frames apart (`diffusion/sparse_first.py`); 1 is on every frame, as in the paper. Raises
    ValueError when the net's channels fit neither the codec nor the text encoder.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->stunet->vae"
    _optional_components = ["tokenizer", "text_encoder", "vae", "tokenizer_2", "text_encoder_2"]

    def __init__(
        self,
        stunet: STUNet,
        scheduler,
        tokenizer=None,
        text_encoder=None,
        vae=None,
        unshuffle: int = 1,
        tokenizer_2=None,
        text_encoder_2=None,
        force_zeros_for_empty_prompt: bool = True,
        path_spacing: int = 1,
        path_until: int = 500,
    ):
        super().__init__()
        self.register_modules(
            stunet=stunet,
            scheduler=scheduler,
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            vae=vae,
            tokenizer_2=tokenizer_2,
            text_encoder_2=text_encoder_2,
        )
        self.register_to_config(
            unshuffle=unshuffle,
            force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
            path_spacing=path_spacing,
            path_until=path_until,
        )
        self.codec: Codec = VAECodec(vae) if vae is not None else UnshuffleCodec(unshuffle)
        self.text = text_of(
            tokenizer, text_encoder, tokenizer_2, text_encoder_2, force_zeros_for_empty_prompt
        )
        check_channels(stunet.config.unet, self.codec, self.text)

    @property
    def native_size(self) -> int:
        """Side in pixels that the net was trained at."""
        return self.stunet.config.unet["sample_size"] * self.codec.factor

    @property
    def side_multiple(self) -> int:
        """What sides in pixels must divide by, for every level of the net to halve them."""
        return self.codec.factor * 2 ** len(self.stunet.config.temporal_factors)

    @property
    def reads_known(self) -> bool:
        """Whether the net was widened to `<J, C, M>`, content and mask beside the noisy clip."""
        return self.stunet.config.in_channels == 2 * self.codec.channels + 1

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        negative_prompt: str = "",
        *,
        seeds: int | list[int] = 0,
        num_frames: int = 80,
        height: int | None = None,
        width: int | None = None,
        frame_rate: Fraction = NATIVE_RATE,
        num_inference_steps: int = 20,
        guidance_scale: float = 3.0,
        guidance_rescale: float = 0.0,
        known: Known | None = None,
        frame_times: Tensor | None = None,
        source: Float[Tensor, "b c f h w"] | None = None,
        start: int = 0,
        windows: Windows | None = None,
        loop: bool = False,
        shares: Float[Tensor, "k f"] | None = None,
        latents: Float[Tensor, "b c f h w"] | None = None,
        structure: float = 0.0,
        on_step: OnStep | None = None,
    ) -> LumierePipelineOutput:
        """One clip a prompt, or one a seed when there is one prompt.

        Sides default to the trained size and must divide by the codec's factor. `known` is coded by
        `codec`, its mask is 1 where the content is given; a net that can't read it is guided by
        replacement. `frame_times` `[f]` in native frames stand in for `frame_rate`. Sampling begins
        at step `start` from the coded clip `source` under noise (SDEdit), whose coarse shapes are
        held for a share `structure` of the noise levels. `windows` cut long clips, a `loop` closes.
        With `shares` the prompts are one clip's, each by its weight at each frame. Each sample has
        its own seed, so neighbours in a batch change it by rounding alone. `latents` are the
        initial noise instead of the seeds'.
        """
        prompts, seeds = pair(prompt, seeds) if shares is None else pair(prompt[:1], seeds)
        size = height, width
        denoiser = self._guided(
            NetDenoiser(self.stunet), negative_prompt, guidance_scale, guidance_rescale, size
        )
        if shares is not None:
            denoiser = follow(denoiser, [self.condition([line], 1, size=size) for line in prompt])
        if known is not None and not self.reads_known:
            denoiser = replace_known(
                denoiser, self.scheduler.config.prediction_type, self.scheduler.alphas_cumprod
            )
        denoiser = self._in_time(denoiser, windows)
        denoiser = around(denoiser) if loop else denoiser
        if source is not None and structure:
            trained, quarter = self.scheduler, self.stunet.config.unet["sample_size"] // 4
            denoiser = hold_shapes(
                denoiser,
                trained.config.prediction_type,
                trained.alphas_cumprod,
                source,
                quarter,
                structure,
            )
        condition = self.condition(prompts, num_frames, frame_rate, known, frame_times, size)
        if shares is not None:
            places = spread(
                shares.to(condition.text), *self.coded_shape(num_frames, height, width)[2:]
            )
            condition = replace(condition, added={**(condition.added or {}), SHARES: places})
        noise = (
            draw_noise(self.coded_shape(num_frames, height, width), seeds)
            if latents is None
            else latents
        ).to(self.device)
        if source is not None:
            noise = noise_to(
                source.to(noise), noise, self.scheduler, steps=num_inference_steps, start=start
            )
        return LumierePipelineOutput(
            frames=self._sample(
                denoiser, condition, noise, seeds, num_inference_steps, on_step, start
            )
        )

    @torch.no_grad()
    def picture(
        self,
        prompt: str | list[str],
        negative_prompt: str = "",
        *,
        seeds: int | list[int] = 0,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 20,
        guidance_scale: float = 3.0,
        guidance_rescale: float = 0.0,
        on_step: OnStep | None = None,
    ) -> LumierePipelineOutput:
        """Clips of one frame by the frozen picture net alone; arguments as for clips."""
        prompts, seeds = pair(prompt, seeds)
        size = height, width
        denoiser = self._guided(
            PictureDenoiser(self.stunet.unet2d),
            negative_prompt,
            guidance_scale,
            guidance_rescale,
            size,
        )
        noise, condition = (
            draw_noise(self.coded_shape(1, height, width), seeds).to(self.device),
            self.condition(prompts, 1, size=size),
        )
        return LumierePipelineOutput(
            frames=self._sample(denoiser, condition, noise, seeds, num_inference_steps, on_step)
        )

    def coded_shape(
        self, frames: int, height: int | None = None, width: int | None = None
    ) -> tuple[int, int, int, int]:
        """`c f h w` of one clip as the net sees it; sides are in pixels."""
        factor, height, width = (
            self.codec.factor,
            height or self.native_size,
            width or self.native_size,
        )
        if height % factor or width % factor:
            raise ValueError(
                f"size: expected sides that divide by {factor}, got {width}x{height}, choose the nearest that do"
            )
        return self.codec.channels, frames, height // factor, width // factor

    def condition(
        self,
        prompts: list[str],
        frames: int,
        frame_rate: Fraction = NATIVE_RATE,
        known: Known | None = None,
        frame_times: Tensor | None = None,
        size: Size = (None, None),
    ) -> Condition:
        """Token states of the prompts, the moments of the frames in native frames, and what is
        known.

        `size`, height and width in pixels, is told to nets that ask for it (SDXL); None is the
        trained side.
        """
        text = self.text.encode(prompts)
        times = (
            torch.arange(frames) * float(NATIVE_RATE / frame_rate)
            if frame_times is None
            else frame_times
        )
        condition = Condition(
            text=text.states,
            text_mask=text.mask,
            known=known,
            frame_times=times,
            added=self._added(text, size),
        )
        return condition.to(self.device, self.stunet.dtype)

    def _added(self, text: TextStates, size: Size) -> dict[str, Tensor] | None:
        """SDXL's further conditions: the pooled prompt; the original size, where it was cropped
        (nowhere) and the target size.
        """
        if text.pooled is None:
            return None
        height, width = (side or self.native_size for side in size)
        sizes = torch.tensor(
            [[height, width, 0, 0, height, width]]
        )  # whole numbers stay exact in half precision
        return {"text_embeds": text.pooled, "time_ids": sizes.expand(len(text.pooled), -1)}

    def _guided(
        self, net: Denoiser, negative_prompt: str, scale: float, rescale: float, size: Size
    ) -> Denoiser:
        """The net under guidance; a pixel net's clean clip is clipped to [-1, 1], as the original
        cascade's are (Imagen).
        """
        guided = guide(net, self.condition([negative_prompt], 1, size=size), scale, rescale=rescale)
        if self.vae is not None:
            return guided
        return threshold(
            guided,
            self.scheduler.config.prediction_type,
            self.scheduler.alphas_cumprod,
            quantile=None,
        )

    def _in_time(self, denoiser: Denoiser, windows: Windows | None) -> Denoiser:
        """The path first, where the model wants that, and both by windows."""
        spacing, trained = self.config.path_spacing, self.scheduler
        whole = denoiser if windows is None else multidiffuse(denoiser, windows)
        if spacing == 1:
            return whole
        sparse = denoiser if windows is None else multidiffuse(denoiser, windows.every(spacing))
        kind, levels = trained.config.prediction_type, trained.alphas_cumprod
        return path_first(
            whole, sparse, kind, levels, spacing=spacing, until=self.config.path_until
        )

    def _sample(
        self,
        denoiser: Denoiser,
        condition: Condition,
        noise: Tensor,
        seeds: list[int],
        steps: int,
        on_step: OnStep | None,
        start: int = 0,
    ) -> UInt8[np.ndarray, "b f h w 3"]:
        """Noise denoised and decoded."""
        for step in sample(
            denoiser, self.scheduler, noise, condition, steps=steps, start=start, seeds=seeds
        ):
            if on_step is not None:
                on_step(step)
        return to_frames(self.codec.decode(step.noisy))

    @classmethod
    def from_pretrained(
        cls, model: str | Path, torch_dtype: torch.dtype = torch.float32
    ) -> LumierePipeline:
        """Load a folder in diffusers' layout, or `owner/name` on the hub. Only known classes, only
        safetensors, no code.

        Raises ValueError, in one line, for a folder that lacks a file or was changed, or holds
        anything else.
        """
        return cls(**read_parts(locate(model), torch_dtype))


class PictureDenoiser:
    """The frozen picture net as a denoiser of one-frame clips."""

    def __init__(self, unet: UNet2DConditionModel):
        self.unet = unet

    def __call__(
        self, noisy: Float[Tensor, "b c 1 h w"], timestep: Timestep, condition: Condition
    ) -> Float[Tensor, "b c 1 h w"]:
        condition = condition.to(noisy.device, self.unet.dtype)
        picture = noisy[:, :, 0].to(self.unet.dtype)
        prediction = self.unet(
            picture,
            timestep,
            condition.text,
            encoder_attention_mask=condition.text_mask,
            added_cond_kwargs=condition.added,
        ).sample
        return prediction[:, : noisy.shape[1], None].float()


def text_of(tokenizer, text_encoder, tokenizer_2, text_encoder_2, zero_empty: bool) -> TextEncoder:
    """The carried encoder, a model's own, or its two. Raises ValueError for half of a pair."""
    if (text_encoder_2 is None) != (tokenizer_2 is None) or (
        text_encoder_2 is not None and text_encoder is None
    ):
        raise ValueError(
            "model: expected both tokenizers and both text encoders, got some of them, give all four of the folder"
        )
    if text_encoder_2 is not None:
        return PairedTextEncoder(tokenizer, text_encoder, tokenizer_2, text_encoder_2, zero_empty)
    return (
        bundled_encoder()
        if text_encoder is None
        else TransformersTextEncoder(tokenizer, text_encoder)
    )


def check_channels(unet: dict, codec: Codec, text: TextEncoder) -> None:
    """The net speaks of the codec's channels (twice as many out where it predicts variances too)
    and listens to the encoder's.
    """
    if unet["in_channels"] != codec.channels or unet["out_channels"] not in (
        codec.channels,
        2 * codec.channels,
    ):
        got = f"{unet['in_channels']} in and {unet['out_channels']} out"
        raise ValueError(
            f"model: expected a net of {codec.channels} channels for its codec, got {got}, set unshuffle or the vae to fit"
        )
    heard = unet["encoder_hid_dim"] or unet["cross_attention_dim"]
    if heard != text.dim:
        raise ValueError(
            f"model: expected a net for text of {text.dim} channels, got {heard}, give its own text encoder"
        )
    check_pooled(unet, text)


def check_pooled(unet: dict, text: TextEncoder) -> None:
    """A net of SDXL's kind takes six sizes and the pooled prompt; no other takes them."""
    asks, pooled = unet.get("addition_embed_type") == "text_time", getattr(text, "pooled_dim", None)
    if asks != (pooled is not None):
        raise ValueError(
            f"model: expected {'two text encoders' if asks else 'one text encoder'} for this net, got {'one' if asks else 'two'}, give its own"
        )
    if (
        asks
        and (taken := unet["projection_class_embeddings_input_dim"])
        != 6 * unet["addition_time_embed_dim"] + pooled
    ):
        raise ValueError(
            f"model: expected a net that takes six sizes and {pooled} channels of pooled text, got {taken} in all, give its own text encoders"
        )


def fingerprint(components: dict[str, object], settings: dict[str, float]) -> str:
    """sha256 over the weights of every net, by name, all configs, and the pipeline's own settings."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, part in sorted((name, part) for name, part in components.items() if part is not None):
        digest.update(f"{name} {config_text(part)}".encode())
        for key, value in (
            sorted(part.state_dict().items()) if isinstance(part, torch.nn.Module) else ()
        ):
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def config_text(part: object) -> str:
    """A component's configuration in one line; what only says where it came from is left out."""
    config = getattr(part, "config", None)
    stated = config.to_dict() if hasattr(config, "to_dict") else dict(config or {})
    return json.dumps(
        {key: value for key, value in stated.items() if not key.startswith("_")},
        sort_keys=True,
        default=str,
    )


def pair(prompt: str | list[str], seeds: int | list[int]) -> tuple[list[str], list[int]]:
    """Prompts and seeds of one length; a single seed counts up over several prompts."""
    seeds = [seeds] if isinstance(seeds, int) else list(seeds)
    prompts = [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt)
    if len(seeds) == 1:
        seeds = [seeds[0] + index for index in range(len(prompts))]
    if len(prompts) != len(seeds) or not seeds:
        raise ValueError(
            f"seeds: expected one a prompt, got {len(seeds)} for {len(prompts)} prompts, pass a list of that length"
        )
    return prompts, seeds


def to_frames(pixels: Float[Tensor, "b 3 f h w"]) -> UInt8[np.ndarray, "b f h w 3"]:
    """[-1, 1] to the nearest of 256 levels."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return rearrange(levels, "b c f h w -> b f h w c").cpu().numpy()
