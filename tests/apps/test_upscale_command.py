import json
import shutil

import numpy as np
import pytest

from openlumiere import Clip, Lumiere
from openlumiere.apps.cli import main
from openlumiere.engine.finish import read_sidecar

# diffusers 0.42 turns tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def cascade(tiny_model, build_tiny_upscaler, tmp_path_factory):
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("cascade") / "model")
    build_tiny_upscaler().save_pretrained(folder / "upscaler")
    return folder


@pytest.fixture
def small(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 18, 26, 3), dtype=np.uint8)
    return Clip(frames, fps=12).save(tmp_path / "small.mp4", lossless=True)


def test_any_clip_becomes_four_times_as_large(cascade, small, tmp_path, capsys):
    out = tmp_path / "large.mp4"
    assert (
        main(
            [
                "upscale",
                str(small),
                "-o",
                str(out),
                "--model",
                str(cascade),
                "--steps",
                "1",
                "--lossless",
            ]
        )
        == 0
    )
    assert capsys.readouterr().out.strip().endswith(str(out))
    large = Clip.load(out)
    assert large.size == (104, 72) and len(large) == 5 and large.fps == 12
    record = read_sidecar(out)
    assert record.task.kind == "upscale" and list(record.task.media()) == ["clip"]


def test_a_model_without_a_net_takes_the_bundled_one(tiny_model, small, tmp_path):
    large = tmp_path / "large.mp4"
    words = ["--model", str(tiny_model), "--steps", "1"]
    assert main(["upscale", str(small), "-o", str(large), *words]) == 0
    clip = Clip.load(small)
    assert Clip.load(large).size == tuple(4 * side for side in clip.size)
    record = read_sidecar(large)
    lumiere = Lumiere.from_pretrained(tiny_model, dtype=record.machine.dtype)
    assert record.model == lumiere.fingerprint_for(record.task) != lumiere.fingerprint


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--noise", "2"], "noise: expected 0 to 1"), (["--memory-limit", "much"], "memory limit:")],
)
def test_mistakes_are_told_in_a_line(cascade, small, tmp_path, capsys, words, message):
    assert (
        main(
            [
                "upscale",
                str(small),
                "-o",
                str(tmp_path / "large.mp4"),
                "--model",
                str(cascade),
                *words,
            ]
        )
        == 2
    )
    assert message in capsys.readouterr().err


def test_the_cascade_runs_by_default_and_can_be_left_out(cascade, tmp_path):
    made = {}
    for name, words in {
        "cascade": [],
        "plain": ["--no-upscale"],
        "shots": ["--shot", "a star", "--shot", "a frog", "--no-upscale"],
    }.items():
        out = tmp_path / f"{name}.mp4"
        asked = [
            "generate",
            "a dog",
            "-o",
            str(out),
            "--model",
            str(cascade),
            "--frames",
            "4",
            "--steps",
            "1",
            "--size",
            "64",
            "--lossless",
        ]
        assert main([*asked, *words]) == 0
        made[name] = Clip.load(out).frames
    assert made["cascade"].shape == made["plain"].shape == (4, 64, 64, 3) and made[
        "shots"
    ].shape == (12, 64, 64, 3)
    assert not np.array_equal(made["cascade"], made["plain"])


def test_enlargement_is_measured_beside_resampling(cascade, small, tmp_path, capsys):
    found = {}
    for name, words in {
        "model": ["--model", str(cascade)],
        "net alone": ["--upscaler", str(cascade / "upscaler")],
    }.items():
        out = tmp_path / "found.json"
        asked = [
            "evaluate",
            "upscale",
            "--clips",
            str(small),
            "--frames",
            "3",
            "--side",
            "20",
            "--steps",
            "1,2",
            "--out",
            str(out),
        ]
        assert main([*asked, *words]) == 0
        found[name] = json.loads(out.read_text())["measured"]["small.mp4"]
    assert "| small.mp4 | PSNR | SSIM | features | flicker | wavering |" in capsys.readouterr().out
    assert (
        set(found["model"]) == {"net, 1 step", "net, 2 steps", "bicubic", "lanczos"}
        and found["model"] == found["net alone"]
    )
    assert found["model"]["net, 1 step"] != found["model"]["net, 2 steps"]
