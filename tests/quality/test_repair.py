"""Damage put into a moving clip is found, listed and mended; a sound clip is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from openlumiere import Clip
from openlumiere.engine.plan import repaired
from openlumiere.quality.repair import mended

FRAMES, SIDE = 20, 48


def moving():
    """A smooth picture that pans by a pixel a frame, and a square that crosses it."""
    y, x = np.mgrid[:SIDE, : SIDE + FRAMES]
    wide = 110 + 45 * np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None] + np.array([0, 15, 30])
    frames = np.stack([wide[:, k : k + SIDE] for k in range(FRAMES)]).round().astype(np.uint8)
    for k in range(FRAMES):
        frames[k, 10:16, 2 * k : 2 * k + 6] = (220, 40, 60)
    return frames


def off(frames):
    return np.abs(frames.astype(int) - moving()).mean(axis=(1, 2, 3))


def test_a_clean_clip_comes_back():
    canvas = mended(Clip(moving()))
    assert canvas.known.all() and np.array_equal(canvas.frames, moving())


@pytest.mark.parametrize("damage", ["black", "corrupt", "repeated"])
def test_lost_frames_are_bridged(damage):
    frames = moving()
    frames[8] = {
        "black": 0,
        "corrupt": np.random.default_rng(0).integers(0, 256, frames[8].shape),
        "repeated": frames[7],
    }[damage]
    canvas = mended(Clip(frames))
    assert canvas.known.all() and off(canvas.frames)[8] < min(off(frames)[8], 4)
    assert np.array_equal(np.delete(canvas.frames, 8, 0), np.delete(moving(), 8, 0))


def test_a_long_gap_is_left_to_the_net():
    frames = moving()
    frames[6:12] = 0
    assert mended(Clip(frames)).known.all(axis=(1, 2)).tolist() == [
        not 6 <= k < 12 for k in range(FRAMES)
    ]


def test_animation_drawn_on_twos_is_left_alone():
    frames = np.repeat(moving()[::2], 2, axis=0)
    assert np.array_equal(mended(Clip(frames)).frames, frames)


def test_specks_are_taken_out():
    frames = moving()
    for k, (y, x) in {4: (30, 20), 9: (40, 8), 14: (33, 30)}.items():
        frames[k, y : y + 3, x : x + 3] = 255
    canvas = mended(Clip(frames))
    assert canvas.known.all() and off(canvas.frames).max() < 0.2 < off(frames)[4]


def test_flicker_is_evened_out():
    frames = (
        np.clip(moving() + (8 * (-1.0) ** np.arange(FRAMES))[:, None, None, None], 0, 255)
        .round()
        .astype(np.uint8)
    )
    left = [
        np.abs(np.diff(each.mean(axis=(1, 2, 3)))).mean()
        for each in (frames, mended(Clip(frames)).frames)
    ]
    assert left[1] < left[0] / 4


def test_lost_frames_do_not_darken_those_beside_them():
    frames = np.clip(moving() + (6 * (-1.0) ** np.arange(FRAMES))[:, None, None, None], 0, 255)
    frames = frames.round().astype(np.uint8)
    frames[8] = 0
    level = mended(Clip(frames)).frames.mean(axis=(1, 2, 3))
    assert np.abs(np.delete(level, 8) - moving().mean()).max() < 5


def test_scratches_are_left_to_the_net():
    frames = moving()
    frames[:, :, 30] = np.minimum(frames[:, :, 30].astype(int) + 70, 255)
    known = mended(Clip(frames)).known
    assert not known[:, :, 30].any() and known[:, :, :26].all() and known[:, :, 35:].all()


def test_a_logo_is_left_to_the_net():
    frames = moving()
    frames[:, 38:44, 36:44] = 250
    known = mended(Clip(frames)).known
    assert (
        not known[:, 38:44, 36:44].any(axis=0).all() and known.mean() > 0.85 and known[:, :30].all()
    )


def test_clips_too_short_to_tell_come_back():
    assert mended(Clip(moving()[:2])).known.all()


def lost(frames):
    frames[8] = 0


def gap(frames):
    frames[6:12] = 0


def specks(frames):
    frames[4, 30:33, 20:23] = 255
    frames[14, 33:36, 30:33] = 0
    frames[14, 20:23, 40:42] = 255


def flicker(frames):
    light = np.random.default_rng(1).integers(-25, 26, (FRAMES, 1, 1, 1))
    frames[:] = (frames.astype(int) + light).clip(0, 255)


def scratch(frames):
    frames[:, :, 17] = 240


ALL = (0, 0, SIDE, SIDE)
DAMAGE = {
    "lost frame": (lost, [("lost frame", 8, 8, ALL)]),
    "gap": (gap, [("lost frame", 6, 11, ALL)]),
    "specks": (
        specks,
        [
            ("speck", 4, 4, (30, 20, 33, 23)),
            ("speck", 14, 14, (20, 40, 23, 42)),
            ("speck", 14, 14, (33, 30, 36, 33)),
        ],
    ),
    "flicker": (flicker, [("flicker", 0, FRAMES - 1, ALL)]),
    "scratch": (scratch, [("scratch", 0, FRAMES - 1, (0, 16, SIDE, 19))]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_was_found_is_listed_where_it_is(kind):
    damage, right = DAMAGE[kind]
    frames = moving()
    damage(frames)
    found = mended(Clip(frames)).found
    assert [(each.kind, each.first, each.last, each.box) for each in found] == right


def test_a_sound_clip_says_so(caplog):
    caplog.set_level("INFO", "openlumiere.report")
    repaired(Clip(moving()))
    assert [line.getMessage() for line in caplog.records] == ["mend: nothing found"]
    caplog.clear()
    frames = moving()
    lost(frames)
    alpha = np.full((*frames.shape[:3], 1), 200, np.uint8)
    repaired(replace(Clip(frames), frames=np.concatenate([frames, alpha], axis=3)))
    said = [line.getMessage() for line in caplog.records]
    assert said[0] == "mend: found damage in 1 place"
    assert said[1].startswith("mend: lost frame: frames 8 to 8 (0.50 to 0.56 s), rows 0 to 48")
