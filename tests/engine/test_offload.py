"""A published model within a memory limit: the fastest way that fits, frames that stay close, and
LoRAs merged as diffusers merges them. Ways that move weights between a GPU and memory are weighed
here and not run.
"""

from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from peft import LoraConfig

from families import save_tiny, shrink_native
from openlumiere import Lumiere
from openlumiere.apps.cli import main
from openlumiere.backbones.registry import open_published
from openlumiere.diffusion.sampler import draw_noise
from openlumiere.engine.adapters import Lora, merge_loras, read_lora
from openlumiere.engine.model import bytes_of
from openlumiere.engine.offload import choose, sizes_of, ways, weigh

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

HOW = {"steps": 2, "frames": 9, "size": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny("WanPipeline", tmp_path_factory.mktemp("memory") / "wan")


@pytest.fixture(scope="module", autouse=True)
def small(folder):
    with pytest.MonkeyPatch.context() as monkeypatch:
        backbone = open_published(folder, torch.float32).backbone
        shrink_native(monkeypatch, backbone, frames=17)
        yield


@pytest.fixture(scope="module")
def weighed(folder):
    """Every way on a CPU by its words, and what it takes."""
    published = open_published(folder, torch.float32)
    sizes = sizes_of(published)
    return {str(way): weigh(way, published.backbone, sizes) for way in ways("cpu")}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_less_memory_is_a_slower_way_that_fits(folder, device):
    published = open_published(folder, torch.float32)
    sizes = sizes_of(published)
    order = [(way.offload, way.eight_bit, way.tiled, way.part) for way in ways(device)]
    limit = 2**40
    found = []
    least = min(weigh(way, published.backbone, sizes).peak for way in ways(device))
    while limit >= least:
        way = choose(published.backbone, sizes, limit, device)
        assert way.peak <= limit
        found.append(order.index((way.offload, way.eight_bit, way.tiled, way.part)))
        limit = way.peak - 1
    with pytest.raises(ValueError, match="memory: expected at least"):
        choose(published.backbone, sizes, limit, device)
    assert found == sorted(found) and found[0] == 0 and len(found) > 1


def limits(weighed):
    """A limit that each of these ways is the first to fit."""
    ways_found = list(weighed.values())
    for wanted in ("eight_bit", "part"):
        for index, way in enumerate(ways_found):
            faster = [other.peak for other in ways_found[:index]]
            hit = {"eight_bit": way.eight_bit, "part": way.part < 1}
            if hit[wanted] and all(peak > way.peak for peak in faster):
                yield wanted, way.peak
                break


def resident(lumiere):
    """Bytes of the net's weights between passes."""
    net = lumiere.base.published.parts["transformer"]
    return sum(value.untyped_storage().nbytes() for value in net.parameters())


def test_frames_stay_close_with_less_in_memory(folder, weighed, caplog):
    plain = Lumiere.from_pretrained(folder)
    expected = plain.generate("a red cat", **HOW).frames.astype(int)
    tried = dict(limits(weighed))
    assert "eight_bit" in tried
    for wanted, limit in tried.items():
        caplog.clear()
        lumiere = Lumiere.from_pretrained(folder, memory=limit)
        assert "memory: about" in caplog.text
        made = lumiere.generate("a red cat", **HOW).frames
        assert np.abs(made - expected).mean() < 3, wanted
        eight_bit = resident(lumiere) < 0.7 * resident(plain)
        assert eight_bit or lumiere.base.part < 1


def test_tiled_decoding_is_close(folder):
    """At a size of more than one tile."""
    published = open_published(folder, torch.float32)
    coded = draw_noise((16, 2, 40, 40), [3])
    whole = published.backbone.codec.decode(coded)
    published.parts["vae"].enable_tiling()
    tiled = published.backbone.codec.decode(coded)
    assert 0 < (tiled - whole).abs().mean() < 0.05 * whole.std()


def test_a_limit_too_low_ends_in_one_line(folder, tmp_path, capsys):
    words = ["generate", "a cat", "--model", str(folder), "--memory", "1K"]
    assert main([*words, "-o", str(tmp_path / "cat.mp4")]) == 2
    told = capsys.readouterr().err
    assert "memory: expected at least" in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def adapted(folder, family, scale=0.5):
    """A random LoRA of a family's tiny net, as diffusers writes it."""
    torch.manual_seed(4)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(save_tiny(family, folder / "model"))
    net = pipeline.transformer
    net.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"]))
    for name, value in net.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(value, std=scale)
    layers = {name: value for name, value in net.state_dict().items() if "lora_" in name}
    named = {name.replace(".default", ""): value for name, value in layers.items()}
    type(pipeline).save_lora_weights(folder, transformer_lora_layers=named)
    return folder / "pytorch_lora_weights.safetensors"


def test_a_lora_is_merged_as_diffusers_does(folder, tmp_path):
    file = adapted(tmp_path, "WanPipeline")
    merged = Lumiere.from_pretrained(folder, loras=[f"{file}:0.8"])
    theirs = diffusers.WanPipeline.from_pretrained(folder)
    theirs.load_lora_weights(tmp_path, weight_name=file.name, adapter_name="one")
    theirs.set_adapters("one", 0.8)
    theirs.fuse_lora()
    theirs.unload_lora_weights()
    plain = Lumiere.from_pretrained(folder)
    ours = merged.base.published.parts["transformer"].state_dict()
    base = plain.base.published.parts["transformer"].state_dict()
    for name, value in theirs.transformer.state_dict().items():
        torch.testing.assert_close(ours[name], value, atol=1e-6, rtol=1e-5)
    assert any(not torch.equal(ours[name], base[name]) for name in base)
    assert merged.fingerprint != plain.fingerprint
    assert bytes_of(merged.base.published.parts["transformer"]) == bytes_of(
        plain.base.published.parts["transformer"]
    )


def test_a_lora_of_another_family_is_named_with_its_keys(folder, tmp_path, capsys):
    file = adapted(tmp_path, "LTXPipeline")
    words = ["generate", "a cat", "--model", str(folder), "--lora", f"{file}:0.5"]
    assert main([*words, "-o", str(tmp_path / "cat.mp4")]) == 2
    told = capsys.readouterr().err
    assert "lora: expected layers of WanTransformer3DModel" in told and "lora_A" in told
    assert told.count("\n") == 1 and not (tmp_path / "cat.mp4").exists()


@pytest.mark.parametrize(
    ("text", "path", "weight", "low"),
    [
        ("a/ink.safetensors:0.8", "a/ink.safetensors", 0.8, False),
        ("a/ink.safetensors", "a/ink.safetensors", 1.0, False),
        ("C:/ink.safetensors", "C:/ink.safetensors", 1.0, False),
        ("a/ink.safetensors:low", "a/ink.safetensors", 1.0, True),
        ("a/ink.safetensors:-0.5:low", "a/ink.safetensors", -0.5, True),
    ],
)
def test_loras_are_read(text, path, weight, low):
    assert read_lora(text) == Lora(path=Path(path), weight=weight, low=low)
    with pytest.raises(ValueError, match="lora: expected a weight from -4 to 4, got 9"):
        read_lora("ink.safetensors:9")


def test_each_net_of_two_takes_its_own_lora(folder, tmp_path):
    """Wan 2.2, whose LoRAs come in pairs, for high and low noise levels."""
    file = adapted(tmp_path, "WanPipeline")
    large = save_tiny("WanPipeline large", tmp_path / "large")
    plain = open_published(large, torch.float32)
    for text, changed, same in (
        (f"{file}:0.8", "transformer", "transformer_2"),
        (f"{file}:0.8:low", "transformer_2", "transformer"),
    ):
        published = open_published(large, torch.float32)
        merge_loras(published, [read_lora(text)])
        before, after = plain.parts[changed].state_dict(), published.parts[changed].state_dict()
        assert any(not torch.equal(after[name], value) for name, value in before.items())
        before, after = plain.parts[same].state_dict(), published.parts[same].state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())
    with pytest.raises(ValueError, match="lora: expected a model with a net for low .* leave :low"):
        Lumiere.from_pretrained(folder, loras=[f"{file}:low"])


def test_ours_takes_neither(tiny_model):
    with pytest.raises(ValueError, match="give a LoRA as a style"):
        Lumiere.from_pretrained(tiny_model, memory="8G")


def test_the_doctor_says_what_fits(folder, capsys):
    assert main(["doctor", "--model", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "intact" in told and "8-bit weights of the net" in told and "fits      about" in told
