"""Presets keep the budgets that the released model is held to."""

import json
from dataclasses import asdict

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from openlumiere.models.stunet import STUNet
from openlumiere.train.config import PRESETS
from openlumiere.train.nets import build_unet
from openlumiere.train.stages.video import widen

FRAMES, TOKENS, TEXT = 80, 21, 384


def planned(preset):
    """The conditional net of a preset, without memory for its weights."""
    with torch.device("meta"):
        net = STUNet.from_unet2d(
            build_unet(preset.image), attention_blocks=preset.video.attention_blocks
        )
        widen(net)
    return net.eval()


@pytest.mark.parametrize("name", ["world-32", "world-64"])
def test_a_preset_keeps_to_ten_million_parameters_and_350_gflop(name):
    net = planned(PRESETS[name])
    assert sum(value.numel() for value in net.parameters()) <= 10e6
    side = PRESETS[name].image.side // PRESETS[name].image.unshuffle
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        net(
            torch.randn(1, net.config.in_channels, FRAMES, side, side),
            torch.tensor(500),
            torch.randn(1, TOKENS, TEXT),
        )
    assert counter.get_total_flops() <= 350e9


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_json_and_their_whole_clips_are_eighty_frames(name):
    preset = PRESETS[name]
    assert json.loads(json.dumps(asdict(preset)))["image"]["side"] == preset.image.side
    assert name == "tiny" or preset.video.frames == FRAMES
    assert preset.video.frames % preset.video.stride == 0
