"""Published families by the class that a folder's `model_index.json` names: one row a family.

A row says which classes a folder may name, component by component, and which backbone they make. A
family's file is imported when a folder asks for it: diffusers' pipelines take seconds to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from openlumiere.contract import Backbone
from openlumiere.models.folder import INDEX, ModelError, check_config, read_json
from openlumiere.models.published import read_published

OURS = "LumierePipeline"
T5_TOKENIZERS = ("T5Tokenizer", "T5TokenizerFast", "TokenizersBackend", "PreTrainedTokenizerFast")
CLIP_TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
LLAMA_TOKENIZERS = ("LlamaTokenizer", "LlamaTokenizerFast", *T5_TOKENIZERS[2:])
FLOW_SCHEDULERS = (
    "FlowMatchEulerDiscreteScheduler",
    "UniPCMultistepScheduler",
    "DPMSolverMultistepScheduler",
)

BETA_SCHEDULERS = (
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "LCMScheduler",
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a folder of one pipeline class holds, and the backbone that it makes.

    `build` is given every component by name, those that are `optional` as None where they are
    missing, and the entries `values` of the index. What is `precise` stays in float32.
    """

    build: Callable[[Mapping[str, Any]], Backbone]
    parts: Mapping[str, Sequence[str]]
    optional: Sequence[str] = ()
    values: Sequence[str] = ()
    precise: Sequence[str] = ()


def wan(parts: Mapping[str, Any]) -> Backbone:
    """Wan's text to video."""
    from openlumiere.backbones.wan import WanBackbone

    return WanBackbone.from_parts(parts)


def wan_image(parts: Mapping[str, Any]) -> Backbone:
    """Wan's image to video."""
    from openlumiere.backbones.wan import WanImageBackbone

    return WanImageBackbone.from_parts(parts)


def wan_vace(parts: Mapping[str, Any]) -> Backbone:
    """Wan VACE."""
    from openlumiere.backbones.wan import WanVaceBackbone

    return WanVaceBackbone.from_parts(parts)


def ltx(parts: Mapping[str, Any]) -> Backbone:
    """LTX-Video."""
    from openlumiere.backbones.ltx import LTXBackbone

    return LTXBackbone.from_parts(parts)


def cogvideox(parts: Mapping[str, Any]) -> Backbone:
    """CogVideoX."""
    from openlumiere.backbones.cogvideox import CogVideoXBackbone

    return CogVideoXBackbone.from_parts(parts)


def cogvideox_image(parts: Mapping[str, Any]) -> Backbone:
    """CogVideoX image to video."""
    from openlumiere.backbones.cogvideox import CogVideoXImageBackbone

    return CogVideoXImageBackbone.from_parts(parts)


def animatediff(parts: Mapping[str, Any]) -> Backbone:
    """AnimateDiff."""
    from openlumiere.backbones.animatediff import AnimateDiffBackbone

    return AnimateDiffBackbone.from_parts(parts)


def mochi(parts: Mapping[str, Any]) -> Backbone:
    """Mochi."""
    from openlumiere.backbones.mochi import MochiBackbone

    return MochiBackbone.from_parts(parts)


def hunyuan(parts: Mapping[str, Any]) -> Backbone:
    """HunyuanVideo."""
    from openlumiere.backbones.hunyuan import HunyuanVideoBackbone

    return HunyuanVideoBackbone.from_parts(parts)


WAN: dict[str, Sequence[str]] = {
    "transformer": ["WanTransformer3DModel"],
    "transformer_2": ["WanTransformer3DModel"],
    "vae": ["AutoencoderKLWan"],
    "scheduler": FLOW_SCHEDULERS,
    "tokenizer": T5_TOKENIZERS,
    "text_encoder": ["UMT5EncoderModel"],
}
LTX = Family(
    build=ltx,
    parts={
        "transformer": ["LTXVideoTransformer3DModel"],
        "vae": ["AutoencoderKLLTXVideo"],
        "scheduler": ["FlowMatchEulerDiscreteScheduler"],
        "tokenizer": T5_TOKENIZERS,
        "text_encoder": ["T5EncoderModel"],
    },
)
COGVIDEOX: dict[str, Sequence[str]] = {
    "transformer": ["CogVideoXTransformer3DModel"],
    "vae": ["AutoencoderKLCogVideoX"],
    "scheduler": ["CogVideoXDDIMScheduler"],
    "tokenizer": T5_TOKENIZERS,
    "text_encoder": ["T5EncoderModel"],
}
FAMILIES: dict[str, Family] = {
    "WanPipeline": Family(
        build=wan,
        parts=WAN,
        optional=["transformer_2"],
        values=["boundary_ratio", "expand_timesteps"],
        precise=["vae"],
    ),
    "WanImageToVideoPipeline": Family(
        build=wan_image,
        parts={
            **WAN,
            "image_encoder": ["CLIPVisionModel"],
            "image_processor": ["CLIPImageProcessor", "CLIPImageProcessorPil"],
        },
        optional=["transformer_2", "image_encoder", "image_processor"],
        values=["boundary_ratio", "expand_timesteps"],
        precise=["vae"],
    ),
    "WanVACEPipeline": Family(
        build=wan_vace,
        parts={
            **WAN,
            "transformer": ["WanVACETransformer3DModel"],
            "transformer_2": ["WanVACETransformer3DModel"],
        },
        optional=["transformer_2"],
        values=["boundary_ratio"],
        precise=["vae"],
    ),
    "LTXPipeline": LTX,
    "LTXImageToVideoPipeline": LTX,
    "LTXConditionPipeline": LTX,
    "CogVideoXPipeline": Family(build=cogvideox, parts=COGVIDEOX),
    "CogVideoXImageToVideoPipeline": Family(build=cogvideox_image, parts=COGVIDEOX),
    "AnimateDiffPipeline": Family(
        build=animatediff,
        parts={
            "unet": ["UNetMotionModel", "UNet2DConditionModel"],
            "motion_adapter": ["MotionAdapter"],
            "vae": ["AutoencoderKL"],
            "scheduler": BETA_SCHEDULERS,
            "tokenizer": CLIP_TOKENIZERS,
            "text_encoder": ["CLIPTextModel"],
        },
    ),
    "HunyuanVideoPipeline": Family(
        build=hunyuan,
        parts={
            "transformer": ["HunyuanVideoTransformer3DModel"],
            "vae": ["AutoencoderKLHunyuanVideo"],
            "scheduler": ["FlowMatchEulerDiscreteScheduler"],
            "tokenizer": LLAMA_TOKENIZERS,
            "text_encoder": ["LlamaModel"],
            "tokenizer_2": CLIP_TOKENIZERS,
            "text_encoder_2": ["CLIPTextModel"],
        },
    ),
    "MochiPipeline": Family(
        build=mochi,
        parts={
            "transformer": ["MochiTransformer3DModel"],
            "vae": ["AutoencoderKLMochi"],
            "scheduler": ["FlowMatchEulerDiscreteScheduler"],
            "tokenizer": T5_TOKENIZERS,
            "text_encoder": ["T5EncoderModel"],
        },
        values=["force_zeros_for_empty_prompt"],
    ),
}
"""A row a family: the class that `model_index.json` names, and what its folder holds."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published model: the name of its pipeline's class, its components, the entries of its
    index, its backbone.
    """

    name: str
    parts: Mapping[str, Any]
    values: Mapping[str, Any]
    backbone: Backbone

    def pipeline(self) -> Any:
        """diffusers' own pipeline of the same components: what loads LoRAs and offloads."""
        present = {name: part for name, part in self.parts.items() if part is not None}
        given = {name: value for name, value in self.values.items() if value is not None}
        return getattr(diffusers, self.name)(**present, **given)

    @property
    def net(self) -> str:
        """The name of the component that denoises."""
        return "unet" if "unet" in self.parts else "transformer"


def open_published(folder: Path, dtype: torch.dtype) -> Published:
    """The model in a published pipeline's folder. Raises `ModelError`, in one line, for a family
    that is not in the table and for whatever is wrong with the folder.
    """
    index = read_json(folder / INDEX)
    name = str(index.get("_class_name"))
    if name not in FAMILIES:
        known = ", ".join([OURS, *FAMILIES])
        raise ModelError(f"a model of {known}", name, "name a folder of one of these")
    family = FAMILIES[name]
    values = {key: index.get(key) for key in family.values}
    check_config(values, INDEX)
    parts = read_published(folder, index, family.parts, family.optional, dtype, family.precise)
    backbone = family.build({**parts, **values})
    return Published(name=name, parts=parts, values=values, backbone=backbone)


def is_ours(folder: Path) -> bool:
    """Whether a folder's `model_index.json` names our own pipeline."""
    return bool(read_json(folder / INDEX).get("_class_name") == OURS)
