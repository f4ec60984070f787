"""The nets that are trained, new from their configuration, and how their average is written."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, ModelMixin, UNet2DConditionModel
from torch import Tensor

from openlumiere.media.replace import check_folder_of_weights
from openlumiere.media.write import write_whole
from openlumiere.models.codec import ResidualCodec, UnshuffleCodec
from openlumiere.models.e5 import E5TextEncoder
from openlumiere.models.stunet import STUNet
from openlumiere.train.checkpoint import require_finite
from openlumiere.train.config import ImageConfig, UpscalerConfig

FACTOR = 4  # by which the super-resolution net enlarges
LOW_SIDE = 64  # pixels of its low-resolution frames, for which its net is described
SHARD = "15MB"  # the most that one file of weights takes


def build_unet(config: ImageConfig | UpscalerConfig) -> UNet2DConditionModel:
    """A plain diffusers U-Net with new weights, by the global generator."""
    options = image_options(config) if isinstance(config, ImageConfig) else upscaler_options(config)
    return UNet2DConditionModel(block_out_channels=config.widths, norm_num_groups=16, **options)


def image_options(config: ImageConfig) -> dict[str, Any]:
    """Cross-attention to the text everywhere but at full resolution."""
    codec = UnshuffleCodec(config.unshuffle)
    attended = len(config.widths) - 1
    return {
        "sample_size": config.side // codec.factor,
        "in_channels": codec.channels,
        "out_channels": codec.channels,
        "layers_per_block": config.layers,
        "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * attended),
        "up_block_types": (*["CrossAttnUpBlock2D"] * attended, "UpBlock2D"),
        "cross_attention_dim": E5TextEncoder.dim,
        "attention_head_dim": tuple(max(width // 32, 1) for width in config.widths),
    }


def upscaler_options(config: UpscalerConfig) -> dict[str, Any]:
    """Convolutions at the low resolution, attention to places and text in the middle alone; the
    noise level of the low-resolution frames is class-embedded.
    """
    codec = ResidualCodec(FACTOR, config.gain)
    levels = len(config.widths)
    return {
        "sample_size": LOW_SIDE,
        "in_channels": codec.channels + 3,
        "out_channels": codec.channels,
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D",) * levels,
        "up_block_types": ("UpBlock2D",) * levels,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "attention_head_dim": 2,
        "time_embedding_dim": 128,
        "cross_attention_dim": config.text_width,
        "encoder_hid_dim": E5TextEncoder.dim,
        "encoder_hid_dim_type": "text_proj",
        "class_embed_type": "timestep",
    }


def build_scheduler(betas: str = "linear") -> DDIMScheduler:
    """Zero terminal signal, so that plain backgrounds of any colour can be made (our choice).

    `betas` is diffusers' name of a schedule: "linear" for pictures and clips; for super-resolution
    "squaredcos_cap_v2", by which the first of few steps regresses and the others sharpen.
    """
    return DDIMScheduler(
        beta_schedule=betas,
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        prediction_type="sample",
        clip_sample=False,
    )


def inflate_upscaler(unet: UNet2DConditionModel) -> STUNet:
    """Frames keep their rate at every level, so the untrained net equals its picture net frame by
    frame (our choice).
    """
    return STUNet.from_unet2d(
        unet,
        temporal_factors=(1,) * (len(unet.config.block_out_channels) - 1),
        attention_blocks=(0, 1, 0),
        feed_forward_mult=2,
    )


@torch.no_grad()
def averaged(net: ModelMixin, average: dict[str, Tensor]) -> Any:
    """A copy of a net with the averaged weights in place of those that train."""
    copy = type(net).from_config(net.config)
    copy.load_state_dict({**net.state_dict(), **average})
    return copy.eval()


def save(model: ModelMixin | DiffusionPipeline, folder: Path) -> None:
    """Write a net or a pipeline in diffusers' layout, whole, in `folder`: a new, an empty
    or an earlier one.

    Raises OSError, and ValueError for weights that are not finite (in half precision, perhaps).
    """
    for part in [model] if isinstance(model, ModelMixin) else model.components.values():
        if isinstance(part, ModelMixin):
            require_finite(part.state_dict())
    check_folder_of_weights(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_whole(folder, partial(model.save_pretrained, max_shard_size=SHARD))
