"""`LumierePipeline`: prompts (and what is known) to clips at the base model's size, in diffusers'
habits.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from accelerate import PartialState
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from jaxtyping import Float, UInt8
from torch import Tensor

from openlumiere.backbones.unet import UNetBackbone, check_channels, codec_for, text_for
from openlumiere.contract import Codec, Known, SparseFirst
from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.diffusion.process import process_of, with_shift
from openlumiere.engine.card import push
from openlumiere.engine.model import Model, bytes_of
from openlumiere.engine.run import OnStep, Plan, run
from openlumiere.models.fast import Fast
from openlumiere.models.folder import read_parts, write_checksums
from openlumiere.models.hub import locate
from openlumiere.models.stunet import EARLIER, STUNet
from openlumiere.models.style import Style, styled


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
        """diffusers' layout, safetensors only, with each file's sha256, which loading checks."""
        super().save_pretrained(folder, safe_serialization=True, max_shard_size=max_shard_size)
        write_checksums(Path(folder))

    def push_to_hub(self, name: str, private: bool = False, token: str | None = None) -> str:
        """Upload what `save_pretrained` writes, with a model card, as `owner/name` of the hub; the
        address of the commit. `token` None is the one that `hf auth login` keeps.
        """
        return push(self, name, private, token)


@dataclass(frozen=True, kw_only=True)
class PipelineSampling:
    """How a pipeline's call draws its clips: `engine.run.Sampling` by the model's own scheduler."""

    steps: int = 20
    guidance: float = 3.0
    rescale: float = 0.0
    scheduler: str | None = None


class LumierePipeline(CheckedPipeline):
    """A Space-Time U-Net with its scheduler, text encoder and codec.

    Without `text_encoder` the bundled multilingual encoder is used, with a second one both, as in
    SDXL; without `vae` clips are pixels, unshuffled by `unshuffle`. `force_zeros_for_empty_prompt`
    is SDXL's, too. From timestep `path_until` up a clip's path is found on frames `path_spacing`
    native frames apart (`diffusion/wrappers.py`); 1 is on every frame, as in the paper. Raises
    ValueError when the net's channels fit neither the codec nor the text encoder.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->stunet->vae"
    _optional_components: ClassVar = [
        "tokenizer",
        "text_encoder",
        "vae",
        "tokenizer_2",
        "text_encoder_2",
    ]

    def __init__(
        self,
        stunet: STUNet,
        scheduler: Any,
        tokenizer: Any = None,
        text_encoder: Any = None,
        vae: Any = None,
        unshuffle: int = 1,
        tokenizer_2: Any = None,
        text_encoder_2: Any = None,
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
        self.codec: Codec = codec_for(vae, unshuffle)
        self.text = text_for(
            tokenizer, text_encoder, tokenizer_2, text_encoder_2, force_zeros_for_empty_prompt
        )
        check_channels(stunet.config.unet, self.codec, self.text)

    @property
    def backbone(self) -> UNetBackbone:
        """The pipeline's parts as a denoiser, as they are now."""
        spacing, until = self.config.path_spacing, self.config.path_until
        return UNetBackbone(
            net=self.stunet,
            process=process_of(self.scheduler),
            codec=self.codec,
            text=self.text,
            sparse=SparseFirst(spacing=spacing, until=until),
        )

    @property
    def name(self) -> str:
        """The class of the pipeline."""
        return type(self).__name__

    @property
    def still(self) -> UNetBackbone:
        """The frozen picture net alone, for clips of one frame."""
        return self.backbone.picture

    @property
    def part(self) -> Fraction:
        """Windows are as long as the net was trained on."""
        return Fraction(1)

    @property
    def weights(self) -> int:
        """Bytes of the net's weights."""
        return bytes_of(self.stunet)

    @cached_property
    def _picture_fingerprint(self) -> str:
        return self.stunet.fingerprint()

    def styled(self, styles: Sequence[tuple[Style, float]]) -> LumierePipeline:
        """A pipeline for one run, with a copy of the net under the styles, each with its weight."""
        if not styles:
            return self
        own = copy.copy(self)
        own.stunet = styled(self.stunet, styles, self._picture_fingerprint)
        return own

    def hastened(self, fast: Fast, styles: Sequence[tuple[Style, float]] = ()) -> LumierePipeline:
        """A pipeline for one run in few steps, under styles, too; a flow's levels and the path are
        those that it was distilled for.
        """
        own = copy.copy(self)
        both = [*styles, (fast.factors, 1.0)]
        own.stunet = styled(self.stunet, both, self._picture_fingerprint)
        own.scheduler = with_shift(self.scheduler, fast.shift)
        if fast.path is not None:
            own.register_to_config(path_spacing=fast.path.spacing, path_until=fast.path.until)
        return own

    @property
    def native_size(self) -> int:
        """Side in pixels that the net was trained at."""
        return self.backbone.native.side

    def __call__(
        self,
        prompt: str | list[str],
        negative_prompt: str = "",
        *,
        seeds: int | list[int] = 0,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        frame_rate: Fraction | None = None,
        num_inference_steps: int = 20,
        guidance_scale: float = 3.0,
        guidance_rescale: float = 0.0,
        known: Known | None = None,
        frame_times: Float[Tensor, " f"] | None = None,
        source: Float[Tensor, "b c f h w"] | None = None,
        start: int = 0,
        windows: Windows | None = None,
        loop: bool = False,
        shares: Float[Tensor, "k f"] | None = None,
        latents: Float[Tensor, "b c f h w"] | None = None,
        structure: float = 0.0,
        on_step: OnStep | None = None,
        processes: PartialState | None = None,
    ) -> LumierePipelineOutput:
        """One clip a prompt, or one a seed when there is one prompt.

        Length, sides and rate default to the trained ones; sides must divide by the codec's factor.
        `known` is coded by `codec`, its mask is 1 where the content is known; a net that can't read
        it is guided by replacement. `frame_times` `[f]` in native frames stand in for `frame_rate`.
        Sampling begins at step `start` from the coded clip `source` under noise (SDEdit), whose
        coarse shapes are held for a share `structure` of the noise levels. `windows` cut long
        clips, shared by `processes` where given; a `loop` has no seam. With `shares` the prompts
        are one clip's, each by its weight at each frame. Each sample has its own seed, so
        neighbours in a batch change it by rounding alone. `latents` are the initial noise instead
        of the seeds'.
        """
        native = self.backbone.native
        frames = num_frames or native.frames
        if frame_times is None:
            frame_times = torch.arange(frames) * float(native.fps / (frame_rate or native.fps))
        prompts, seeds = pair(prompt if shares is None else prompt[:1], seeds)
        plan = Plan(
            prompts=tuple(prompts if shares is None else prompt),
            negative=negative_prompt,
            seeds=tuple(seeds),
            frames=frames,
            height=height or native.side,
            width=width or native.side,
            frame_times=frame_times,
            known=known,
            source=source,
            start=start,
            structure=structure,
            windows=windows,
            loop=loop,
            shares=shares,
            noise=latents,
        )
        sampling = PipelineSampling(
            steps=num_inference_steps, guidance=guidance_scale, rescale=guidance_rescale
        )
        made = run(self.backbone, plan, sampling, on_step, processes)
        return LumierePipelineOutput(frames=made)

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
        side = self.backbone.native.side
        plan = Plan(
            prompts=tuple(prompts),
            negative=negative_prompt,
            seeds=tuple(seeds),
            frames=1,
            height=height or side,
            width=width or side,
        )
        sampling = PipelineSampling(
            steps=num_inference_steps, guidance=guidance_scale, rescale=guidance_rescale
        )
        return LumierePipelineOutput(frames=run(self.backbone.picture, plan, sampling, on_step))

    @classmethod
    def from_pretrained(
        cls, model: str | Path, torch_dtype: torch.dtype = torch.float32
    ) -> LumierePipeline:
        """Load a folder in diffusers' layout, or `owner/name` on the hub. Only known classes, only
        safetensors, no code.

        Raises ValueError, in one line, for a folder that lacks a file or was changed, or holds
        anything else.
        """
        parts: dict[str, Any] = read_parts(locate(model), torch_dtype)
        return cls(**parts)


def inflated(model: Model) -> LumierePipeline:
    """A model of ours, around a picture net. Raises ValueError for a published one."""
    if not isinstance(model, LumierePipeline):
        raise ValueError(
            f"model: expected one with an inflated picture net, got {model.name}, "
            "give a folder that lumiere train or inflate wrote"
        )
    return model


def fingerprint(components: dict[str, object], settings: dict[str, float]) -> str:
    """sha256 over the weights of every net, by name, all configs and the pipeline's settings."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    present = {name: part for name, part in components.items() if part is not None}
    for name, part in sorted(present.items()):
        digest.update(f"{name} {config_text(part)}".encode())
        state = part.state_dict() if isinstance(part, torch.nn.Module) else {}
        for key, value in sorted(state.items()):
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def config_text(part: object) -> str:
    """A component's configuration in one line; what only says where it came from is left out, and
    options as they were before they existed, so that earlier records still name their model.
    """
    config: Any = getattr(part, "config", None)
    stated = config.to_dict() if hasattr(config, "to_dict") else dict(config or {})
    named = {key: value for key, value in stated.items() if not key.startswith("_")}
    return json.dumps(
        {key: value for key, value in named.items() if (key, value) not in EARLIER.items()},
        sort_keys=True,
        default=str,
    )


def pair(prompt: str | Sequence[str], seeds: int | list[int]) -> tuple[list[str], list[int]]:
    """Prompts and seeds of one length; a single seed counts up over several prompts."""
    seeds = [seeds] if isinstance(seeds, int) else list(seeds)
    prompts = [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt)
    if len(seeds) == 1:
        seeds = [seeds[0] + index for index in range(len(prompts))]
    if len(prompts) != len(seeds) or not seeds:
        raise ValueError(
            f"seeds: expected one a prompt, got {len(seeds)} for {len(prompts)} prompts, "
            "pass a list of that length"
        )
    return prompts, seeds
