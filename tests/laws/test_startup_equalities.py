"""PAPER: at start an inflated net is its 2D net, nearest-neighbour in time. Three exact equalities,
in fp32 to 1e-5.
"""

from functools import cache

import pytest
import torch
from diffusers import UNet2DConditionModel

from openlumiere.models.stunet import STUNet

PLAIN = {
    "block_out_channels": (16, 32, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 16,
}
CASCADE = PLAIN | {
    "cross_attention_dim": 32,
    "act_fn": "gelu",
    "attention_head_dim": 8,
    "encoder_hid_dim": 24,
    "encoder_hid_dim_type": "text_proj",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 4,
    "cross_attention_norm": "group_norm",
    "resnet_time_scale_shift": "scale_shift",
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "in_channels": 3,
    "out_channels": 6,
}


def blocks(*down: str) -> dict[str, tuple[str, ...]]:
    up = tuple(name.replace("Down", "Up") for name in reversed(down))
    return {"down_block_types": down, "up_block_types": up}


FAMILIES = {
    "stable diffusion 1": PLAIN
    | blocks("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
    | {"attention_head_dim": 4, "layers_per_block": 2},
    "stable diffusion 2": PLAIN
    | blocks("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
    | {"attention_head_dim": (2, 4, 4), "use_linear_projection": True, "upcast_attention": True},
    "stable diffusion 2 upscaler": PLAIN
    | blocks("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
    | {
        "attention_head_dim": 4,
        "only_cross_attention": (True, True, False),
        "num_class_embeds": 10,
        "in_channels": 7,
    },
    "sdxl": PLAIN
    | blocks("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
    | {
        "attention_head_dim": (2, 4, 4),
        "transformer_layers_per_block": (1, 2, 3),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 20,
    },
    "if stage 1": CASCADE
    | blocks("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D"),
    "if stage 2": CASCADE
    | blocks("ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D")
    | {
        "class_embed_type": "timestep",
        "in_channels": 6,
        "layers_per_block": (1, 2, 2),
        "mid_block_scale_factor": 1.4142271248762552,
        "resnet_out_scale_factor": 1.4142271248762552,
        "resnet_skip_time_act": True,
        "time_embedding_act_fn": "gelu",
    },
}
families = pytest.mark.parametrize("family", FAMILIES)


@cache
def picture_net(family: str) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(**FAMILIES[family]).eval()


def inputs(
    family: str, frames: int, size: tuple[int, int] = (8, 12), clips: int = 2
) -> tuple[torch.Tensor, dict]:
    """Noisy clips and conditions per clip, with different timesteps, texts and a masked token."""
    unet, draw = picture_net(family), torch.Generator().manual_seed(frames)
    sample = torch.randn(clips, unet.config.in_channels, frames, *size, generator=draw)
    text_channels = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    conditions = {
        "timestep": torch.tensor([7, 640, 990][:clips]),
        "encoder_hidden_states": torch.randn(clips, 5, text_channels, generator=draw),
    }
    if "if" not in family:
        conditions["encoder_attention_mask"] = (
            torch.arange(5) < torch.tensor([5, 3, 1])[:clips, None]
        ).float()
    if unet.config.class_embed_type or unet.config.num_class_embeds:
        conditions["class_labels"] = torch.tensor([3, 9, 1][:clips])
    if unet.config.addition_embed_type == "text_time":
        time_ids = torch.randint(0, 64, (clips, 6), generator=draw)
        conditions["added_cond_kwargs"] = {
            "text_embeds": torch.randn(clips, 20, generator=draw),
            "time_ids": time_ids,
        }
    return sample, conditions


@torch.no_grad()
def frame_by_frame(family: str, sample: torch.Tensor, conditions: dict) -> torch.Tensor:
    unet = picture_net(family)
    return torch.stack([unet(frame, **conditions).sample for frame in sample.unbind(2)], dim=2)


@cache
def inflated_net(family: str, **options) -> STUNet:
    torch.manual_seed(1)
    return STUNet.from_unet2d(picture_net(family), **options)


@torch.no_grad()
def inflated(family: str, sample: torch.Tensor, conditions: dict, **options) -> torch.Tensor:
    return inflated_net(family, **options)(sample, **conditions).sample


def assert_equal(got: torch.Tensor, expected: torch.Tensor) -> None:
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@families
@pytest.mark.parametrize("frames", [1, 6])
def test_identical_frames_equal_the_2d_net(family: str, frames: int):
    sample, conditions = inputs(family, frames)
    sample = sample[:, :, :1].expand(-1, -1, frames, -1, -1)
    assert_equal(inflated(family, sample, conditions), frame_by_frame(family, sample, conditions))


@families
@pytest.mark.parametrize("frames", [8, 9])
def test_every_nth_frame_equals_the_2d_net(family: str, frames: int):
    sample, conditions = inputs(family, frames, clips=3)
    got, expected = inflated(family, sample, conditions), frame_by_frame(family, sample, conditions)
    assert_equal(got[:, :, ::4], expected[:, :, ::4])
    assert not torch.allclose(got[:, :, 1], expected[:, :, 1], atol=1e-3)


@families
@pytest.mark.parametrize("factors", [(4, 1), (1, 3)])
def test_every_nth_frame_for_other_factors(family: str, factors: tuple[int, int]):
    sample, conditions = inputs(family, 7)
    n = factors[0] * factors[1]
    got = inflated(family, sample, conditions, temporal_factors=factors)
    expected = frame_by_frame(family, sample, conditions)
    assert_equal(got[:, :, ::n], expected[:, :, ::n])


@families
def test_without_temporal_factors_every_frame_equals_the_2d_net(family: str):
    sample, conditions = inputs(family, 5, (16, 8))
    got = inflated(family, sample, conditions, temporal_factors=(1, 1))
    assert_equal(got, frame_by_frame(family, sample, conditions))


@families
def test_a_clip_that_holds_each_nth_frame_equals_the_2d_net(family: str):
    sample, conditions = inputs(family, 7)
    held = sample[:, :, torch.arange(7) // 4 * 4]
    assert_equal(inflated(family, held, conditions), frame_by_frame(family, held, conditions))


def test_a_frame_sees_only_its_own_level_frames():
    """Frame 7 takes features of frame 7 at the finest level, 6 at the next, 4 at the coarsest:
    nearest before.
    """
    family = "stable diffusion 1"
    sample, conditions = inputs(family, 8, (8, 8), clips=1)
    other = sample.clone()
    other[:, :, [0, 1, 2, 3, 5]] += 1
    assert torch.equal(
        inflated(family, sample, conditions)[:, :, 7], inflated(family, other, conditions)[:, :, 7]
    )
    for seen in (4, 6, 7):
        other = sample.clone()
        other[:, :, seen] += 1
        changed = (
            inflated(family, other, conditions)[:, :, 7]
            - inflated(family, sample, conditions)[:, :, 7]
        )
        assert changed.abs().max() > 1e-3


@pytest.mark.parametrize("family", [name for name in FAMILIES if "if" not in name])
def test_odd_sizes_equal_the_2d_net(family: str):
    sample, conditions = inputs(family, 5, (10, 13))
    got, expected = inflated(family, sample, conditions), frame_by_frame(family, sample, conditions)
    assert_equal(got[:, :, ::4], expected[:, :, ::4])


@families
def test_new_input_channels_change_nothing_at_start(family: str):
    sample, conditions = inputs(family, 6)
    wide = torch.cat([sample, 100 * torch.randn(2, 4, *sample.shape[2:])], dim=1)
    got = inflated(family, wide, conditions, in_channels=wide.shape[1])
    assert_equal(got, inflated(family, sample, conditions))
