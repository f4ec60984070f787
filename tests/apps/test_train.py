"""Mistakes at `lumiere train`: one line and exit code 2, before anything is trained or made."""

import json
import re
import tarfile
from io import BytesIO

import pytest
import torch
from PIL import Image

from openlumiere.apps.cli import main
from openlumiere.models.stunet import TEMPORAL_WEIGHTS
from openlumiere_world.batch import WORLD_32, Batches
from openlumiere_world.package import SUBJECTS, open_package


def pack(path, picture, names=tuple(SUBJECTS)):
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(f"package/assets/{name}.webp")
            info.size = len(picture)
            tar.addfile(info, BytesIO(picture))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A package of sprites, damaged ones, the run of a picture net without weights, and a file
    `taken`.
    """
    monkeypatch.chdir(tmp_path)
    picture = BytesIO()
    Image.effect_noise((32, 32), 80).convert("RGBA").save(picture, "WEBP", lossless=True)
    pack("sprites.tgz", picture.getvalue())
    pack("fewer.tgz", picture.getvalue(), list(SUBJECTS)[:3])
    pack("pictures.tgz", b"no picture")
    whole = (tmp_path / "sprites.tgz").read_bytes()
    (tmp_path / "cut.tgz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.tgz").write_bytes(
        whole[:200] + bytes(byte ^ 255 for byte in whole[200:260]) + whole[260:]
    )
    (tmp_path / "taken").write_text("")
    (tmp_path / "older" / "state").mkdir(parents=True)
    (tmp_path / "temporal" / "temporal").mkdir(parents=True)
    (tmp_path / "temporal" / "temporal" / TEMPORAL_WEIGHTS).write_text("")
    (tmp_path / "upscaled" / "upscaler").mkdir(parents=True)
    (tmp_path / "upscaled" / "upscaler" / "model_index.json").write_text("{}")
    (tmp_path / "pictures" / "unet").mkdir(parents=True)
    (tmp_path / "pictures" / "unet" / "config.json").write_text("{}")
    return tmp_path


VIDEO = ["video", "--image-run", "pictures"]
MISTAKES = {
    "stage": (["sound"], "stage: expected one of codec, image, video"),
    "stride 0": ([*VIDEO, "--stride", "0"], "stride: expected 1 to 16"),
    "stride 17": ([*VIDEO, "--stride", "17"], "stride: expected 1 to 16"),
    "batch 0": (["image", "--batch", "0"], "batch: expected"),
    "threads 0": (["image", "--threads", "0"], "threads: expected"),
    "endless": (["image", "--max-minutes", "inf"], "max minutes: expected"),
    "minutes nan": (["image", "--max-minutes", "nan"], "max minutes: expected"),
    "minutes -1": (["image", "--max-minutes", "-1"], "max minutes: expected"),
    "rate nan": (["image", "--learning-rate", "nan"], "learning rate: expected"),
    "rate -1": (["image", "--learning-rate", "-1"], "learning rate: expected"),
    "no image run": (["video"], "image run: expected"),
    "image run without a net": (["video", "--image-run", "nowhere"], "image run: expected"),
    "start without temporal weights": (
        [*VIDEO, "--start", "pictures"],
        "start: expected a run or a model",
    ),
    "start without a picture net": (
        ["video", "--start", "temporal"],
        "start: expected a whole model",
    ),
    "start from nothing": (["image", "--start", "nowhere"], "start: expected a run or a model"),
    "preset": (
        ["image", "--preset", "world-1"],
        "train image: .*--preset.*world-32, world-64, tiny",
    ),
    "device": (["image", "--device", "abacus"], "train image: .*--device.*cpu, cuda"),
    **(
        {}
        if torch.cuda.is_available()
        else {"no device": (["image", "--device", "cuda"], "device: expected a CUDA device")}
    ),
    "low noise 0": (["image", "--low-noise", "0"], "low noise: expected 0.01 to 100"),
    "batch that does not divide": (
        ["image", "--batch", "8", "--parts", "3"],
        "batch: expected a multiple of the 3 parts",
    ),
    "older run": (["image", "-o", "older"], "run: expected a run of this version"),
    "neither world nor package": (["image"], "world: expected one of a built world, .* got none"),
    "both world and package": (
        ["image", "--world", "pictures"],
        "world: expected one of a built world, .* got world and package",
    ),
    "footage without shards": (
        ["image", "--footage", "pictures"],
        "shards: expected a folder that",
    ),
    "an option of another stage": (
        ["image", "--stride", "2"],
        "train image: expected options .*--stride",
    ),
    "a misspelt option": (["image", "--wramup", "2"], "train image: expected options .*--wramup"),
    "conditional from nothing": (
        ["conditional", "--image-run", "pictures"],
        "start: expected a trained video model",
    ),
    "steps 0": (["distill", "--steps", "0"], "steps: expected 1 to 100"),
    "distill temporal weights": (
        ["distill", "--start", "temporal", "--package", "sprites.tgz"],
        "start: expected a run or a model",
    ),
    "distill a model of latents": (
        ["distill", "--model", "toys", "--package", "sprites.tgz"],
        "model: expected one of pixels, got one of latents",
    ),
    "distill into no model": (
        ["distill", "--package", "sprites.tgz", "--export", "nowhere"],
        "export: expected the folder of the model that is distilled",
    ),
    "upscaler without a world": (["upscaler"], "world: expected a built world for upscaler"),
    "upscaler in two processes": (
        ["upscaler", "--world", "w", "--processes", "2", "--batch", "8"],
        "processes: expected 1",
    ),
    "upscaler-video from nothing": (
        ["upscaler-video", "--world", "w"],
        "image run: expected a run with a trained picture net",
    ),
    "base for clips": (
        ["upscaler-video", "--world", "w", "--start", "upscaled", "--base", "pictures"],
        "base: expected it for the stage upscaler",
    ),
    "no package": (["image", "--package", "missing.tgz"], "package: expected"),
    "package of something else": (
        ["image", "--package", __file__],
        "package: expected the sprites",
    ),
    "package of fewer": (["image", "--package", "fewer.tgz"], "package: expected the sprites"),
    "package of no pictures": (
        ["image", "--package", "pictures.tgz"],
        "package: expected the sprites",
    ),
    "package cut": (["image", "--package", "cut.tgz"], "package: expected the sprites"),
    "package flipped": (["image", "--package", "flipped.tgz"], "package: expected the sprites"),
    "run is a file": (["image", "-o", "taken"], "run: expected a folder"),
    "run in a file": (["image", "-o", "taken/run"], "run: expected a folder"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_makes_no_run(folder, capsys, mistake):
    words, told = MISTAKES[mistake]
    named = {"--package", "--world", "--footage"} & {*words} and mistake != "both world and package"
    package = [] if named or "upscaler" in words[0] else ["--package", "sprites.tgz"]
    if mistake == "neither world nor package":
        package = []
    defaults = [*([] if "-o" in words else ["-o", "run"]), *package]
    before = sorted(folder.rglob("*"))
    assert main(["train", *words, *defaults]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and re.match(f"lumiere: {told}", err), err
    assert sorted(folder.rglob("*")) == before


def test_a_dry_run_prints_what_would_be_trained_and_makes_nothing(folder, capsys):
    words = [
        "train",
        "image",
        "-o",
        "run",
        "--package",
        "sprites.tgz",
        "--preset",
        "world-64",
        "--batch",
        "64",
        "--low-noise",
        "1.1",
        "--dry-run",
    ]
    assert main(words) == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["side"], config["loop"]["batch"], config["low_noise"]) == (64, 64, 1.1)
    assert not (folder / "run").exists()


def test_a_package_is_a_world_of_eight_subjects(folder):
    world = open_package(folder / "sprites.tgz")
    assert [item.subject for item in world.items] == list(SUBJECTS)
    batches = Batches(world, WORLD_32, "train", 32)
    drawn = batches.draw(torch.Generator().manual_seed(0), 8, torch.arange(0, 80, 10))
    assert drawn.pixels.shape == (8, 3, 8, 32, 32) and drawn.pixels.std() > 0.1
    assert len(set(drawn.captions)) > 4
