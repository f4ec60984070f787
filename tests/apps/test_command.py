"""The command as a person calls it: what it prints, what it answers, and what it leaves behind."""

import os
import resource
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from openlumiere.apps.cli import MADE, OTHERS, VERBS, main, one_line
from openlumiere.apps.cli.loading import warn_of_memory
from openlumiere.engine.finish import read_sidecar
from openlumiere.engine.precision import dtype_of
from openlumiere.media import Clip, load_image
from openlumiere.tasks import KINDS, Sampling

PROMPT = "a dog moves right on a green background"
QUICK = ["--steps", "1", "--frames", "4", "--size", "0", "--dtype", "float32"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to write into, also the current one."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def call(tiny_model, capsys, monkeypatch):
    """Run the command on the tiny model: exit code, lines of stdout, lines of stderr."""

    monkeypatch.setattr("openlumiere.apps.cli.console.EVERY", 3600)  # on a slow machine, too

    def run(*words, model=tiny_model):
        model_words = (
            ["--model", str(model)] if words and words[0] in ("generate", "image", "doctor") else []
        )
        code = main([*words, *model_words])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(call, folder, *words, **options):
    """Exit code 2, one line that says what was expected, nothing on stdout, nothing written."""
    code, out, err = call(*words, **options)
    assert (code, out, len(err)) == (2, [], 1), (code, out, err)
    assert err[0].startswith("lumiere: ") and err[0].isprintable() and len(err[0]) < 1100
    assert names(folder) == []
    return err[0]


@pytest.mark.parametrize(
    "prompt", [PROMPT, "🐶🚀 sale", "כלב זז ימינה", "كلب يتحرك إلى اليمين", "猫が右に動く"]
)
def test_a_sentence_becomes_a_clip(call, folder, prompt):
    code, out, err = call("generate", prompt, "-o", "clip.mp4", "--seed", str(2**63 - 1), *QUICK)
    assert (code, out, err) == (0, ["clip.mp4"], [])
    assert names(folder) == ["clip.mp4", "clip.mp4.json"]
    assert len(Clip.load("clip.mp4")) == 4
    task = read_sidecar("clip.mp4").task
    assert (task.prompt, task.sampling.seed) == (prompt, 2**63 - 1)


@pytest.mark.parametrize("output", ["clip.webm", "clip.gif", "clip.webp", "frames/"])
def test_outputs_by_extension(call, folder, output):
    assert call("generate", PROMPT, "-o", output, *QUICK) == (0, [output], [])
    assert Clip.load(folder / output).frames.shape == (4, 16, 16, 3)
    assert (folder / (output.rstrip("/") + ".json")).is_file()


@pytest.mark.parametrize("output", ["clip.mp4", "clip.webm", "clip.webp", "frames/"])
def test_lossless_keeps_what_the_net_made_and_the_mark(call, folder, tiny, output):
    assert call("generate", PROMPT, "-o", output, "--lossless", *QUICK)[0] == 0
    made = tiny.replay(read_sidecar(folder / output))
    assert np.array_equal(Clip.load(folder / output).frames, made.origin.seal(made.frames))


def test_count_numbers_the_files(call, folder):
    code, out, _ = call(
        "generate", PROMPT, "-o", "clip.webp", "--count", "3", "--seed", "5", *QUICK
    )
    assert (code, out) == (0, ["clip-1.webp", "clip-2.webp", "clip-3.webp"])
    assert [read_sidecar(name).task.sampling.seed for name in out] == [5, 6, 7]
    assert call("generate", PROMPT, "-o", "v1.5/", "--count", "2", *QUICK)[1] == [
        "v1.5-1/",
        "v1.5-2/",
    ]


def test_preview_pictures(call, folder):
    assert call(
        "generate",
        PROMPT,
        "-o",
        "clip.mp4",
        "--preview",
        "--frames",
        "20",
        "--steps",
        "1",
        "--size",
        "0",
    )[1] == ["clip.mp4"]
    assert names(folder) == [
        name + end
        for name in ("clip.mp4", "clip.mp4.sheet.png", "clip.mp4.xt.png")
        for end in ("", ".json")
    ]
    assert load_image("clip.mp4.sheet.png").shape == (60, 80, 3)
    assert load_image("clip.mp4.xt.png").shape == (20, 16, 3)


def test_options_reach_the_net(call, folder):
    call("generate", PROMPT, "-o", "plain.webp", *QUICK)
    words = [
        "--seconds",
        "0.5",
        "--fps",
        "8",
        "--guidance",
        "2.5",
        "--negative",
        "a cat",
        "--scheduler",
        "dpm++",
        "--steps",
        "2",
        "--size",
        "20",
    ]
    assert call("generate", PROMPT, "-o", "clip.webp", *words)[0] == 0
    task = read_sidecar("clip.webp").task
    assert (task.length.count, task.length.fps, task.size) == (4, 8, 20)
    assert task.sampling == Sampling(
        guidance=2.5, negative="a cat", scheduler="dpm++", steps=2, seed=0
    )
    assert Clip.load("clip.webp").fps == 8


def test_a_sentence_becomes_a_picture(call, folder):
    assert call("image", PROMPT, "-o", "dog.png", "--steps", "1", "--size", "24") == (
        0,
        ["dog.png"],
        [],
    )
    assert load_image("dog.png").shape == (24, 24, 3)
    assert read_sidecar("dog.png").task.kind == "image"


REFUSED = {
    "empty prompt": ["generate", "", "-o", "a.mp4"],
    "blank prompt": ["generate", "  ", "-o", "a.mp4"],
    "long prompt": ["generate", "x" * 2001, "-o", "a.mp4"],
    "control character": ["generate", "a\x07dog", "-o", "a.mp4"],
    "escape": ["generate", "\x1b[2Ja dog", "-o", "a.mp4"],
    "lone surrogate": ["generate", "a \udcff dog", "-o", "a.mp4"],
    "negative escape": ["generate", PROMPT, "-o", "a.mp4", "--negative", "\x1b"],
    "frames 0": ["generate", PROMPT, "-o", "a.mp4", "--frames", "0"],
    "frames 10^9": ["generate", PROMPT, "-o", "a.mp4", "--frames", str(10**9)],
    "frames of 400 digits": ["generate", PROMPT, "-o", "a.mp4", "--frames", "9" * 400],
    "frames of 5000 digits": ["generate", PROMPT, "-o", "a.mp4", "--frames", "9" * 5000],
    "frames and seconds": ["generate", PROMPT, "-o", "a.mp4", "--frames", "8", "--seconds", "1"],
    "seconds nan": ["generate", PROMPT, "-o", "a.mp4", "--seconds", "nan"],
    "cost": ["generate", PROMPT, "-o", "a.mp4", "--frames", "9000", "--size", "4096"],
    "steps 0": ["generate", PROMPT, "-o", "a.mp4", "--steps", "0"],
    "guidance nan": ["generate", PROMPT, "-o", "a.mp4", "--guidance", "nan"],
    "guidance inf": ["generate", PROMPT, "-o", "a.mp4", "--guidance", "inf"],
    "guidance a word": ["generate", PROMPT, "-o", "a.mp4", "--guidance", "strong"],
    "seed -1": ["generate", PROMPT, "-o", "a.mp4", "--seed", "-1"],
    "seed 2^63": ["generate", PROMPT, "-o", "a.mp4", "--seed", str(2**63)],
    "seed 2^63 by count": [
        "generate",
        PROMPT,
        "-o",
        "a.mp4",
        "--seed",
        str(2**63 - 1),
        "--count",
        "2",
    ],
    "seed 1.5": ["generate", PROMPT, "-o", "a.mp4", "--seed", "1.5"],
    "fps 0": ["generate", PROMPT, "-o", "a.mp4", "--fps", "0"],
    "fps 1/0": ["generate", PROMPT, "-o", "a.mp4", "--fps", "1/0"],
    "count 0": ["generate", PROMPT, "-o", "a.mp4", "--count", "0"],
    "size -1": ["generate", PROMPT, "-o", "a.mp4", "--size", "-1"],
    "scheduler": ["generate", PROMPT, "-o", "a.mp4", "--scheduler", "magic"],
    "dtype": ["generate", PROMPT, "-o", "a.mp4", "--dtype", "int8"],
    "device": ["generate", PROMPT, "-o", "a.mp4", "--device", "abacus"],
    "device that is not here": ["generate", PROMPT, "-o", "a.mp4", "--device", "xpu"],
    "device without memory": ["generate", PROMPT, "-o", "a.mp4", "--device", "meta"],
    "unknown option": ["generate", PROMPT, "-o", "a.mp4", "--sparkle"],
    "option in colour": ["generate", PROMPT, "-o", "a.mp4", "--\x1b[31m"],
    "option without value": ["generate", PROMPT, "-o"],
    "two prompts": ["generate", PROMPT, PROMPT, "-o", "a.mp4"],
    "no output": ["generate", PROMPT],
    "no prompt": ["generate", "-o", "a.mp4"],
    "unknown verb": ["levitate", PROMPT],
    "verb with a path": ["../generate", PROMPT],
    "verb of control characters": ["\x1b[31m"],
    "unknown extension": ["generate", PROMPT, "-o", "a.avi"],
    "no extension": ["generate", PROMPT, "-o", "a"],
    "empty output": ["generate", PROMPT, "-o", ""],
    "output of control characters": ["generate", PROMPT, "-o", "a\x07.mp4"],
    "output not in utf-8": ["generate", PROMPT, "-o", "a\udcff.mp4"],
    "output of NUL": ["generate", PROMPT, "-o", "a\0.mp4"],
    "output name too long": ["generate", PROMPT, "-o", "a" * 300 + ".mp4", *QUICK],
    "no folder": ["generate", PROMPT, "-o", "missing/a.mp4"],
    "folder is a file": ["generate", PROMPT, "-o", "/dev/null/a.mp4"],
    "png of many frames": ["generate", PROMPT, "-o", "a.png"],
    "lossless gif": ["generate", PROMPT, "-o", "a.gif", "--lossless"],
    "picture as a clip": ["image", PROMPT, "-o", "a.mp4"],
    "picture without folder": ["image", PROMPT, "-o", "missing/a.png"],
    "picture of 2^40": ["image", PROMPT, "-o", "a.png", "--size", str(2**40)],
    "picture of nothing": ["image", "", "-o", "a.png"],
    "doctor of 0 frames": ["doctor", "--frames", "0"],
    "doctor on an abacus": ["doctor", "--device", "abacus"],
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_are_one_line_and_leave_nothing(call, folder, mistake):
    line = refused(call, folder, *REFUSED[mistake])
    assert "expected" in line or "--help" in line


def test_a_mistake_is_found_before_the_model_is_read(call, folder):
    line = refused(call, folder, "generate", PROMPT, "-o", "missing/a.mp4", model="nowhere")
    assert "folder that exists" in line
    assert "nowhere" in refused(call, folder, "generate", PROMPT, "-o", "a.mp4", model="nowhere")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["generate", PROMPT, "-o", "a.avi"], "expected one of .mp4"),
        (["generate", PROMPT, "--style", "no.safetensors", "-o", "a.mp4"], "style 0: expected"),
        (["animate", "no.png", PROMPT, "-o", "a.mp4"], "image: expected a file"),
        (["mend", "no.mp4", "-o", "a.mp4"], "clip: expected a file or folder that exists"),
    ],
)
def test_a_wrong_path_is_found_before_torch_is_imported(call, folder, monkeypatch, words, told):
    monkeypatch.setattr("openlumiere.apps.cli.make.make_all", lambda *_: pytest.fail("too late"))
    assert told in refused(call, folder, *words)


@pytest.mark.parametrize("damage", ["missing file", "flipped byte", "pickle"])
def test_broken_weights(call, folder, tiny_model, tmp_path, damage):
    broken = shutil.copytree(tiny_model, tmp_path / "broken")
    weights = next(broken.rglob("*.safetensors"))
    if damage == "missing file":
        weights.unlink()
    elif damage == "pickle":
        weights.with_suffix(".bin").write_bytes(b"\x80\x04.")
    else:
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
    assert "model: expected" in refused(
        call, folder, "generate", PROMPT, "-o", "a.mp4", model=broken
    )
    code, out, err = call("doctor", model=broken)
    assert (code, err) == (1, []) and any(
        line.startswith("weights   not well: model: expected") for line in out
    )


@pytest.mark.parametrize("output", ["a.mp4", "a.gif", "frames/"])
def test_no_room_while_writing(call, folder, output):
    """A limit on the size of files stands for a full disk: the write fails half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        refused(call, folder, "generate", PROMPT, "-o", output, *QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_keeps_the_older_file(call, folder):
    (folder / "a.webp").write_bytes(b"older")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        assert call("generate", PROMPT, "-o", "a.webp", *QUICK)[0] == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(folder) == ["a.webp"] and (folder / "a.webp").read_bytes() == b"older"


def test_a_folder_of_others_is_not_written_into(call, tmp_path, monkeypatch):
    """As a user without rights to it; root may write everywhere."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        root = os.getuid() == 0
        if root:
            os.setresuid(65534, 65534, 0)
        try:
            code, out, err = call("generate", PROMPT, "-o", f"{name}/a.mp4")
        finally:
            if root:
                os.setresuid(0, 0, 0)
        assert (code, out, len(err)) == (2, [], 1) and "folder that can be written" in err[0]
        assert os.listdir(name) == []
        Path(name).chmod(0o755)


def test_a_folder_with_other_files_is_kept(call, folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "letter.txt").write_text("dear")
    assert call("generate", PROMPT, "-o", "mine/")[0] == 2
    assert names(folder) == ["mine", "mine/letter.txt"]


def test_help_and_version(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in VERBS)
    assert main(["--version"]) == 0 and capsys.readouterr().out.strip()
    with pytest.raises(SystemExit) as stopped:
        main(["generate", "--help"])
    assert stopped.value.code == 0 and "--guidance" in capsys.readouterr().out


@pytest.mark.parametrize("verb", OTHERS)
def test_every_other_verb_is_there(verb):
    from importlib import import_module

    assert callable(import_module(f"openlumiere.apps.cli.{verb}").main)


def test_every_task_is_a_verb():
    assert list(MADE) == list(KINDS)


def test_doctor(call):
    code, out, err = call("doctor", "--frames", "160", "--size", "512", "--steps", "4")
    told = {line.split()[0]: line for line in out}
    assert (code, err) == (0, []) and list(told) == [
        "device",
        "memory",
        "versions",
        "text",
        "weights",
        "run",
    ]
    assert (
        "cpu, 1 threads" in told["device"]
        and "GiB free" in told["memory"]
        and "torch 2." in told["versions"]
    )
    assert told["text"].endswith("intact") and told["weights"].endswith("intact")
    assert "160 frames of 512 px in 4 steps: about 0.8 GiB in all" in told["run"] and told[
        "run"
    ].endswith("fits")


def test_too_little_memory_is_told(call, tiny, capsys, monkeypatch):
    for room in ("loading", "examine"):
        monkeypatch.setattr(f"openlumiere.apps.cli.{room}.free_memory", lambda device: 2**28)
    warn_of_memory(2**30, tiny)
    assert (
        capsys.readouterr().err
        == "lumiere: this may take 1.0 GiB of memory and 0.2 GiB are free; fewer frames take less\n"
    )
    code, out, _ = call("doctor")
    assert code == 0 and out[-1].endswith("may not fit: ask for fewer frames or a smaller size")


def test_enough_memory_is_not_told(tiny, capsys):
    warn_of_memory(1, tiny)
    assert capsys.readouterr().err == ""


def test_one_line():
    assert one_line("a\nb\t c\x1b[31m\u2028d") == "a b c\\x1b[31m d"
    assert len(one_line("x" * 5000)) == 1000


def test_bytes_are_the_frames_of_the_net(call, folder, tiny):
    call("generate", PROMPT, "-o", "clip.webp", "--lossless", "--seed", "9", *QUICK)
    again = tiny.generate(PROMPT, seed=9, steps=1, frames=4, size=0)
    assert np.array_equal(Clip.load("clip.webp").frames, again.origin.seal(again.frames))


def test_the_fastest_precision_is_by_what_the_processor_says(monkeypatch):
    for names, dtype in (({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda names=names: names)
        assert dtype_of("auto", "cpu") is dtype
