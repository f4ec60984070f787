"""Weights that belong to another net are refused in one line that names both, before any work."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from openlumiere.models.stunet import TEMPORAL_WEIGHTS, STUNet, picture_fingerprint
from openlumiere.train.checkpoint import newest_checkpoint
from openlumiere.train.config import PRESETS
from openlumiere.train.loop import train
from openlumiere.train.nets import build_unet, save
from openlumiere.train.start import load_into, open_net
from openlumiere.train.step import Losses, Stage

TINY = PRESETS["tiny"].image
OTHERS = {
    "weights": {},
    "wider": {"widths": (32, 32)},
    "deeper": {"widths": (16, 16, 32)},
    "coarser": {"unshuffle": 4},
}


def picture_net(seed=0, **changes):
    torch.manual_seed(seed)
    return build_unet(replace(TINY, **changes))


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    save(picture_net(), folder / "unet")
    (folder / "config.json").write_text(json.dumps({"unshuffle": TINY.unshuffle}))
    return folder


def video_run(folder, unet):
    STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)).save_temporal(folder / "temporal")
    return folder


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_temporal_weights_of_another_picture_net_name_both(image_run, tmp_path, changes):
    unet = picture_net(1, **changes)
    other = picture_fingerprint(unet)[:12]
    own = picture_fingerprint(picture_net())[:12]
    expected = f"^start: expected a model over .* {own} of {image_run}, got one over {other} in .*,"
    with pytest.raises(ValueError, match=expected):
        open_net(image_run, video_run(tmp_path, unet), (1, 1, 1))


def test_those_of_the_same_picture_net_are_taken(image_run, tmp_path):
    net, _ = open_net(image_run, video_run(tmp_path, picture_net()), (2, 2, 2))
    assert net.config.attention_blocks == (1, 1, 1)


def junk(file):
    file.write_bytes(b"no weights")


def strangers(file):
    save_file({"down_inflations.0.weight": torch.zeros(1)}, file)


@pytest.mark.parametrize("write", [junk, strangers])
def test_files_that_are_no_temporal_weights_of_ours_are_refused(image_run, tmp_path, write):
    (tmp_path / "temporal").mkdir()
    write(tmp_path / "temporal" / TEMPORAL_WEIGHTS)
    with pytest.raises(ValueError, match="^start: expected temporal weights .*, got .*, name ano"):
        open_net(image_run, tmp_path, (1, 1, 1))


@pytest.mark.parametrize(
    "family", ["WanPipeline", "AnimateDiffPipeline", "StableDiffusionPipeline"]
)
def test_a_published_model_is_no_start(image_run, tmp_path, family):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": family}))
    for picture in (image_run, None):
        with pytest.raises(ValueError, match=f"expected .*LumierePipeline.*, got .*{family}"):
            open_net(picture, tmp_path, (1, 1, 1))


@pytest.mark.parametrize(("own", "other"), [(1, 2), (2, 1)])
def test_a_picture_net_of_other_layers_is_refused(tmp_path, own, other):
    save(picture_net(layers=other), tmp_path)
    with pytest.raises(ValueError, match="^start: expected .* of shape .*, got .* in .*, start fr"):
        load_into(picture_net(layers=own), tmp_path)


class Line(Stage):
    """A trained layer over a frozen one."""

    def losses(self, net, count, generator):
        x = torch.randn(count, 2, generator=generator)
        return Losses((net(x) ** 2).mean(1), torch.rand(count, generator=generator))


def line(seed):
    torch.manual_seed(seed)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    torch.manual_seed(9)
    return Line(net=nn.Sequential(frozen, nn.Linear(2, 2)))


def test_a_run_goes_on_over_the_frozen_net_that_it_began_over_alone(tmp_path):
    loop = TINY.loop
    train(line(0), loop, tmp_path, max_steps=1)
    with pytest.raises(
        ValueError, match="^start: expected the frozen net .{12}, .*, got .{12}, na"
    ):
        train(line(1), loop, tmp_path, max_steps=2)
    half = line(0)
    half.net[0].half().float()
    assert train(half, loop, tmp_path, max_steps=2) == 2
    assert newest_checkpoint(tmp_path).facts["frozen"]
