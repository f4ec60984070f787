"""The carried weights, end to end: a sentence goes in, and a clip that shows it comes out."""

import numpy as np
import pytest

from openlumiere import Clip, Lumiere
from openlumiere.apps.cli import main
from openlumiere.engine.finish import read_sidecar
from openlumiere.models.hub import WORLD_32

pytestmark = pytest.mark.skipif(
    not (WORLD_32 / "model_index.json").is_file(), reason="no weights are carried yet"
)

PROMPT = "a dog moves right on a green background"
MIB = 2**20


@pytest.fixture(scope="module")
def lumiere():
    return Lumiere.from_pretrained("world-32")


@pytest.fixture(scope="module")
def clip(lumiere):
    return lumiere.generate(PROMPT, seed=7, steps=4, size=0)


def border(frames):
    """Pixels [n, 3] of the outermost two rows and columns of every frame."""
    inside = np.zeros(frames.shape[1:3], bool)
    inside[2:-2, 2:-2] = True
    return frames[:, ~inside].reshape(-1, 3).astype(float)


def test_the_carried_files_keep_to_their_budget():
    files = [path for path in WORLD_32.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40 * MIB
    assert all(path.stat().st_size <= 15 * MIB for path in files)
    assert (WORLD_32 / "checksums.json").is_file()


def test_five_seconds_at_16_frames_a_second(clip):
    assert clip.frames.shape == (80, 32, 32, 3) and clip.fps == 16


def test_the_background_has_the_colour_asked_for(clip):
    red, green, blue = np.median(border(clip.frames), axis=0)
    assert green > red + 30 and green > blue + 30


def test_the_background_holds_still(clip):
    assert (
        np.abs(np.diff(np.median(clip.frames[:, :2].astype(float), axis=(1, 2)), axis=0)).max() < 12
    )


def test_something_stands_before_the_background(clip):
    colour = np.median(border(clip.frames), axis=0)
    subject = np.abs(clip.frames - colour).max(axis=-1) > 48
    assert 0.01 < subject.mean() < 0.6


@pytest.mark.parametrize(
    ("prompt", "strongest"),
    [
        ("a dog moves right on a blue background", 2),
        ("un gatto si muove a destra su uno sfondo rosso", 0),
    ],
)
def test_other_colours_and_italian(lumiere, prompt, strongest):
    made = lumiere.generate(prompt, seed=7, steps=4, frames=16, size=0)
    colour = np.median(border(made.frames), axis=0)
    assert colour.argmax() == strongest


def test_a_picture(lumiere):
    picture = lumiere.generate_image(PROMPT, seed=7, steps=4, size=0)
    assert picture.frames.shape == (1, 32, 32, 3)
    assert np.median(border(picture.frames), axis=0).argmax() == 1


def test_the_command_writes_what_a_replay_makes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--lossless", "--seed", "7", "--frames", "8", "--steps", "2"]
    assert main(["generate", PROMPT, "-o", "dog.webp", *words]) == 0
    assert capsys.readouterr().out == "dog.webp\n"
    written = Clip.load("dog.webp")
    record = read_sidecar("dog.webp")
    again = Lumiere.from_pretrained(dtype=record.machine.dtype).replay(record)
    assert written.size == (256, 256) and np.array_equal(
        written.frames, again.origin.seal(again.frames)
    )


def test_doctor_finds_everything_well(capsys):
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.count("intact") == 2
