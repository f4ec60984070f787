"""A published folder by its `model_index.json`: each family opens, and whatever is wrong with a
folder ends in one line that says what to do.
"""

import json
import pickle
import shutil

import diffusers
import pytest
import torch

from families import TINY, save_tiny
from nets import picture_net
from openlumiere.backbones.animatediff import AnimateDiffBackbone
from openlumiere.backbones.registry import FAMILIES, open_published
from openlumiere.contract import Backbone
from openlumiere.models.folder import ModelError

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was opened')",))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_tiny("WanPipeline", tmp_path_factory.mktemp("saved") / "wan")


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def pickled(folder):
    """Only pickles, as older models have."""
    (folder / WEIGHTS).unlink()
    with open(folder / "transformer/diffusion_pytorch_model.bin", "wb") as file:
        pickle.dump(Bomb(), file)


def cut(folder):
    """A download that stopped."""
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def half_of_the_shards(folder):
    (folder / WEIGHTS).rename(folder / "transformer/a-00001-of-00002.safetensors")
    files = ["a-00001-of-00002.safetensors", "a-00002-of-00002.safetensors"]
    index = {"weight_map": {"one": files[0], "two": files[1]}}
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


DAMAGE = {
    "an unknown family": (
        lambda f: edit(f / "model_index.json", _class_name="MarvelPipeline"),
        "expected a model of LumierePipeline, .*WanPipeline.*, got MarvelPipeline, name a folder",
    ),
    "a family of code": (
        lambda f: edit(f / "model_index.json", transformer=["pipeline", "MyNet"]),
        "expected WanTransformer3DModel as transformer, got .*MyNet",
    ),
    "only pickles": (pickled, "expected safetensors weights in transformer, got pickles alone"),
    "a shard cut short": (cut, "expected complete safetensors as transformer/.*fetch this file"),
    "a shard that is missing": (half_of_the_shards, "expected the shard a-00002-of-00002"),
    "no text encoder": (
        lambda f: shutil.rmtree(f / "text_encoder"),
        "expected the folder text_encoder in .*, got none, fetch the whole model",
    ),
    "no entry for the text encoder": (
        lambda f: edit(f / "model_index.json", text_encoder=[None, None]),
        "expected UMT5EncoderModel as text_encoder",
    ),
    "remote code": (
        lambda f: edit(f / "text_encoder/config.json", auto_map={"AutoModel": "modeling.Evil"}),
        "expected no auto_map in config.json",
    ),
    "10^9 layers": (
        lambda f: edit(f / "transformer/config.json", num_layers=10**9),
        "expected num_layers of at most 100",
    ),
    "more layers than weights": (
        lambda f: edit(f / "transformer/config.json", num_layers=9),
        "expected .* weights in transformer, got",
    ),
    "fewer layers than weights say": (
        lambda f: edit(f / "transformer/config.json", ffn_dim=8),
        "expected transformer to load",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_folder_ends_in_one_line(saved, tmp_path, what):
    damage, told = DAMAGE[what]
    folder = shutil.copytree(saved, tmp_path / "model")
    damage(folder)
    with pytest.raises(ModelError, match=told) as raised:
        open_published(folder, torch.float32)
    assert "\n" not in str(raised.value) and str(raised.value).startswith("model: ")


def test_pickles_and_pictures_beside_the_weights_are_not_opened(saved, tmp_path):
    """Published folders hold demo files and older forms of their weights."""
    folder = shutil.copytree(saved, tmp_path / "model")
    for name in ("transformer/diffusion_pytorch_model.bin", "old.ckpt"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    (folder / "demo.mp4").write_bytes(b"...")
    assert isinstance(open_published(folder, torch.float32).backbone, Backbone)


def test_shards_load(saved, tmp_path):
    model = open_published(saved, torch.float32)
    shutil.copytree(saved, tmp_path / "model")
    shutil.rmtree(tmp_path / "model/transformer")
    model.parts["transformer"].save_pretrained(
        tmp_path / "model/transformer", max_shard_size="50KB"
    )
    again = open_published(tmp_path / "model", torch.float32)
    assert len(list((tmp_path / "model/transformer").glob("*.safetensors"))) > 1
    for one, other in zip(
        model.parts["transformer"].parameters(),
        again.parts["transformer"].parameters(),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_every_family_has_a_tiny_model():
    made = {FAMILIES[name.split()[0]].build for name in TINY}
    assert made == {family.build for family in FAMILIES.values()}


@pytest.mark.parametrize(("widths", "layers"), [((8, 8), 1), ((8, 16), 2), ((8, 16, 16), 1)])
def test_a_motion_adapter_of_another_picture_net_is_refused(widths, layers):
    net = picture_net(4, 4, widths=(8, 16), heads=4)
    adapter = diffusers.MotionAdapter(
        block_out_channels=widths,
        motion_layers_per_block=layers,
        motion_norm_num_groups=2,
        motion_num_attention_heads=2,
    )
    line = (
        "motion adapter: expected one for .* widths 8, 16 and layers 1, 1, got one for widths 8, "
    )
    with pytest.raises(ValueError, match=line):
        AnimateDiffBackbone.from_parts({"unet": net, "motion_adapter": adapter})
