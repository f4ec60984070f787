"""A folder of somebody's clips as training data."""

import numpy as np
import pytest
import torch

from openlumiere.data.footage import Footage, resample, square
from openlumiere.media import Clip


def save(path, frames, level=0):
    """A clip whose frame n has the value level + n everywhere."""
    levels = (level + np.arange(frames, dtype=np.uint8))[:, None, None, None]
    Clip(levels * np.ones((1, 32, 48, 3), np.uint8)).save(path, lossless=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    save(folder / "a-dog_runs.webp", 40)
    save(folder / "second.webp", 30, level=100)
    (folder / "second.txt").write_text("un gatto\n che dorme\n")
    (folder / ".hidden.mp4").write_bytes(b"no clip")
    (folder / "notes.md").write_text("nothing")
    return folder


def levels(pixels):
    return ((pixels[:, 0, :, 0, 0] + 1) * 127.5).round().int()


def test_clips_are_seen_at_the_moments_asked_for(folder):
    source = Footage(folder, 16, frames=20)
    drawn = source.draw(torch.Generator().manual_seed(0), 12, torch.arange(0, 20, 5).float())
    assert drawn.pixels.shape == (12, 3, 4, 16, 16) and drawn.pixels.abs().max() <= 1
    shown = levels(drawn.pixels)
    assert (shown.diff(dim=1) == 5).all() and len(set(shown[:, 0].tolist())) > 4
    names = {"a dog runs", "un gatto che dorme"}
    assert set(drawn.captions) == names
    assert all(
        (row[0] >= 100) == (name.startswith("un")) for row, name in zip(shown, drawn.captions)
    )


def test_the_generator_alone_says_what_is_drawn(folder):
    source = Footage(folder, 16)
    one, other = (source.draw(torch.Generator().manual_seed(3), 4, None) for _ in range(2))
    assert torch.equal(one.pixels, other.pixels) and one.captions == other.captions
    assert one.pixels.shape == (4, 3, 1, 16, 16)


@pytest.mark.parametrize(
    ("frames", "message"),
    [(31, "footage: expected clips of .* s or more, got 1.875 s in .*second")],
)
def test_a_clip_that_is_too_short_is_refused(folder, frames, message):
    with pytest.raises(ValueError, match=message):
        Footage(folder, 16, frames=frames)


def test_a_folder_without_clips_or_words_is_refused(tmp_path):
    with pytest.raises(ValueError, match="footage: expected a folder of clips"):
        Footage(tmp_path, 16)
    with pytest.raises(ValueError, match="footage: expected a folder of clips"):
        Footage(tmp_path / "nowhere", 16)
    save(tmp_path / "--.webp", 3)
    with pytest.raises(ValueError, match="footage: expected a caption"):
        Footage(tmp_path, 16)


def counting(frames, fps):
    """A clip whose frame n has the value n everywhere."""
    levels = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    return Clip(levels * np.ones((1, 6, 10, 3), np.uint8), fps=fps)


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (32, [0, 2, 4, 6]),
        (8, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]),
        (16, list(range(8))),
    ],
)
def test_resampling_shows_the_frame_then_on_screen(fps, expected):
    made = resample(counting(8, fps))
    assert made.fps == 16 and made.frames[:, 0, 0, 0].tolist() == expected


def test_the_middle_square_is_kept():
    frames = np.zeros((1, 4, 8, 3), np.uint8)
    frames[:, :, 2:6] = 200
    made = square(Clip(frames, fps=16), 2)
    assert made.frames.shape == (1, 2, 2, 3) and made.frames.min() == 200
