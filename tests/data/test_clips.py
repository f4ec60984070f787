from fractions import Fraction

import numpy as np
import pytest

from openlumiere.data import clips
from openlumiere.media import Clip


def counting(frames, fps, height=6, width=10):
    """A clip whose frame n has the value n everywhere."""
    return Clip(
        np.arange(frames, dtype=np.uint8)[:, None, None, None]
        * np.ones((1, height, width, 3), np.uint8),
        fps=fps,
    )


@pytest.mark.parametrize(
    "fps, expected",
    [
        (32, [0, 2, 4, 6]),
        (8, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]),
        (16, list(range(8))),
    ],
)
def test_resampling_shows_the_frame_then_on_screen(fps, expected):
    made = clips.resample(counting(8, fps))
    assert made.fps == 16 and made.frames[:, 0, 0, 0].tolist() == expected


def test_a_cut_starts_at_its_second():
    assert clips.cut(counting(64, 16), Fraction(2), 3).frames[:, 0, 0, 0].tolist() == [32, 33, 34]


def test_a_cut_past_the_end_is_refused():
    with pytest.raises(ValueError, match="expected frames 0 to 80 of the clip, got 64 frames"):
        clips.cut(counting(64, 16), Fraction(0), 80)


def test_the_middle_square_is_kept():
    frames = np.zeros((1, 4, 8, 3), np.uint8)
    frames[:, :, 2:6] = 200
    made = clips.square(Clip(frames, fps=16), 2)
    assert made.frames.shape == (1, 2, 2, 3) and made.frames.min() == 200


def test_a_file_is_made_fit(tmp_path):
    counting(40, 16, 32, 48).save(tmp_path / "clip.mp4", lossless=True)
    made = clips.load(tmp_path / "clip.mp4", 16, frames=8, start=1)
    assert made.frames.shape == (8, 16, 16, 3) and made.fps == 16
    assert np.abs(made.frames[:, 0, 0, 0].astype(int) - np.arange(16, 24)).max() <= 1
