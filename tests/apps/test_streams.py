"""The last print does not decide: what became of the work does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openlumiere.media import Clip

COMMAND = [sys.executable, "-m", "openlumiere.apps.cli"]
FULL = Path("/dev/full")


def lumiere(*words, stdout=subprocess.PIPE, **environment):
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
        timeout=120,
        check=False,
    )


@pytest.fixture
def clip(tmp_path, made):
    made(count=2, side=64).save(tmp_path / "ü.webp")
    return tmp_path / "ü.webp"


@pytest.fixture
def made():
    import numpy as np

    from openlumiere.engine.finish import ReportProvenance

    def make(count, side):
        frames = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
        return Clip(frames, origin=ReportProvenance(command="a test", model="ab" * 32))

    return make


def generate(tiny_model, output):
    words = ["generate", "a dog", "--steps", "1", "--frames", "2", "--size", "0"]
    return [*words, "--model", tiny_model, "-o", output]


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("utf-16", marks=pytest.mark.long)])
def test_a_written_clip_is_written_whatever_the_terminal_can_show(tiny_model, tmp_path, encoding):
    done = lumiere(*generate(tiny_model, tmp_path / "üл.mp4"), PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and (tmp_path / "üл.mp4").is_file()
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="there is no full device here")
def test_a_full_stdout_loses_the_line_and_not_the_clip(tiny_model, tmp_path):
    with open(FULL, "wb") as full:
        done = lumiere(*generate(tiny_model, tmp_path / "a.mp4"), stdout=full)
    assert done.returncode == 0 and (tmp_path / "a.mp4").is_file()
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"], ["--version"]])
@pytest.mark.skipif(not FULL.exists(), reason="there is no full device here")
def test_help_to_a_full_stdout(words):
    with open(FULL, "wb") as full:
        done = lumiere(*words, stdout=full)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not FULL.exists(), reason="there is no full device here")
def test_a_verdict_stays_the_exit_code(clip):
    with open(FULL, "wb") as full:
        done = lumiere("verify", clip, stdout=full)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"]])
def test_a_reader_that_goes_away(words):
    """As `lumiere train --help | head -1` does."""
    ends = os.pipe()
    os.close(ends[0])
    with open(ends[1], "wb") as pipe:
        done = lumiere(*words, stdout=pipe)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.long
def test_a_closed_stdout(tiny_model, tmp_path):
    words = " ".join(f"'{word}'" for word in generate(tiny_model, tmp_path / "a.mp4"))
    command = " ".join(COMMAND)
    done = subprocess.run(
        ["bash", "-c", f"{command} {words} >&-"], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0 and (tmp_path / "a.mp4").is_file(), done.stderr
    assert b"Traceback" not in done.stderr


def test_json_is_json_in_every_encoding(clip):
    done = lumiere("verify", clip, "--json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["file"] == str(clip)


def test_a_mistake_is_still_one(tmp_path):
    """On a stream that can't show its line: the code says it."""
    done = lumiere("verify", tmp_path / "ü.mp4", PYTHONIOENCODING="ascii")
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1
