"""Mending says what it repaired and where, by the clip before and after."""

from dataclasses import replace

import numpy as np
import pytest
from test_repair import FRAMES, SIDE, moving

from openlumiere import Clip
from openlumiere.engine.plan import repaired
from openlumiere.quality.repair import mended
from openlumiere.quality.repaired import changes


def listed(frames):
    found = mended(Clip(frames))
    return changes(frames, found.frames, found.known)


def lost(frames):
    frames[8] = 0


def gap(frames):
    frames[6:12] = 0


def specks(frames):
    frames[4, 30:33, 20:23] = 255
    frames[14, 33:36, 30:33] = 0
    frames[14, 20:22, 40:42] = 255


def flicker(frames):
    light = np.random.default_rng(1).integers(-25, 26, (FRAMES, 1, 1, 1))
    frames[:] = (frames.astype(int) + light).clip(0, 255)


def scratch(frames):
    frames[:, :, 17] = 240


DAMAGE = {
    "lost frame": (lost, [("lost frame", 8, 8, (0, 0, SIDE, SIDE))]),
    "gap": (gap, [("lost frames", 6, 11, (0, 0, SIDE, SIDE))]),
    "specks": (specks, [("speck", 4, 4, (30, 20, 33, 23)), ("specks", 14, 14, (20, 30, 36, 42))]),
    "flicker": (flicker, [("flicker", 0, FRAMES - 1, (0, 0, SIDE, SIDE))]),
    "scratch": (scratch, [("scratch", 0, FRAMES - 1, (0, 16, SIDE, 19))]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_was_repaired_is_listed_where_it_is(kind):
    damage, right = DAMAGE[kind]
    frames = moving()
    damage(frames)
    assert [(each.kind, each.first, each.last, each.box) for each in listed(frames)] == right


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
