import copy
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from openlumiere.models.stunet import STUNet

TINY = {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 16,
    "attention_head_dim": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}


HERE = Path(__file__).parent
COMPILE = """
import sys
import torch
from test_stunet import inputs, net, trained
stunet = trained(net())
compiled = torch.compile(stunet, fullgraph=True, backend=sys.argv[1])
sample = compiled(*inputs()).sample
torch.testing.assert_close(sample, stunet(*inputs()).sample, rtol=1e-4, atol=1e-5)
sample.square().mean().backward()
"""


@cache
def _unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(**TINY).eval()


def unet() -> UNet2DConditionModel:
    return copy.deepcopy(_unet())


def net(**options) -> STUNet:
    torch.manual_seed(1)
    return STUNet.from_unet2d(unet(), **{"attention_blocks": (1, 1, 0)} | options)


def trained(stunet: STUNet) -> STUNet:
    """Every added parameter moved off its initialisation."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in stunet.temporal_parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return stunet


def inputs(clips: int = 2, channels: int = 3, frames: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    sample = torch.randn(clips, channels, frames, 8, 8, generator=draw)
    return sample, torch.tensor([10, 700])[:clips], torch.randn(clips, 4, 16, generator=draw)


# What trains.


def test_only_the_added_parameters_get_gradients():
    stunet = trained(net(in_channels=7))
    stunet(*inputs(channels=7)).sample.square().mean().backward()
    temporal = {name for name, _ in stunet.temporal_named_parameters()}
    assert {name for name, value in stunet.named_parameters() if value.grad is not None} == temporal
    assert not any(name.startswith("unet2d.") for name in temporal)
    assert all(
        value.requires_grad == (name in temporal) for name, value in stunet.named_parameters()
    )
    without = {
        name
        for name, value in stunet.named_parameters()
        if name in temporal and value.grad.abs().max() == 0
    }
    assert without == set()


def test_new_input_channels_start_at_zero_and_train():
    stunet = net(in_channels=7)
    assert stunet.conv_in_added.weight.shape == (16, 4, 3, 3)
    stunet(*inputs(channels=7)).sample.square().mean().backward()
    assert stunet.conv_in_added.weight.abs().max() == 0
    assert stunet.conv_in_added.weight.grad.abs().max() > 0
    assert stunet.config.in_channels == 7


def test_an_input_is_never_narrowed():
    with pytest.raises(ValueError, match="in_channels: expected 7 or more, got 5"):
        net(in_channels=7).widen_input(5)


def test_widening_a_trained_net_changes_nothing():
    stunet = trained(net(in_channels=5))
    before = stunet(*inputs(channels=5)).sample
    stunet.widen_input(9)
    sample, *conditions = inputs(channels=5)
    wide = torch.cat([sample, torch.ones(2, 4, 5, 8, 8)], dim=1)
    torch.testing.assert_close(stunet(wide, *conditions).sample, before)
    assert stunet.config.in_channels == 9
    assert stunet.conv_in_added.weight.requires_grad


def test_narrowing_the_input_is_refused():
    with pytest.raises(ValueError, match="expected in_channels of at least 3, got 2"):
        net(in_channels=2)


# The call.


def test_clips_of_a_batch_do_not_meet():
    stunet = trained(net())
    sample, timestep, text = inputs()
    together = stunet(sample, timestep, text).sample
    torch.testing.assert_close(stunet(sample[1:], timestep[1:], text[1:]).sample, together[1:])


def test_frame_times_default_to_native_frames_and_matter():
    stunet = trained(net())
    native = stunet(*inputs()).sample
    assert torch.equal(stunet(*inputs(), frame_times=torch.arange(5.0)).sample, native)
    assert not torch.allclose(stunet(*inputs(), frame_times=2 * torch.arange(5.0)).sample, native)


def test_masked_text_tokens_do_not_matter():
    stunet = trained(net())
    sample, timestep, text = inputs()
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])
    other = torch.where(mask[..., None], text, 5.0)
    assert torch.equal(
        stunet(sample, timestep, text, encoder_attention_mask=mask).sample,
        stunet(sample, timestep, other, encoder_attention_mask=mask).sample,
    )


def test_timestep_may_be_a_number_and_output_a_tuple():
    stunet = net()
    sample, _, text = inputs()
    expected = stunet(sample, torch.tensor([10, 10]), text).sample
    assert torch.equal(stunet(sample, 10, text, return_dict=False)[0], expected)
    assert torch.equal(stunet(sample, torch.tensor(10), text).sample, expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x, t, e: (x[:, :, 0], t, e), "expected sample of shape"),
        (lambda x, t, e: (x[:, :2], t, e), r"expected sample of shape \(clips, 3, frames"),
        (lambda x, t, e: (x[:, :, :0], t, e), "expected sample of shape"),
        (lambda x, t, e: (x, t, e[:1]), r"expected encoder_hidden_states of shape \(2, tokens"),
    ],
)
def test_wrong_shapes_are_refused(wrong, message: str):
    with pytest.raises(ValueError, match=message):
        net()(*wrong(*inputs()))


def test_wrong_number_of_frame_times_is_refused():
    with pytest.raises(ValueError, match=r"expected frame_times of shape \(5,\), got \(3,\)"):
        net()(*inputs(), frame_times=torch.arange(3.0))


def test_resnet_resizers_refuse_odd_sizes():
    resnet = {
        "down_block_types": ("ResnetDownsampleBlock2D",) * 2,
        "up_block_types": ("ResnetUpsampleBlock2D",) * 2,
    }
    stunet = STUNet.from_unet2d(UNet2DConditionModel(**TINY | resnet), attention_blocks=(0, 1, 0))
    sample, timestep, text = inputs()
    with pytest.raises(
        ValueError, match="expected height and width that are multiples of 2, got 8x7"
    ):
        stunet(sample[..., :7], timestep, text)


# Saving.


@pytest.mark.parametrize(
    "options", [{}, {"in_channels": 7, "temporal_factors": (1,), "text_attention": False}]
)
def test_the_whole_net_is_saved_and_loaded(tmp_path, options: dict):
    stunet = trained(net(**options))
    stunet.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    loaded = STUNet.from_pretrained(tmp_path)
    arguments = inputs(channels=stunet.config.in_channels)
    assert torch.equal(loaded(*arguments).sample, stunet(*arguments).sample)
    assert loaded.config.unet["block_out_channels"] == [16, 32]
    trains = {name: value.requires_grad for name, value in stunet.named_parameters()}
    assert {name: value.requires_grad for name, value in loaded.named_parameters()} == trains


def test_a_half_precision_copy_is_loaded(tmp_path):
    trained(net()).save_pretrained(tmp_path)
    loaded = STUNet.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert {value.dtype for value in loaded.parameters()} == {torch.bfloat16}


def test_temporal_weights_are_saved_and_loaded_alone(tmp_path):
    stunet = trained(net(in_channels=7))
    stunet.save_temporal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["temporal.safetensors"]
    other = net(in_channels=7)
    other.load_temporal(tmp_path)
    assert torch.equal(other(*inputs(channels=7)).sample, stunet(*inputs(channels=7)).sample)


def test_temporal_weights_fit_a_half_precision_copy_of_their_frozen_net(tmp_path):
    trained(net()).save_temporal(tmp_path)
    half = STUNet.from_unet2d(unet().to(torch.float16), attention_blocks=(1, 1, 0))
    half.load_temporal(tmp_path)
    assert {value.dtype for value in half.parameters()} == {torch.float16}


def test_temporal_weights_of_another_frozen_net_are_refused(tmp_path):
    trained(net()).save_temporal(tmp_path)
    stunet = net()
    with torch.no_grad():
        stunet.unet2d.conv_in.weight[0, 0, 0, 0] += 0.01
    with pytest.raises(ValueError, match="expected temporal weights trained on the frozen net"):
        stunet.load_temporal(tmp_path)


def cut_short(file):
    file.write_bytes(file.read_bytes()[:-1])


def drop_a_tensor(file):
    with safe_open(file, framework="pt") as opened:
        metadata, names = opened.metadata(), sorted(opened.keys())
        weights = {name: opened.get_tensor(name) for name in names[1:]}
    save_file(weights, file, metadata=metadata)


@pytest.mark.parametrize("damage", [Path.unlink, cut_short, drop_a_tensor])
def test_damaged_temporal_weights_are_refused(tmp_path, damage):
    trained(net()).save_temporal(tmp_path)
    damage(tmp_path / "temporal.safetensors")
    with pytest.raises(
        ValueError, match=r"expected (the )?temporal weights .*, got .*; (save|name)"
    ):
        net().load_temporal(tmp_path)


def test_temporal_weights_of_other_options_are_refused(tmp_path):
    trained(net()).save_temporal(tmp_path)
    with pytest.raises(ValueError, match=r"expected temporal weights for options .*\[1, 2, 0\]"):
        net(attention_blocks=(1, 2, 0)).load_temporal(tmp_path)


# What diffusers' models do.


def test_gradient_checkpointing_gives_the_same_gradients():
    plain, saving = trained(net()), trained(net())
    saving.enable_gradient_checkpointing()
    assert saving.is_gradient_checkpointing
    for stunet in (plain, saving):
        stunet.train()(*inputs()).sample.square().mean().backward()
    for one, other in zip(plain.temporal_parameters(), saving.temporal_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_gradient_checkpointing_keeps_less():
    kept = {}
    for saving in (False, True):
        stunet, sizes = trained(net()).train(), []
        if saving:
            stunet.enable_gradient_checkpointing()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, sizes=sizes: sizes.append(x.nbytes) or x, lambda x: x
        ):
            stunet(*inputs())
        kept[saving] = sum(sizes)
    assert kept[True] < 0.5 * kept[False]


@pytest.mark.long
@pytest.mark.parametrize("backend", ["eager", "inductor"])
def test_compiles_to_one_graph(backend: str):
    """In a process of its own: here annotations are checked, by Python that no graph can hold."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, backend], capture_output=True, text=True, cwd=HERE
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_runs_in_half_precision(dtype: torch.dtype):
    full = trained(net())(*inputs()).sample
    sample, timestep, text = inputs()
    out = STUNet.to(trained(net()), dtype)(sample.to(dtype), timestep, text.to(dtype)).sample
    assert out.dtype == dtype
    assert (out.float() - full).abs().max() < 0.05 * full.abs().max()


def test_runs_in_channels_last():
    stunet = trained(net())
    expected = stunet(*inputs()).sample
    torch.testing.assert_close(
        stunet.to(memory_format=torch.channels_last)(*inputs()).sample, expected
    )


def test_attention_processors_can_be_set():
    stunet = trained(net())
    expected = stunet(*inputs()).sample
    assert any(name.startswith("mid_attentions.0.attention") for name in stunet.attn_processors)
    stunet.set_attn_processor(AttnProcessor())
    assert {type(processor) for processor in stunet.attn_processors.values()} == {AttnProcessor}
    torch.testing.assert_close(stunet(*inputs()).sample, expected)


def test_an_attention_backend_can_be_set():
    stunet = trained(net())
    expected = stunet(*inputs()).sample
    stunet.set_attention_backend("native")
    torch.testing.assert_close(stunet(*inputs()).sample, expected)


def test_an_adapter_of_the_2d_net_keeps_working():
    """A fresh LoRA adds nothing; a trained one does, in proportion to diffusers' `scale`."""
    stunet = trained(net())
    expected, frozen = (
        stunet(*inputs()).sample,
        {name for name, _ in stunet.temporal_named_parameters()},
    )
    stunet.unet2d.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    assert {name for name, _ in stunet.temporal_named_parameters()} == frozen
    torch.testing.assert_close(stunet(*inputs()).sample, expected)
    for name, parameter in stunet.unet2d.named_parameters():
        if "lora_B" in name:
            nn.init.ones_(parameter)
    assert not torch.allclose(stunet(*inputs()).sample, expected, atol=1e-3)
    torch.testing.assert_close(
        stunet(*inputs(), cross_attention_kwargs={"scale": 0.0}).sample, expected
    )


# Options and refusals.


def test_he_initialisation_breaks_the_equality_and_identity_keeps_it():
    sample, timestep, text = inputs()
    expected = unet()(sample[:, :, 0], timestep, text).sample
    torch.testing.assert_close(net()(sample, timestep, text).sample[:, :, 0], expected)
    assert not torch.allclose(
        net(init="he")(sample, timestep, text).sample[:, :, 0], expected, atol=1e-2
    )


def test_the_options_leave_modules_out():
    names = {
        name for name, _ in net(text_attention=False, timestep_modulation=False).named_modules()
    }
    assert not any("text_attention" in name or "timestep_modulation" in name for name in names)


def test_a_training_net_stays_in_training():
    assert STUNet.from_unet2d(unet().train()).training
    assert not net().training


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"down_block_types": ("DownBlock2D", "KDownBlock2D")}, "got KDownBlock2D"),
        ({"up_block_types": ("AttnUpBlock2D", "UpBlock2D")}, "got AttnUpBlock2D"),
        ({"mid_block_type": None}, "expected mid_block_type among .* got None"),
        ({"mid_block_type": "UNetMidBlock2D"}, "got UNetMidBlock2D"),
        (
            {"class_embed_type": "identity"},
            "expected class_embed_type among None, projection, timestep, got identity",
        ),
        (
            {"addition_embed_type": "image", "encoder_hid_dim": 8},
            "expected addition_embed_type .* got image",
        ),
        (
            {"encoder_hid_dim_type": "image_proj", "encoder_hid_dim": 8},
            "expected encoder_hid_dim_type .* got image_proj",
        ),
        ({"dual_cross_attention": True}, "expected dual_cross_attention among False, got True"),
        (
            {"class_embeddings_concat": True, "num_class_embeds": 3},
            "expected class_embeddings_concat",
        ),
        ({"attention_type": "gated"}, "expected attention_type among default, got gated"),
    ],
)
def test_other_nets_are_refused_by_name(change: dict, name: str):
    with pytest.raises(ValueError, match=name):
        STUNet.from_unet2d(UNet2DConditionModel(**TINY | change))


@pytest.mark.parametrize(
    "other",
    [
        UNet2DModel(
            block_out_channels=(32,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
        ),
        nn.Identity(),
    ],
)
def test_other_models_are_refused(other: nn.Module):
    with pytest.raises(
        ValueError, match=f"expected a diffusers UNet2DConditionModel, got {type(other).__name__}"
    ):
        STUNet.from_unet2d(other)


@pytest.mark.parametrize("factors", [(2, 2), (0,), ()])
def test_wrong_temporal_factors_are_refused(factors: tuple[int, ...]):
    with pytest.raises(ValueError, match="expected temporal_factors of 1 whole numbers"):
        net(temporal_factors=factors)


def test_wrong_attention_blocks_are_refused():
    with pytest.raises(ValueError, match="expected attention_blocks"):
        net(attention_blocks=(1, 2))
