"""`lumiere sticker`: a pack from clips, and one line for what can't be."""

from typing import get_args

import numpy as np
import pytest

from openlumiere.apps.cli import main
from openlumiere.media import Clip
from openlumiere.media.sticker import PLACES
from openlumiere.tasks.sticker import GROUND, PlaceName, Sticker, on_ground


def ball(path):
    y, x = np.mgrid[:64, :64]
    frames = np.zeros((8, 64, 64, 4), np.uint8)
    for index, frame in enumerate(frames):
        frame[..., :3] = (220, 90, 40)
        frame[..., 3] = 255 * (np.hypot(y - 32, x - 20 - 3 * index) < 14)
    return str(Clip(frames, 8).save(path, lossless=True))


def test_the_value_and_the_table_name_the_same_places():
    assert set(get_args(PlaceName)) == set(PLACES)


@pytest.mark.parametrize("place", ["slack", "discord"])
def test_clips_become_a_pack(tmp_path, capsys, place):
    clip = ball(tmp_path / "ball.webp")
    words = ["sticker", "--clip", clip, "--clip", clip, "--for", place, "-o", f"{tmp_path}/out"]
    assert main(words) == 0
    written = capsys.readouterr().out.split()
    assert written == [f"{tmp_path}/out/{n}{PLACES[place].suffix}" for n in ("01", "02")]
    assert Clip.load(written[0]).has_alpha


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--for", "slack"], "sentences or clips, got neither"),
        (["a cat", "--clip", "CLIP", "--for", "slack"], "sentences or clips, got both"),
        (["--clip", "CLIP", "--for", "facebook"], "for"),
        (["--clip", "nowhere.webp", "--for", "slack"], "nowhere.webp"),
        (["--clip", "CLEAR", "--for", "slack"], "fully transparent"),
        (["--clip", "CLIP", "--for", "slack", "--emoji", "a", "--emoji", "b"], "emoji"),
        (["--clip", "CLIP", "--for", "line", "-o", "TAKEN"], "new or empty folder"),
    ],
)
def test_what_is_no_sticker_is_one_line(tmp_path, capsys, words, said):
    clear = Clip(np.zeros((3, 16, 16, 4), np.uint8)).save(tmp_path / "clear.webp")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    names = {
        "CLIP": ball(tmp_path / "ball.webp"),
        "CLEAR": str(clear),
        "TAKEN": f"{tmp_path}/taken",
    }
    words = [names.get(word, word) for word in words]
    if "-o" not in words:
        words += ["-o", f"{tmp_path}/out"]
    assert main(["sticker", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert not (tmp_path / "out").exists() and (tmp_path / "taken" / "mine.txt").exists()


def test_sentences_count_their_seeds_up():
    asked = Sticker(place="line", prompts=("a cat", "a dog"), seed=5, steps=3)
    assert [task.sampling.seed for task in asked.tasks()] == [5, 6]
    assert {task.size for task in asked.tasks()} == {512}
    with pytest.raises(ValueError, match="place"):
        Sticker(place="telegrm", prompts="a cat")


def test_a_prompt_without_a_background_gets_a_white_one():
    assert on_ground("a frog jumps") == "a frog jumps" + GROUND
    for prompt in ("a frog on a Red background", "una rana su sfondo blu", "Frosch, Hintergrund"):
        assert on_ground(prompt) == prompt
    prompts = [task.prompt for task in Sticker(place="line", prompts="a fond farewell").tasks()]
    assert prompts == ["a fond farewell"]  # "fond" is French for it, too: a word is all we read
