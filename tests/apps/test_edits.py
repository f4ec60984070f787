"""The creative tasks as a person calls them."""

import json
import re
from fractions import Fraction

import av
import numpy as np
import pytest

from openlumiere.apps.cli import main
from openlumiere.engine.finish import read_sidecar
from openlumiere.media import Clip, load_image, save_image

MARKED = 5  # levels that the mark in a written clip moves a pixel at most
QUICK = ["--steps", "1", "--guidance", "1"]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def off(made, given):
    return int(np.abs(made.astype(int) - given).max())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of inputs; `out` in it is empty."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    save_image(noise(18, 30, 3), "cat.png")
    save_image(noise(18, 30, 3, seed=1), "end.png")
    save_image(np.repeat(np.eye(18, 30)[..., None] > 0, 3, axis=2) * np.uint8(255), "mask.png")
    Clip(noise(5, 18, 30, 3), Fraction(30000, 1001)).save("cat.mp4", lossless=True)
    return tmp_path


@pytest.fixture
def call(tiny_model, capsys, monkeypatch):
    monkeypatch.setattr("openlumiere.apps.cli.console.EVERY", 3600)  # on a slow machine, too

    def run(*words):
        code = main([*words, "--model", str(tiny_model)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


CALLS = {
    "animate": ["animate", "cat.png", "the cat jumps", "--keyframe", "3=end.png", "--frames", "4"],
    "animate between": [
        "animate",
        "-",
        "--keyframe",
        "0=cat.png",
        "--keyframe",
        "3=end.png",
        "--frames",
        "4",
        "--motion",
        "0.5",
    ],
    "animate from a prompt": [
        "animate",
        "a cat",
        "it jumps",
        "--from-prompt",
        "--frames",
        "2",
        "--size",
        "16",
    ],
    "inpaint a box": ["inpaint", "cat.mp4", "a red hat", "--region", "0.2,0.2,0.8,0.8"],
    "inpaint a mask": ["inpaint", "cat.mp4", "--region", "mask.png", "--keep", "soft"],
    "outpaint": ["outpaint", "cat.mp4", "a meadow", "--to", "40x30"],
    "mend": ["mend", "cat.mp4", "--region", "0,0,0.5,0.5"],
    "cinemagraph": [
        "cinemagraph",
        "cat.png",
        "smoke rises",
        "--region",
        "0: 0,0,0.5,0.5; 3: 0.5,0.5,1,1",
        "--loop",
        "--frames",
        "4",
        "--feather",
        "0",
    ],
    "restyle": [
        "restyle",
        "cat.mp4",
        "as a line drawing",
        "--strength",
        "0.7",
        "--structure",
        "0.5",
        "--steps",
        "2",
    ],
}


@pytest.mark.parametrize("what", CALLS)
def test_every_task_has_its_command(call, folder, what):
    code, out, err = call(
        *CALLS[what],
        "-o",
        "out/made.webp",
        "--lossless",
        "--seed",
        "5",
        *(QUICK if what != "restyle" else []),
    )
    assert (code, out, err) == (0, ["out/made.webp"], [])
    record = read_sidecar("out/made.webp")
    assert record.task.kind == CALLS[what][0] and record.task.sampling.seed == 5
    assert record.task.media()
    made = Clip.load("out/made.webp")
    if what == "animate":
        assert (
            off(made.frames[0], load_image("cat.png")) <= MARKED
            and off(made.frames[3], load_image("end.png")) <= MARKED
        )
        assert {role: media.name for role, media in record.task.media().items()} == {
            "image": "cat.png",
            "frame 3": "end.png",
        }
    if what == "inpaint a box":
        assert (
            made.fps == Fraction(30000, 1001)
            and off(made.frames[:, :3], Clip.load("cat.mp4").frames[:, :3]) <= MARKED
        )


def test_the_picture_of_a_prompt_is_kept_beside(call, folder):
    assert (
        call(*CALLS["animate from a prompt"], "-o", "out/made.webp", "--lossless", *QUICK)[0] == 0
    )
    assert (
        off(Clip.load("out/made.webp").frames[0], load_image("out/made.webp.first.png"))
        <= 2 * MARKED
    )


def test_learn_a_style_and_use_it(call, folder):
    words = [
        "learn-style",
        "cat.png",
        "end.png",
        "--name",
        "noise",
        "--prompt",
        "a cat",
        "--steps",
        "2",
        "--batch",
        "2",
        "--rank",
        "2",
        "-o",
        "out/noise.safetensors",
    ]
    code, out, said = call(*words)
    assert (code, out) == (0, ["out/noise.safetensors"])
    assert len(said) == 5 and all("does not look like 'a cat'" in line for line in said[:2])
    loss, shown, following = said[2:]
    assert re.fullmatch(r"lumiere: learn-style: loss \d.* at first, \d.* at last", loss)
    assert shown.endswith("out/noise.safetensors.preview.png shows 'a cat' in it")
    assert "generate 'a cat' --style out/noise.safetensors -o styled.mp4" in following
    drawn = read_sidecar("out/noise.safetensors.preview.png").task
    assert (drawn.kind, drawn.prompt, drawn.styles[0].weight) == ("image", "a cat", 1)
    styled = [
        "generate",
        "a cat",
        "-o",
        "out/a.webp",
        "--style",
        "out/noise.safetensors",
        "--style-weight",
        "0.5",
        "--frames",
        "2",
        "--size",
        "0",
        *QUICK,
    ]
    assert call(*styled) == (0, ["out/a.webp"], [])
    (styling,) = read_sidecar("out/a.webp").task.styles
    assert styling.weight == 0.5 and styling.style.name == "noise.safetensors"


def test_what_was_made_is_looked_at(call, folder):
    save_image(np.full((18, 30, 3), 90, np.uint8), "blank.png")
    words = ["animate", "cat.png", "--keyframe", "3=blank.png", "--frames", "4", *QUICK]
    strict = [*words, "--strict", "-o", "out/a.webp"]
    code, out, err = call(*strict)
    assert (code, out) == (1, []) and not list((folder / "out").iterdir())
    assert err[0].startswith("lumiere: found in what was made: blank: frames 3 to 3 (0.19 to")
    assert err[1].startswith("lumiere: strict: expected no finding, got blank: frames 3 to 3")
    code, out, err = call(*words, "-o", "out/a.webp")
    assert (code, len(err)) == (0, 1)
    record = json.loads((folder / "out/a.webp.json").read_text())
    assert record["findings"] == ["blank: frames 3 to 3 (0.19 to 0.25 s), 1 of 4 without a picture"]
    assert read_sidecar("out/a.webp").task.kind == "animate"


def test_what_the_user_gave_is_only_said(call, folder):
    frames = noise(5, 18, 30, 3)
    frames[2] = 90
    Clip(frames).save("gap.webp", lossless=True)
    words = ["restyle", "gap.webp", "as a drawing", "--strength", "0", "--strict", *QUICK]
    code, _, err = call(*words, "-o", "out/a.webp", "--lossless")
    assert code == 0 and len(err) == 1 and err[0].endswith("(what was given has it, too)")


def broken(folder):
    """The first half of a long clip."""
    Clip(noise(60, 16, 16, 3)).save("long.webm")
    data = (folder / "long.webm").read_bytes()
    (folder / "broken.webm").write_bytes(data[: len(data) // 2])


def test_a_clip_broken_in_the_middle_says_where(call, folder):
    broken(folder)
    words = ["inpaint", "broken.webm", "--region", "0,0,0.5,0.5", "-o", "out/a.webp", *QUICK]
    code, out, err = call(*words)
    assert (
        (code, out, len(err)) == (2, [], 1)
        and "second" in err[0]
        and "allow_partial" in err[0].replace("-", "_")
    )
    assert not list((folder / "out").iterdir())
    assert call(*words, "--allow-partial")[0] == 0 and 1 <= len(Clip.load("out/a.webp")) < 60


def record(path, frames, times, turn=0):
    """A clip as a phone writes it: held sideways, frames when they come (times in milliseconds)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=10, options={"qp": "0", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "rgb24"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.set_display_rotation(turn)
        for frame, time in zip(frames, times, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = time
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def test_a_clip_held_sideways_is_edited_upright(call, folder):
    frames = noise(3, 16, 24, 3)
    record("turned.mp4", frames, [0, 100, 200], turn=90)
    assert (
        call(
            "inpaint",
            "turned.mp4",
            "--region",
            "0,0,1,0.5",
            "-o",
            "out/a.webp",
            "--lossless",
            *QUICK,
        )[0]
        == 0
    )
    made = Clip.load("out/a.webp")
    assert (
        made.size == (16, 24)
        and off(made.frames[:, 12:], np.rot90(frames, 1, (1, 2))[:, 12:]) <= MARKED
    )


def test_a_clip_of_variable_rate_keeps_its_times(call, folder):
    """The frame on the screen fills the gap."""
    frames = noise(4, 16, 16, 3)
    record("phone.mkv", frames, [0, 100, 200, 500])
    assert (
        call(
            "inpaint",
            "phone.mkv",
            "--region",
            "0,0,0.5,1",
            "-o",
            "out/a.webp",
            "--lossless",
            *QUICK,
        )[0]
        == 0
    )
    made = Clip.load("out/a.webp")
    assert (
        made.fps == 10
        and off(made.frames[:, :, 8:], frames[[0, 1, 2, 2, 2, 3]][:, :, 8:]) <= MARKED
    )


@pytest.mark.parametrize(
    "words",
    [
        ["restyle", "as a drawing", "--strength", "0"],
        ["outpaint", "--to", "30x18"],
    ],
)
def test_what_is_all_known_comes_back_unmarked(call, folder, words):
    """Strength 0, frames of the same size: the input's own pixels, and nobody
    says they were made.
    """
    assert call(words[0], "cat.mp4", *words[1:], "-o", "out/a.webp", "--lossless", *QUICK)[0] == 0
    assert (
        Clip.load("out/a.webp") == Clip.load("cat.mp4")
        and not (folder / "out/a.webp.json").exists()
    )


def test_nothing_known_makes_all_anew(call, folder):
    assert (
        call(
            "inpaint",
            "cat.mp4",
            "a cat",
            "--region",
            "0,0,1,1",
            "-o",
            "out/a.webp",
            "--lossless",
            *QUICK,
        )[0]
        == 0
    )
    assert off(Clip.load("out/a.webp").frames[:, :4], Clip.load("cat.mp4").frames[:, :4]) > MARKED


def test_an_edit_tells_of_memory_before_it_runs(call, folder, monkeypatch):
    monkeypatch.setattr("openlumiere.apps.cli.loading.free_memory", lambda device: 2**28)
    code, _, err = call("outpaint", "cat.mp4", "--to", "40x30", "-o", "out/a.webp", *QUICK)
    assert (
        code == 0
        and len(err) == 1
        and err[0].startswith("lumiere: this may take 0.")
        and "0.2 GiB are free" in err[0]
    )


REFUSED = {
    "mask of nothing": ["inpaint", "cat.mp4", "--region", "nothing.png"],
    "mask of everything": ["inpaint", "cat.mp4", "--region", "all.png"],
    "mask of another size": ["inpaint", "cat.mp4", "--region", "small.png"],
    "no region": ["inpaint", "cat.mp4"],
    "region of words": ["inpaint", "cat.mp4", "--region", "the hat"],
    "more keyframes than frames": [
        "animate",
        "cat.png",
        "--keyframe",
        "4=end.png",
        "--frames",
        "4",
    ],
    "keyframe without a frame": ["animate", "cat.png", "--keyframe", "end.png"],
    "keyframe of another size": [
        "animate",
        "cat.png",
        "--keyframe",
        "1=small.png",
        "--frames",
        "4",
    ],
    "keyframe that is missing": ["animate", "cat.png", "--keyframe", "1=missing.png"],
    "picture of one pixel": ["animate", "dot.png"],
    "picture of a thread": ["animate", "thread.png"],
    "picture that is a sentence": ["animate", "a cat"],
    "motion": ["animate", "cat.png", "--motion", "9"],
    "no video stream": ["restyle", "tone.wav", "as a drawing"],
    "no clip": ["restyle", "missing.mp4", "as a drawing"],
    "no prompt": ["restyle", "cat.mp4"],
    "structure": ["restyle", "cat.mp4", "as a drawing", "--structure", "2"],
    "strength": ["restyle", "cat.mp4", "as a drawing", "--strength", "1.5"],
    "smaller frames": ["outpaint", "cat.mp4", "--to", "20x20"],
    "size in words": ["outpaint", "cat.mp4", "--to", "wide"],
    "keep": ["cinemagraph", "cat.png", "--region", "0,0,1,1", "--keep", "hard"],
    "style that is missing": [
        "restyle",
        "cat.mp4",
        "as a drawing",
        "--style",
        "nothing.safetensors",
    ],
    "style for another model": [
        "restyle",
        "cat.mp4",
        "as a drawing",
        "--style",
        "other.safetensors",
    ],
    "style that is a picture": ["animate", "cat.png", "--style", "cat.png"],
    "png of many frames": ["animate", "cat.png", "-o", "out/a.png"],
    "style to a picture": ["learn-style", "cat.png", "--name", "noise", "-o", "out/a.png"],
    "six pictures": ["learn-style", *["cat.png"] * 6, "--name", "noise", "-o", "out/a.safetensors"],
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_are_one_line_and_leave_nothing(call, folder, mistake):
    import torch

    from openlumiere.models.style import LowRank, Style

    save_image(noise(16, 16, 3), "small.png")
    save_image(np.zeros((18, 30, 3), np.uint8), "nothing.png")
    save_image(np.full((18, 30, 3), 255, np.uint8), "all.png")
    save_image(noise(1, 1, 3), "dot.png")
    save_image(noise(10, 20_000, 3), "thread.png")
    (folder / "tone.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    Style(
        "other",
        {"conv_in": LowRank(torch.ones(1, 48, 3, 3), torch.ones(16, 1, 1, 1), 1.0)},
        {},
        "0" * 64,
    ).save(folder / "other.safetensors")
    words = REFUSED[mistake]
    code, out, err = call(*words, *([] if "-o" in words else ["-o", "out/a.mp4"]))
    assert (code, out, len(err)) == (2, [], 1), (code, out, err)
    assert (
        err[0].startswith("lumiere: ")
        and ("expected" in err[0] or "--help" in err[0])
        and not list((folder / "out").iterdir())
    )
