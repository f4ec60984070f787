"""From a sentence to a file and back, through every room, on a tiny random model."""

import numpy as np
import pytest

import openlumiere
from openlumiere import Clip, Lumiere


def test_the_public_names():
    assert set(openlumiere.__all__) == {"Clip", "Lumiere", "LumierePipeline", "STUNet"}
    assert all(getattr(openlumiere, name).__name__ == name for name in openlumiere.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Magic'"):
        openlumiere.Magic()


def test_a_sentence_becomes_a_five_second_mp4(tiny_model, tmp_path):
    clip = Lumiere.from_pretrained(tiny_model).generate(
        "a black cat walks across a green meadow", seed=7, steps=2
    )
    assert clip.frames.shape == (80, 256, 256, 3) and clip.seconds == 5
    clip.save(tmp_path / "cat.mp4")
    back = Clip.load(tmp_path / "cat.mp4")
    assert (len(back), back.fps, back.size) == (80, 16, (256, 256))
    assert (
        np.abs(back.frames.astype(int) - clip.frames).mean() < 12
    )  # noise is what h264 likes least


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_identical_frames_are_kept(tiny, tmp_path, suffix):
    still = np.repeat(tiny.generate_image("a dog", steps=1, size=0).frames, 9, axis=0)
    Clip(still).save(tmp_path / f"still.{suffix}")
    assert len(Clip.load(tmp_path / f"still.{suffix}")) == 9
