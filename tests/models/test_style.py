"""Styles: weights blended in and taken out again, and files of several kinds."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from openlumiere.models.style import LowRank, Style, blended

OWN = "f" * 64


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down_blocks = nn.ModuleList(
            [nn.ModuleDict({"to_q": nn.Linear(6, 4), "conv": nn.Conv2d(3, 5, 3)})]
        )


Q, CONV = "down_blocks.0.to_q", "down_blocks.0.conv"


def factors(rank=2):
    torch.manual_seed(1)
    return {
        Q: LowRank(torch.randn(rank, 6), torch.randn(4, rank), 0.5),
        CONV: LowRank(torch.randn(rank, 3, 3, 3), torch.randn(5, rank, 1, 1), 0.5),
    }


def weights(net):
    return {name: value.detach().clone() for name, value in net.named_parameters()}


@pytest.fixture
def net():
    return Net()


def test_the_blend_is_the_papers(net):
    """W = a W_style + (1 - a) W_orig, for a full style and the low-rank one of the same weights."""
    before, style = weights(net), Style("drawn", factors(), {}, OWN)
    product = 0.5 * torch.einsum(
        "or,rcyx->ocyx", style.low_rank[CONV].up.flatten(1), style.low_rank[CONV].down
    )
    full = Style(
        "drawn",
        {},
        {
            f"{CONV}.weight": before[f"{CONV}.weight"] + product,
            f"{Q}.weight": before[f"{Q}.weight"]
            + 0.5 * style.low_rank[Q].up @ style.low_rank[Q].down,
        },
        OWN,
    )
    for a in (0.0, 0.3, 1.0):
        for each in (style, full):
            with blended(net, [(each, a)], OWN):
                expected = a * full.full[f"{CONV}.weight"] + (1 - a) * before[f"{CONV}.weight"]
                assert torch.allclose(weights(net)[f"{CONV}.weight"], expected, atol=1e-5)


def test_afterwards_the_weights_are_the_old_ones_to_the_bit(net):
    before = weights(net)
    with (
        pytest.raises(RuntimeError, match="stopped"),
        blended(net, [(Style("a", factors(), {}), 0.7), (Style("b", factors(3), {}), 0.9)], OWN),
    ):
        assert not torch.equal(weights(net)[f"{Q}.weight"], before[f"{Q}.weight"])
        raise RuntimeError("stopped")
    assert all(torch.equal(value, before[name]) for name, value in weights(net).items())


def test_several_styles_add_up(net):
    before, one, two = weights(net), Style("a", factors(), {}), Style("b", factors(3), {})
    changes = []
    for styles in ([(one, 0.4)], [(two, 0.6)], [(one, 0.4), (two, 0.6)]):
        with blended(net, styles, OWN):
            changes.append(weights(net)[f"{Q}.weight"] - before[f"{Q}.weight"])
    assert torch.allclose(changes[0] + changes[1], changes[2], atol=1e-5)


def test_files_come_back(net, tmp_path):
    style = Style("line drawing", factors(), {}, OWN)
    style.save(tmp_path / "style.safetensors")
    again = Style.load(tmp_path / "style.safetensors")
    assert (again.name, again.fingerprint) == (
        "line drawing",
        OWN,
    ) and again.low_rank.keys() == style.low_rank.keys()
    seen = []
    for each in (style, again):
        with blended(net, [(each, 1.0)], OWN):
            seen.append(weights(net)[f"{CONV}.weight"])
    assert torch.allclose(*seen, atol=5e-3)
    assert (
        again.sha256 == Style.load(tmp_path / "style.safetensors").sha256 != style.sha256
    )  # a file holds float16


SPELLINGS = {
    "PEFT": ("base_model.model.{dots}.lora_A.weight", "base_model.model.{dots}.lora_B.weight"),
    "diffusers": ("unet.{dots}.lora_A.weight", "unet.{dots}.lora_B.weight"),
    "kohya": ("lora_unet_{lines}.lora_down.weight", "lora_unet_{lines}.lora_up.weight"),
    "old diffusers": ("unet.{dots}.lora.down.weight", "unet.{dots}.lora.up.weight"),
}


@pytest.mark.parametrize("kind", SPELLINGS)
def test_community_files_load(net, tmp_path, kind):
    low = factors()
    tensors = {}
    for layer, each in low.items():
        for spelling, tensor in zip(SPELLINGS[kind], each[:2], strict=True):
            tensors[spelling.format(dots=layer, lines=layer.replace(".", "_"))] = tensor
    if kind == "kohya":
        tensors |= {
            f"lora_unet_{layer.replace('.', '_')}.alpha": torch.tensor(1.0) for layer in low
        }
        tensors["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"] = torch.randn(2, 6)
    config = {"lora_adapter_metadata": json.dumps({"unet.r": 2, "unet.lora_alpha": 1})}
    save_file(tensors, tmp_path / "lora.safetensors", metadata=None if kind == "kohya" else config)
    before = weights(net)[f"{Q}.weight"]
    with blended(net, [(Style.load(tmp_path / "lora.safetensors"), 1.0)], OWN):
        assert torch.allclose(
            weights(net)[f"{Q}.weight"], before + 0.5 * low[Q].up @ low[Q].down, atol=1e-5
        )


def test_a_style_for_another_model_is_refused(net):
    with (
        pytest.raises(
            ValueError,
            match="style: expected drawn for the picture net ffffffffffff, got one for aaaaaaaaaaaa, load the model",
        ),
        blended(net, [(Style("drawn", factors(), {}, "a" * 64), 1.0)], OWN),
    ):
        pass
    for low in (
        {"mid_block.to_q": factors()[Q]},
        {Q: LowRank(torch.randn(2, 7), torch.randn(4, 2), 1.0)},
    ):
        with (
            pytest.raises(
                ValueError,
                match="style: expected layers of this model's picture net.*, got .*, load the model",
            ),
            blended(net, [(Style("drawn", low, {}), 1.0)], OWN),
        ):
            pass


BROKEN = {
    "no factors": {"lora_unet_x.lora_down.weight": torch.ones(2, 3)},
    "another kind": {"lora_unet_x.hada_w1_a": torch.ones(2, 3)},
    "not a number": {
        f"unet.{Q}.lora_A.weight": torch.full((2, 6), torch.nan),
        f"unet.{Q}.lora_B.weight": torch.ones(4, 2),
    },
    "text only": {"lora_te_x.lora_down.weight": torch.ones(2, 3)},
}


@pytest.mark.parametrize("what", [*BROKEN, "missing", "noise"])
def test_broken_files_are_one_line(tmp_path, what):
    path = tmp_path / "style.safetensors"
    if what in BROKEN:
        save_file(BROKEN[what], path)
    elif what == "noise":
        path.write_bytes(b"\x80\x04noise" * 10)
    with pytest.raises(ValueError, match="^style: expected .+, got .+, .+"):
        Style.load(path)
