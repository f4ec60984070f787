"""LoRA files: what other trainers write is read at its own strength, all else is one line."""

import json
import math
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn

from cases import case
from openlumiere.models.lora import AdapterConfig
from openlumiere.models.style import Style

LAYER = "down_blocks.0.attn1.to_q"
SPELLINGS = {
    "PEFT": ("base_model.model.{dots}.lora_A.weight", "base_model.model.{dots}.lora_B.weight"),
    "diffusers": ("unet.{dots}.lora_A.weight", "unet.{dots}.lora_B.weight"),
    "kohya": ("lora_unet_{lines}.lora_down.weight", "lora_unet_{lines}.lora_up.weight"),
    "old diffusers": ("unet.{dots}.lora.down.weight", "unet.{dots}.lora.up.weight"),
    "processors": (
        "unet.down_blocks.0.attn1.processor.to_q_lora.down.weight",
        "unet.down_blocks.0.attn1.processor.to_q_lora.up.weight",
    ),
}


def keys(kind):
    return [
        spelling.format(dots=LAYER, lines=LAYER.replace(".", "_")) for spelling in SPELLINGS[kind]
    ]


def save(path, down, up, *, kind="diffusers", config=None, **others):
    """A file of one layer; `config` goes into its metadata as diffusers keeps it."""
    tensors = dict(zip(keys(kind), (down, up), strict=True)) | others
    metadata = None if config is None else {"lora_adapter_metadata": json.dumps(config)}
    save_file(tensors, path, metadata=metadata)
    return path


def scale_of(path):
    (low,) = Style.load(path).low_rank.values()
    return low.scale


@pytest.mark.parametrize("kind", SPELLINGS)
def test_spellings_of_trainers(tmp_path, kind):
    text = {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.randn(2, 6)}
    path = save(tmp_path / "a.safetensors", torch.ones(2, 6), torch.ones(4, 2), kind=kind, **text)
    style = Style.load(path)
    assert style.name == "a"
    assert style.fingerprint is None
    expected = LAYER.replace(".", "_") if kind == "kohya" else LAYER
    assert style.low_rank.keys() == {expected}
    assert torch.equal(style.low_rank[expected].change, torch.full((4, 6), 2.0))


STRENGTHS = {
    "alpha": ({"unet.lora_alpha": 1}, 1 / 4),
    "no alpha": ({"unet.r": 4}, 1.0),
    "rank-stabilised": ({"unet.lora_alpha": 2, "unet.use_rslora": True}, 2 / math.sqrt(4)),
    "alpha of a layer": ({"unet.lora_alpha": 1, "unet.alpha_pattern": {"to_q": 8}}, 8 / 4),
    "alpha of a longer name": (
        {"unet.lora_alpha": 1, "unet.alpha_pattern": {"attn1.to_q": 3}},
        3 / 4,
    ),
    "alpha of an expression": (
        {"unet.lora_alpha": 1, "unet.alpha_pattern": {r"down_blocks\.\d+.*": 12}},
        12 / 4,
    ),
    "alpha of another layer": ({"unet.lora_alpha": 1, "unet.alpha_pattern": {"to_k": 8}}, 1 / 4),
    "half a name is none": ({"unet.lora_alpha": 1, "unet.alpha_pattern": {"o_q": 8}}, 1 / 4),
    "rank of a layer": (
        {"unet.r": 8, "unet.lora_alpha": 8, "unet.rank_pattern": {"to_q": 4}},
        8 / 4,
    ),
    "all of them": (
        {
            "unet.r": 8,
            "unet.lora_alpha": 8,
            "unet.rank_pattern": {"to_q": 4},
            "unet.alpha_pattern": {"to_q": 6},
            "unet.use_rslora": True,
        },
        6 / math.sqrt(4),
    ),
    "without a prefix": ({"r": 4, "lora_alpha": 2}, 2 / 4),
    "not the text encoder's": ({"text_encoder.lora_alpha": 9, "unet.lora_alpha": 2}, 2 / 4),
    "nothing set": ({"unet.lora_alpha": None, "unet.r": None}, 1.0),
}


@pytest.mark.parametrize("what", STRENGTHS)
def test_strengths_are_honoured(tmp_path, what):
    config, expected = STRENGTHS[what]
    path = save(tmp_path / "a.safetensors", torch.ones(4, 6), torch.ones(4, 4), config=config)
    assert scale_of(path) == pytest.approx(expected)


@pytest.mark.parametrize("rslora", [False, True])
def test_strengths_are_those_of_peft(tmp_path, rslora):
    """A model that PEFT wraps, saved by PEFT itself, read from its folder."""
    torch.manual_seed(0)
    net = nn.ModuleDict(
        {"attn1": nn.ModuleDict({"to_q": nn.Linear(6, 4), "to_k": nn.Linear(6, 4)})}
    )
    config = LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["to_q", "to_k"],
        rank_pattern={"to_q": 2},
        alpha_pattern={r"attn\d\.to_q": 3},
        use_rslora=rslora,
        init_lora_weights=False,
    )
    wrapped = get_peft_model(net, config)
    wrapped.save_pretrained(tmp_path)
    style = Style.load(tmp_path / "adapter_model.safetensors")
    for name in ("to_q", "to_k"):
        expected = wrapped.base_model.model["attn1"][name].get_delta_weight("default")
        assert torch.allclose(style.low_rank[f"attn1.{name}"].change, expected, atol=1e-6)


def test_another_files_configuration_is_not_read(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 64}')
    assert scale_of(save(tmp_path / "a.safetensors", torch.ones(4, 6), torch.ones(4, 4))) == 1.0


@pytest.mark.parametrize("alpha", [torch.tensor(2.0), torch.tensor([2.0]), torch.tensor([[2]])])
def test_one_number_is_an_alpha(tmp_path, alpha):
    others = {f"lora_unet_{LAYER.replace('.', '_')}.alpha": alpha}
    path = tmp_path / "a.safetensors"
    save(path, torch.ones(4, 6), torch.ones(4, 4), kind="kohya", **others)
    assert scale_of(path) == 0.5


def test_patterns_of_a_file_spelled_with_underscores(tmp_path):
    config = {"lora_alpha": 1, "alpha_pattern": {"attn1.to_q": 8}}
    path = tmp_path / "a.safetensors"
    save(path, torch.ones(4, 6), torch.ones(4, 4), kind="kohya", config=config)
    assert scale_of(path) == 2.0


def test_a_pattern_that_would_match_for_ever_is_refused(tmp_path):
    layer = f"{LAYER}{'a' * 60}b"
    others = {
        f"unet.{layer}.lora_A.weight": torch.ones(4, 6),
        f"unet.{layer}.lora_B.weight": torch.ones(4, 4),
    }
    config = {"lora_alpha": 1, "alpha_pattern": {"to_q(a|aa)+c": 8}}
    path = tmp_path / "my.safetensors"
    save(path, torch.ones(4, 6), torch.ones(4, 4), config=config, **others)
    with pytest.raises(ValueError, match="^style: expected layer names .* in my.safetensors, got"):
        Style.load(path)


ONES = torch.ones(4, 6), torch.ones(4, 4)
SHAPES = {
    "ranks that differ": (torch.ones(4, 6), torch.ones(4, 8)),
    "ranks that differ, the other way": (torch.ones(8, 6), torch.ones(4, 4)),
    "a scalar": (torch.tensor(1.0), torch.ones(4, 4)),
    "a scalar, second": (torch.ones(4, 6), torch.tensor(1.0)),
    "a vector": (torch.ones(6), torch.ones(4, 4)),
    "two vectors": (torch.ones(6), torch.ones(6)),
    "rank 0": (torch.ones(0, 6), torch.ones(4, 0)),
    "nothing goes in": (torch.ones(4, 0), torch.ones(4, 4)),
    "nothing comes out": (torch.ones(4, 6), torch.ones(0, 4)),
    "a second kernel": (torch.ones(4, 6, 1, 1), torch.ones(4, 4, 3, 3)),
    "complex numbers": (torch.ones(4, 6, dtype=torch.complex64), torch.ones(4, 4)),
    "a product that overflows": (torch.full((4, 6), 1e30), torch.full((4, 4), 1e30)),
    "float64 beyond float32": (torch.full((4, 6), 1e300, dtype=torch.float64), torch.ones(4, 4)),
    "not a number": (torch.full((4, 6), torch.nan), torch.ones(4, 4)),
}


@pytest.mark.parametrize("what", SHAPES)
def test_factors_that_make_no_matrix_are_one_line_with_the_files_name(tmp_path, what):
    path = save(tmp_path / "my.safetensors", *SHAPES[what])
    with pytest.raises(ValueError, match=r"^style: expected .+ in my\.safetensors, got .+, .+"):
        Style.load(path)


LINES = LAYER.replace(".", "_")
OTHERS = {
    "alpha of many numbers": {f"lora_unet_{LINES}.alpha": torch.ones(2)},
    "alpha that is not a number": {f"lora_unet_{LINES}.alpha": torch.tensor(torch.nan)},
    "alpha of nothing": {f"lora_unet_{LINES}.alpha": torch.ones(0)},
    "alpha that overflows": {f"lora_unet_{LINES}.alpha": torch.tensor(3e38)},
    "alpha of no layer": {"lora_unet_elsewhere.alpha": torch.tensor(1.0)},
    "one factor": {"lora_unet_x.lora_down.weight": torch.ones(2, 3)},
    "one factor, the other": {"lora_unet_x.lora_up.weight": torch.ones(2, 3)},
    "a layer twice": {f"base_model.model.{LINES}.lora_A.weight": torch.ones(4, 6)},
    "LoHa": {"lora_unet_x.hada_w1_a": torch.ones(2, 3)},
    "LoKr": {"lora_unet_x.lokr_w1": torch.ones(2, 3)},
    "DoRA": {f"lora_unet_{LINES}.dora_scale": torch.ones(4, 1)},
    "DoRA of PEFT": {f"unet.{LAYER}.lora_magnitude_vector.weight": torch.ones(4)},
    "Tucker factors": {f"lora_unet_{LINES}.lora_mid.weight": torch.ones(4, 4, 3, 3)},
    "a bias of PEFT": {f"unet.{LAYER}.lora_B.bias": torch.ones(4)},
    "a whole difference": {"lora_unet_x.diff": torch.ones(2, 3)},
    "another adapter's name": {f"unet.{LAYER}.lora_A.mine.weight": torch.ones(4, 6)},
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_not_understood_is_one_line_with_the_files_name(tmp_path, what):
    path = tmp_path / "my.safetensors"
    save(path, torch.full((4, 6), 2.0), ONES[1], kind="kohya", **OTHERS[what])
    with pytest.raises(ValueError, match=r"^style: expected .+ in my\.safetensors, got .+, .+"):
        Style.load(path)


CONFIGS = {
    "not JSON": "{",
    "not an object": "[1]",
    "null": "null",
    "deep": "[" * 100_000,
    "a rank of another size": '{"unet.r": 8, "unet.lora_alpha": 1}',
    "a rank of none": '{"unet.r": 0}',
    "an alpha in words": '{"lora_alpha": "two"}',
    "an alpha that is yes": '{"lora_alpha": true}',
    "an alpha without end": '{"lora_alpha": Infinity}',
    "patterns in a list": '{"alpha_pattern": ["to_q"]}',
    "alphas in a list": '{"alpha_pattern": {"to_q": [1, 2]}}',
    "a broken expression": '{"alpha_pattern": {"(": 1}}',
    "rslora in words": '{"use_rslora": "yes"}',
    "DoRA": '{"use_dora": true}',
    "PiSSA": '{"init_lora_weights": "pissa_niter_4"}',
}


@pytest.mark.parametrize("what", CONFIGS)
def test_configurations_that_cannot_be_are_one_line_with_the_files_name(tmp_path, what):
    path = tmp_path / "my.safetensors"
    tensors = dict(zip(keys("diffusers"), ONES, strict=True))
    save_file(tensors, path, metadata={"lora_adapter_metadata": CONFIGS[what]})
    with pytest.raises(ValueError, match=r"^style: expected .+ in my\.safetensors, got .+, .+"):
        Style.load(path)


@pytest.mark.parametrize("note", ["{", "[]", "7", "[" * 100_000])
def test_notes_that_are_not_ours_are_one_line_with_the_files_name(tmp_path, note):
    path = tmp_path / "my.safetensors"
    save_file(dict(zip(keys("PEFT"), ONES, strict=True)), path, metadata={"openlumiere": note})
    with pytest.raises(ValueError, match=r"^style: expected metadata .+ in my\.safetensors, got"):
        Style.load(path)


def test_an_adapters_configuration_is_bounded(tmp_path):
    path = save(tmp_path / "adapter_model.safetensors", *ONES, kind="PEFT")
    (tmp_path / "adapter_config.json").write_bytes(b" " * (2**20 + 1) + b"{}")
    with pytest.raises(ValueError, match=r"^style: expected at most 1048576 bytes in adapter_conf"):
        Style.load(path)


@pytest.mark.parametrize("content", [b"\x80\x04noise" * 10, b"", b"\xff" * 8, None, "folder"])
def test_files_that_hold_no_tensors_are_one_line(tmp_path, content):
    path = tmp_path / "my.safetensors"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^style: expected .+my\.safetensors.*, .+"):
        Style.load(path)


def test_a_file_of_text_encoders_alone_is_refused(tmp_path):
    save_file({"lora_te_x.lora_down.weight": torch.ones(2, 3)}, tmp_path / "my.safetensors")
    with pytest.raises(ValueError, match="^style: expected layers of a picture net in my.safe"):
        Style.load(tmp_path / "my.safetensors")


def test_a_configuration_beside_layers_alphas(tmp_path):
    """A layer's own alpha comes first, and rank-stabilised scaling applies to it as well."""
    config = AdapterConfig(lora_alpha=1.0, use_rslora=True)
    assert config.scale(LAYER, 4, alpha=6.0) == 3.0
    assert config.scale(LAYER, 4) == 0.5


REFUSED = (
    "rank_mismatch",
    "alpha_vec",
    "lora_overflow",
    "second/style_rank_mismatch",
    "second/style_scalar_down",
    "second/style_1d_down",
    "second/style_kohya_alpha_vec",
)


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_strangers_found(tmp_path, name):
    path = shutil.copy(case(f"{name}.safetensors"), tmp_path / "given.safetensors")
    with pytest.raises(ValueError, match=r"^style: expected .+ in given\.safetensors, got .+, .+"):
        Style.load(path)


def test_the_file_of_strangers_that_fits_is_read():
    (low,) = Style.load(case("second/style_fits.safetensors")).low_rank.values()
    assert low.change.shape == (96, 96)
