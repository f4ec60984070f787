"""A clip that a net means to be opaque is opaque."""

import numpy as np

from openlumiere import Clip
from openlumiere.media.alpha import is_opaque, opaque, settled


def frames(alpha, side=16):
    made = np.full((2, side, side, 4), 90, np.uint8)
    made[..., 3] = alpha
    return made


def test_nearly_opaque_clips_are_opaque_and_others_are_as_they_were():
    assert is_opaque(settled(frames(230)))
    softer = frames(255)
    softer[1, 3, 3, 3] = 128
    assert settled(softer) is softer and not is_opaque(softer)
    assert is_opaque(opaque(softer[..., :3]))


def test_an_opaque_clip_is_written_without_a_word(tmp_path, caplog):
    Clip(frames(255), 16).save(tmp_path / "a.mp4")
    assert not caplog.records
    Clip(frames(254), 16).save(tmp_path / "b.mp4")
    assert "has no transparency" in caplog.text


def test_a_speck_does_not_make_a_scene_translucent():
    speck = frames(250, side=32)
    speck[0, 0, 0, 3] = 0
    assert is_opaque(settled(speck))
    sticker = frames(250, side=32)
    sticker[:, :2, :, 3] = 0
    assert settled(sticker) is sticker
