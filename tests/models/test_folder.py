"""A model folder that someone sent: whatever is wrong with it ends in one line, and nothing in it
runs.
"""

import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from openlumiere import LumierePipeline
from openlumiere.media.digest import sha256_of_file
from openlumiere.models import folder as folder_module
from openlumiere.models.folder import CHECKSUMS, CLASSES, class_of, digest

WEIGHTS = "stunet/diffusion_pytorch_model.safetensors"


def edit_json(path, **changes):
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))


def edit_unet(folder, **changes):
    config = json.loads((folder / "stunet/config.json").read_text())
    edit_json(folder / "stunet/config.json", unet={**config["unet"], **changes})


def edit_weights(folder, change):
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was opened')",))


def drop(folder, name):
    (folder / name).unlink()


def first(weights):
    return sorted(weights)[0]


RECORDED = {  # damage to a folder with checksums
    "no index": lambda f: drop(f, "model_index.json"),
    "no weights": lambda f: drop(f, WEIGHTS),
    "no config": lambda f: drop(f, "stunet/config.json"),
    "no scheduler": lambda f: shutil.rmtree(f / "scheduler"),
    "flipped weight": lambda f: flip(f / WEIGHTS, -1),
    "flipped header": lambda f: flip(f / WEIGHTS, 20),
    "flipped config": lambda f: flip(f / "scheduler/scheduler_config.json", 40),
    "cut weights": lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-100]),
    "a shard more": lambda f: save_file({"more": torch.zeros(1)}, f / "stunet/more.safetensors"),
    "a config more": lambda f: (f / "stunet/generation_config.json").write_text("{}"),
    "checksums of others' files": lambda f: edit_json(
        f / CHECKSUMS, **{"../../../etc/passwd": "0" * 64}
    ),
    "checksums in a list": lambda f: (f / CHECKSUMS).write_text("[1, 2]"),
    "checksums garbage": lambda f: (f / CHECKSUMS).write_text("{" * 9),
}
MADE_UP = {  # folders without checksums: what a stranger may write into them
    "pickle": lambda f: (f / "stunet/diffusion_pytorch_model.bin").write_bytes(
        pickle.dumps(Bomb())
    ),
    "pickle in disguise": lambda f: (f / WEIGHTS).write_bytes(pickle.dumps(Bomb())),
    "zip in disguise": lambda f: torch.save(Bomb(), f / WEIGHTS),
    "code": lambda f: (f / "stunet/modeling.py").write_text("raise SystemExit"),
    "index garbage": lambda f: (f / "model_index.json").write_bytes(b"\xff\xfe\x00garbage"),
    "index nested": lambda f: (f / "model_index.json").write_text("[" * 100_000),
    "index a list": lambda f: (f / "model_index.json").write_text("[]"),
    "index huge": lambda f: (f / "model_index.json").write_text(" " * 2**25 + "{}"),
    "other pipeline": lambda f: edit_json(
        f / "model_index.json", _class_name="StableDiffusionPipeline"
    ),
    "other class": lambda f: edit_json(
        f / "model_index.json", stunet=["diffusers", "UNet3DConditionModel"]
    ),
    "class of os": lambda f: edit_json(f / "model_index.json", scheduler=["os", "system"]),
    "class in an object": lambda f: edit_json(f / "model_index.json", scheduler={"a": 1}),
    "class a list": lambda f: edit_json(
        f / "model_index.json", scheduler=["diffusers", ["DDIMScheduler"]]
    ),
    "no net": lambda f: edit_json(f / "model_index.json", stunet=[None, None]),
    "vae that is not there": lambda f: edit_json(
        f / "model_index.json", vae=["diffusers", "AutoencoderKL"]
    ),
    "unshuffle a word": lambda f: edit_json(f / "model_index.json", unshuffle="x"),
    "unshuffle a list": lambda f: edit_json(f / "model_index.json", unshuffle=[4]),
    "unshuffle 0": lambda f: edit_json(f / "model_index.json", unshuffle=0),
    "path spacing 0": lambda f: edit_json(f / "model_index.json", path_spacing=0),
    "path spacing a word": lambda f: edit_json(f / "model_index.json", path_spacing="5"),
    "path until 1001": lambda f: edit_json(f / "model_index.json", path_until=1001),
    "unshuffle 8": lambda f: edit_json(f / "model_index.json", unshuffle=8),
    "config garbage": lambda f: (f / "stunet/config.json").write_text("{]"),
    "config of another net": lambda f: edit_json(
        f / "stunet/config.json", _class_name="UNet2DConditionModel"
    ),
    "auto_map": lambda f: edit_json(
        f / "stunet/config.json", auto_map={"AutoModel": "modeling.Evil"}
    ),
    "quantisation": lambda f: edit_json(
        f / "stunet/config.json", quantization_config={"quant_method": "gptq"}
    ),
    "10^9 channels": lambda f: edit_unet(f, block_out_channels=[10**9, 10**9]),
    "10^6 channels": lambda f: edit_unet(f, block_out_channels=[10**6, 10**6]),
    "10^9 inputs": lambda f: edit_json(f / "stunet/config.json", in_channels=10**9),
    "10^6 levels": lambda f: edit_unet(f, block_out_channels=[16] * 10**6),
    "10^9 layers": lambda f: edit_unet(f, layers_per_block=10**9),
    "10^9 attentions": lambda f: edit_json(
        f / "stunet/config.json", attention_blocks=[10**9, 1, 1]
    ),
    "infinite width": lambda f: edit_unet(f, cross_attention_dim=float("inf")),
    "2^200": lambda f: edit_unet(f, norm_num_groups=2**200),
    "negative width": lambda f: edit_unet(f, block_out_channels=[-16, 32]),
    "no groups": lambda f: edit_unet(f, norm_num_groups=0),
    "unknown block": lambda f: edit_unet(f, down_block_types=["DownBlock2D", "K-block"]),
    "unknown activation": lambda f: edit_unet(f, act_fn="__import__('os')"),
    "unknown schedule": lambda f: edit_json(
        f / "scheduler/scheduler_config.json", beta_schedule="mine"
    ),
    "10^9 timesteps": lambda f: edit_json(
        f / "scheduler/scheduler_config.json", num_train_timesteps=10**9
    ),
    "wrong shape": lambda f: edit_weights(f, lambda w: w.update({first(w): torch.zeros(3, 3)})),
    "a tensor less": lambda f: edit_weights(f, lambda w: w.pop(first(w))),
    "a tensor more": lambda f: edit_weights(f, lambda w: w.update({"more": torch.zeros(1)})),
    "a tensor twice": lambda f: shutil.copy(f / WEIGHTS, f / "stunet/zz.safetensors"),
    "NaN": lambda f: edit_weights(f, lambda w: w[first(w)].fill_(float("nan"))),
    "header of 2^60 bytes": lambda f: (f / WEIGHTS).write_bytes(
        (2**60).to_bytes(8, "little") + b"{}"
    ),
    "empty weights": lambda f: (f / WEIGHTS).write_bytes(b""),
}


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def refuse(folder):
    with pytest.raises(ValueError, match=r"^\w+: expected .+, got .+, .+$") as caught:
        LumierePipeline.from_pretrained(folder)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", RECORDED)
def test_damage_is_found_before_use(folder, damage):
    RECORDED[damage](folder)
    refuse(folder)


@pytest.mark.parametrize("attack", MADE_UP)
def test_what_a_stranger_wrote_is_refused(folder, attack):
    (folder / CHECKSUMS).unlink()
    MADE_UP[attack](folder)
    refuse(folder)


def test_a_folder_without_checksums_loads(folder):
    (folder / CHECKSUMS).unlink()
    LumierePipeline.from_pretrained(folder)


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "stunet/.hidden.safetensors"])
def test_notes_and_hidden_files_change_nothing(folder, name):
    (folder / name).write_bytes(b"some words")
    LumierePipeline.from_pretrained(folder)


@pytest.mark.parametrize("damage", ["a shard more", "a config more"])
def test_what_is_not_listed_is_named(folder, damage):
    RECORDED[damage](folder)
    with pytest.raises(ValueError, match="only the files that checksums.json lists"):
        LumierePipeline.from_pretrained(folder)


def test_a_tensor_in_two_files_is_named(folder):
    (folder / CHECKSUMS).unlink()
    MADE_UP["a tensor twice"](folder)
    with pytest.raises(ValueError, match="again in zz.safetensors"):
        LumierePipeline.from_pretrained(folder)


@pytest.mark.parametrize("folder", ["missing", "name/on-a-hub", ""])
def test_no_folder(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse(folder)


def test_listed_classes_run_no_code_of_a_folder():
    for component, listed in CLASSES.items():
        for name, package in listed.items():
            assert package.split(".")[0] in ("openlumiere", "diffusers", "transformers")
            kind = class_of(component, [package, name])
            assert name in (kind.__name__, f"{kind.__name__}Fast")
            assert kind.__module__.split(".")[0] == package.split(".")[0]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "STUNet",
        ["STUNet"],
        ["os", "system"],
        ["openlumiere", ["STUNet"]],
        ["openlumiere", None],
        {"openlumiere": "STUNet"},
    ],
)
def test_a_class_that_is_not_listed_is_refused(entry):
    with pytest.raises(ValueError, match="^model: expected STUNet as stunet, got .+, convert"):
        class_of("stunet", entry)


def test_a_file_is_hashed_once_until_it_changes(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(
        folder_module, "sha256_of_file", lambda path: read.append(path) or sha256_of_file(path)
    )
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"one")
    first = digest(file)
    assert digest(file) == first
    assert len(read) == 1
    before = file.stat()
    file.write_bytes(b"two")  # of the same length, and given its old time stamp
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest(file) != first
    assert len(read) == 2
