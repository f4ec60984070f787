"""The published U-Nets at full size, on the meta device: every one is inflated, and none of its
parameters is lost.
"""

import pytest
import torch
from diffusers import UNet2DConditionModel

from openlumiere.models.stunet import STUNet

PLAIN_4_LEVELS = {
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "block_out_channels": [320, 640, 1280, 1280],
}
CASCADE = {
    "act_fn": "gelu",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 64,
    "attention_head_dim": 64,
    "cross_attention_norm": "group_norm",
    "encoder_hid_dim": 4096,
    "encoder_hid_dim_type": "text_proj",
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "out_channels": 6,
    "resnet_time_scale_shift": "scale_shift",
}
# Values of each published `unet/config.json` where they differ from the defaults.
PUBLISHED = {
    "stable-diffusion-v1-5": PLAIN_4_LEVELS
    | {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64},
    "stable-diffusion-2-1": PLAIN_4_LEVELS
    | {
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
        "upcast_attention": True,
        "sample_size": 96,
    },
    "stable-diffusion-xl-base-1.0": {
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "block_out_channels": [320, 640, 1280],
        "transformer_layers_per_block": [1, 2, 10],
        "attention_head_dim": [5, 10, 20],
        "cross_attention_dim": 2048,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
        "use_linear_projection": True,
        "sample_size": 128,
    },
    "IF-I-XL-v1.0": CASCADE
    | {
        "down_block_types": ["ResnetDownsampleBlock2D"] + ["SimpleCrossAttnDownBlock2D"] * 3,
        "up_block_types": ["SimpleCrossAttnUpBlock2D"] * 3 + ["ResnetUpsampleBlock2D"],
        "block_out_channels": [704, 1408, 2112, 2816],
        "cross_attention_dim": 2816,
        "in_channels": 3,
        "layers_per_block": 3,
        "sample_size": 64,
    },
    "IF-II-L-v1.0": CASCADE
    | {
        "down_block_types": ["ResnetDownsampleBlock2D"] * 3 + ["SimpleCrossAttnDownBlock2D"] * 2,
        "up_block_types": ["SimpleCrossAttnUpBlock2D"] * 2 + ["ResnetUpsampleBlock2D"] * 3,
        "block_out_channels": [160, 320, 640, 960, 1280],
        "class_embed_type": "timestep",
        "cross_attention_dim": 1280,
        "in_channels": 6,
        "layers_per_block": [2, 2, 3, 5, 5],
        "mid_block_scale_factor": 1.4142271248762552,
        "resnet_out_scale_factor": 1.4142271248762552,
        "resnet_skip_time_act": True,
        "time_embedding_act_fn": "gelu",
        "sample_size": 256,
    },
}
# As published with the weights; DeepFloyd gives billions to one decimal.
PARAMETERS = {
    "stable-diffusion-v1-5": 859_520_964,
    "stable-diffusion-2-1": 865_910_724,
    "stable-diffusion-xl-base-1.0": 2_567_463_684,
    "IF-I-XL-v1.0": "4.3B",
    "IF-II-L-v1.0": "1.2B",
}
published = pytest.mark.parametrize("name", PUBLISHED)


def picture_net(name: str) -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(**PUBLISHED[name])


@published
def test_the_published_net_is_kept_whole(name: str):
    unet = picture_net(name)
    shapes = {f"unet2d.{key}": value.shape for key, value in unet.state_dict().items()}
    count = unet.num_parameters()
    assert PARAMETERS[name] in (count, f"{count / 1e9:.1f}B")
    net = STUNet.from_unet2d(unet)
    assert {
        key: value.shape for key, value in net.state_dict().items() if key.startswith("unet2d.")
    } == shapes
    assert sum(value.numel() for value in net.parameters() if not value.requires_grad) == count
    assert {value.device.type for value in net.parameters()} == {"meta"}


@pytest.mark.parametrize(
    "name", ["stable-diffusion-v1-5", "stable-diffusion-xl-base-1.0", "IF-II-L-v1.0"]
)
def test_the_published_net_runs_on_clips(name: str):
    unet = picture_net(name)
    with torch.device("meta"):
        sample = torch.empty(1, unet.config.in_channels, 17, 32, 48)
        text = torch.empty(1, 7, unet.config.encoder_hid_dim or unet.config.cross_attention_dim)
        added = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
        labels = torch.empty(1)
    net = STUNet.from_unet2d(unet)
    out = net(
        sample, torch.empty(1, device="meta"), text, class_labels=labels, added_cond_kwargs=added
    ).sample
    assert out.shape == (1, unet.config.out_channels, 17, 32, 48)
