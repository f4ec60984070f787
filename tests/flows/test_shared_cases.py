"""Every input that strangers found gives its right answer, as the tables beside the inputs have it.

Forgeries are read in `provenance/test_verify.py`, LoRA files in `models/test_lora.py` and another
tool's folder in `media/test_replacing.py`.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys

import numpy as np
import pytest

from cases import case
from openlumiere import Clip, Lumiere
from openlumiere.apps.cli import main
from openlumiere.media import load_image

SAID = {  # words of the one line that a user is given where the input is not simply read
    "interlaced_tff.mp4": "interlaced",
    "second/interlaced.mp4": "interlaced",
    "second/pq.mp4": "HDR",
    "second/hlg.mp4": "HDR",
}
FRAMES = {
    "animated.png": 5,
    "second/three_frames.png": 3,
    "second/two_frames.avif": 2,
    "second/frames_odd_names": 2,
}
FIRST = slice(16, 41), slice(16, 41)
SECOND = slice(20, 40), slice(30, 60)
SQUARE = {  # what is to be made new in a clip: rows, columns
    "mask_white_on_clear.png": FIRST,
    "mask_zero_one.png": FIRST,
    "mask_16bit_255.png": FIRST,
    "second/mask_0_and_1.png": SECOND,
    "second/mask_soft_85.png": SECOND,
    "second/mask_white_on_transparent.png": SECOND,
}
MARKED = 12  # levels of 256: the most that the mark in the pixels moves one


@pytest.mark.parametrize("name", sorted(SAID))
def test_what_is_not_shown_as_it_is_coded_is_said(name, caplog):
    Clip.load(case(name))
    assert SAID[name] in caplog.text


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_all_frames_of_a_picture_that_moves(name):
    assert len(Clip.load(case(name))) == FRAMES[name]


def test_a_mirrored_clip_is_mirrored():
    plain = Clip.load(case("second/plain.mp4")).frames.astype(int)
    mirrored = Clip.load(case("second/mirrored.mp4")).frames.astype(int)
    flipped = Clip.load(case("second/upside_down_flag.mp4")).frames.astype(int)
    assert abs(mirrored - plain[:, :, ::-1]).mean() < 2
    assert abs(flipped - plain[:, ::-1]).mean() < 2
    yellow = Clip.load(case("selfie_mirror.mp4")).frames[0].astype(int)
    blueless = yellow[..., :2].min(-1) - yellow[..., 2]
    assert np.unravel_index(blueless.argmax(), blueless.shape)[1] > yellow.shape[1] / 2


SHOWN = {"anamorphic_sar2.mp4": (96, 256), "second/anamorphic_64_45.mp4": (64, 137)}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_pixels_that_are_not_square(name):
    assert Clip.load(case(name)).frames.shape[1:3] == SHOWN[name]


def test_pictures_are_read_by_their_profile_and_range():
    green = load_image(case("second/profile_red_is_green.png"))[0, 0].astype(int)
    assert abs(green - (0, 200, 0)).max() < 4
    assert load_image(case("grey_int32_0_255.tif")).max() > 200


@pytest.mark.parametrize("name", ["photo.avif", "second/still.avif"])
def test_a_photograph_of_avif_is_read(name):
    assert load_image(case(name)).ndim == 3


def test_a_photograph_of_heic_is_called_one():
    with pytest.raises(ValueError, match="got the HEIC photograph head_only.heic; save it as JPEG"):
        load_image(case("second/head_only.heic"))


@pytest.mark.parametrize("name", ["second/mulaw.mov", "second/adpcm.avi"])
def test_sound_is_kept(name):
    assert Clip.load(case(name)).audio is not None


@pytest.mark.parametrize("name", sorted(SQUARE))
def test_masks_select_their_square(name, tiny_model, tmp_path, capsys):
    clip = "second/plain.mp4" if name.startswith("second") else "clip64.mp4"
    given = Clip.load(case(clip)).frames.astype(int)
    words = ["inpaint", str(case(clip)), "a frog", "--region", str(case(name)), "--steps", "1"]
    code = main([*words, "--model", str(tiny_model), "--lossless", "-o", f"{tmp_path}/o/"])
    error = capsys.readouterr().err
    if code == 2:
        assert error.count("\n") == 1 and "region" in error
        return
    made = Clip.load(f"{tmp_path}/o/").frames.astype(int)
    inside = np.zeros(given.shape[1:3], bool)
    inside[SQUARE[name]] = True
    moved = abs(made - given).max((0, -1))
    assert moved[~inside].max() <= MARKED < moved[inside].max()


def test_a_file_without_an_end_names_the_option_of_the_command(tmp_path, tiny_model, capsys):
    words = ["mend", str(case("second/no_trailer.gif")), "--steps", "1"]
    assert main([*words, "--model", str(tiny_model), "-o", f"{tmp_path}/o.mp4"]) == 2
    assert "--allow-partial" in capsys.readouterr().err


def test_innocent_prompts_are_taken(tiny_model):
    lumiere = Lumiere.from_pretrained(tiny_model)
    for prompt in case("innocent_prompts.txt").read_text().splitlines():
        assert len(lumiere.generate(prompt, steps=1, frames=1)) == 1


MOST = 400  # MiB more than a process that has read a small clip


def test_a_gap_of_33_seconds_takes_no_memory_of_its_own():
    """What is shown again is the same frame, not a copy of it."""
    peak = "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
    program = (
        "import resource; from openlumiere import Clip;"
        f" Clip.load({str(case('clip64.mp4'))!r}); before = {peak};"
        f" clip = Clip.load({str(case('three_frames_33s_gap.mkv'))!r});"
        f" print(len(clip), ({peak} - before) // 1024)"
    )
    frames, grown = run(program).stdout.split()
    assert int(frames) > 900 and int(grown) < MOST


def run(program, *, limits=""):
    """A program of Python in a process of its own."""
    command = f'{limits} exec "$0" -c "$1"'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("limit", ["-v 3500000", "-t 60", "-f 1000000"])
def test_the_lower_of_two_limits_counts(limit):
    program = f"from openlumiere import Clip; Clip.load({str(case('second/plain.mp4'))!r})"
    run(program, limits=f"ulimit {limit};")


def told(name, capsys):
    """What a script of a stranger prints."""
    runpy.run_path(str(case(name)))
    return capsys.readouterr().out


@pytest.mark.long
def test_numbers_of_numpy(capsys):
    lines = told("numpy_numbers.py", capsys).splitlines()
    assert len(lines) == 9 and all(line.startswith("PASS") for line in lines)


@pytest.mark.long
def test_arguments_are_taken_or_refused_by_name(capsys):
    for line in told("second/arguments.py", capsys).splitlines():
        assert "Error" not in line or re.search("ValueError|MediaError", line), line


@pytest.mark.long
def test_masks_are_taken_or_refused(capsys):
    lines = told("second/masks.py", capsys).splitlines()
    assert len(lines) == 9
    for line in lines:
        name, said = line[:28].strip(), line[29:]
        assert "changed 0.000" not in said and "TypeError" not in said, name


@pytest.mark.long
def test_two_threads_with_a_style_each(capsys):
    assert told("threads_two_styles.py", capsys).startswith("PASS")
    said = told("second/two_styles.py", capsys)
    assert "(right: 0): 0" in said and "(right: True): True" in said


@pytest.mark.long
@pytest.mark.parametrize("name", ["two_trainers.sh", "refused_resume_rewrites_config.sh"])
def test_runs_of_two_trainers(name):
    """They want the file of sprites that docs/training.md names, as PACKAGE."""
    if "PACKAGE" not in os.environ or shutil.which("lumiere") is None:
        pytest.skip("PACKAGE is not set, or the command is not installed")
    done = subprocess.run(["bash", case(name)], capture_output=True, text=True)
    assert done.stdout.endswith("PASS\n"), done.stdout + done.stderr
