"""Holes of moving footage are filled with what other frames show, the rest with what is likely."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from openlumiere import Clip, Lumiere
from openlumiere.engine.canvas import Canvas, filled
from openlumiere.engine.completion import (
    camera_motion,
    camera_motions,
    completed,
    half,
    shots,
)
from openlumiere.engine.texture import spread_over, textured
from openlumiere.media.alpha import opaque
from openlumiere.quality.metrics import psnr
from openlumiere.tasks import Region

HOLE = Region.box(0.4, 0.4, 0.6, 0.6)
SIDE, FRAMES, SPEED = 80, 24, 2


def scene(width, seed=0, grain=5):
    """A picture of blots, some pixels across."""
    small = np.random.default_rng(seed).integers(0, 256, (SIDE // grain, width // grain, 3))
    return small.astype(np.uint8).repeat(grain, 0).repeat(grain, 1)


def panned(speed=SPEED):
    """A camera that passes over a scene by whole pixels a frame."""
    wide = scene(SIDE + (FRAMES + 1) * SPEED)
    frames = [wide[:, speed * index : speed * index + SIDE] for index in range(FRAMES)]
    return Clip(np.stack(frames), Fraction(16))


def test_what_other_frames_show_is_copied():
    clip = panned()
    canvas = filled(clip, HOLE)
    found = completed(
        replace(canvas, frames=np.where(canvas.known[..., None], clip.frames, 0)), True
    )
    copied = found.known & ~canvas.known
    assert copied.sum() > 0.5 * (~canvas.known).sum()
    assert np.array_equal(found.frames[canvas.known], clip.frames[canvas.known])
    assert psnr(found.frames[copied], clip.frames[copied]) > 28
    assert psnr(found.frames[~canvas.known], clip.frames[~canvas.known]) > 23


def test_a_still_camera_shows_nothing_more_and_the_rest_is_likely():
    canvas = filled(panned(speed=0), HOLE)
    found = completed(canvas, True)
    assert np.array_equal(found.known, canvas.known) and found.likely
    assert np.array_equal(found.frames[canvas.known], canvas.frames[canvas.known])
    assert (found.frames == found.frames[:1]).all()
    assert completed(canvas, False).likely is False


def test_nothing_is_taken_from_beyond_a_cut():
    first, second = panned().frames, 255 - panned().frames[::-1]
    both = Clip(np.concatenate([first, second]), Fraction(16))
    assert shots(camera_motions(filled(both, HOLE))) == [range(FRAMES), range(FRAMES, 2 * FRAMES)]
    canvas = filled(both, HOLE)
    found = completed(canvas, True)
    assert psnr(found.frames[~canvas.known], both.frames[~canvas.known]) > 25


@pytest.mark.parametrize("level", [0, 255])
def test_a_single_flash_or_lost_frame_is_seen_past(level):
    clip = panned()
    clip.frames[FRAMES // 2] = level
    canvas = filled(clip, HOLE)
    assert shots(camera_motions(canvas)) == [range(FRAMES)]
    before = FRAMES // 2 - 1
    found = completed(canvas, True)
    assert found.known[before].mean() > canvas.known[before].mean()


@pytest.mark.parametrize("lost", [[9], [9, 11]])
@pytest.mark.parametrize("level", [0, 255])
def test_the_camera_goes_on_behind_lost_frames(lost, level):
    clip = panned()
    clip.frames[lost] = level
    motions = camera_motions(filled(clip, HOLE))
    assert np.allclose([motion[0, 2] for motion in motions], -SPEED, atol=0.3)


def test_half_a_motion_done_twice_is_the_whole():
    turned = cv2.getRotationMatrix2D((3.0, 4.0), 20.0, 1.3)
    once = np.vstack([half(turned), [0, 0, 1]])
    assert np.allclose((once @ once)[:2], turned)


def test_what_passes_by_is_not_taken_for_what_is_behind():
    frames = np.repeat(scene(SIDE, grain=10)[None], 20, 0)
    known = np.ones(frames.shape[:3], bool)
    known[:10, 20:60, 20:60] = False
    behind = frames.copy()
    for index in range(10, 20):
        left = 22 + 4 * (index - 10)
        frames[index, 34:46, left : left + 6] = (255, 0, 255)
    canvas = Canvas(frames=frames, known=known, fps=Fraction(16))
    found = completed(canvas, False)
    copied = found.known & ~known
    assert copied.sum() > 0.5 * (~known).sum()
    assert psnr(found.frames[copied], behind[copied]) > 27
    passing = np.abs(found.frames[copied].astype(int) - (255, 0, 255)).max(-1) < 30
    assert not passing.any()


def test_frames_that_are_lost_whole_lie_between_those_beside_them():
    clip = panned()
    canvas = filled(clip, HOLE)
    known = canvas.known.copy()
    known[8:11] = False
    found = completed(replace(canvas, known=known), True)
    apart = np.abs(found.frames[8:11].mean((1, 2, 3)) - clip.frames.mean())
    assert not found.known[8:11].any() and apart.max() < 5


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_what_is_copied_has_the_light_of_its_frame(share):
    light = np.linspace(1, share, FRAMES)[:, None, None, None]
    clip = Clip((panned().frames * light).astype(np.uint8), Fraction(16))
    canvas = filled(clip, HOLE)
    found = completed(canvas, False)
    copied = found.known & ~canvas.known
    apart = found.frames[copied].astype(float) - clip.frames[copied]
    assert copied.any() and abs(apart.mean()) < 2


def test_frames_without_a_camera_give_nothing():
    rng = np.random.default_rng(3)
    clip = Clip(rng.integers(0, 256, (6, SIDE, SIDE, 3), np.uint8), Fraction(16))
    canvas = filled(clip, HOLE)
    assert np.array_equal(completed(canvas, False).known, canvas.known)


def test_a_clip_with_alpha_stays_as_it_is():
    frames = np.concatenate([panned().frames, np.full((FRAMES, SIDE, SIDE, 1), 90, np.uint8)], -1)
    canvas = filled(Clip(frames, Fraction(16)), HOLE)
    assert completed(canvas, True) is canvas


def test_an_alpha_that_is_opaque_changes_nothing():
    clip = panned()
    plain = completed(filled(clip, HOLE), True)
    solid = Clip(opaque(clip.frames), clip.fps)
    found = completed(filled(solid, HOLE), True)
    assert np.array_equal(found.frames, opaque(plain.frames))
    assert np.array_equal(found.known, plain.known) and found.likely == plain.likely


@pytest.mark.parametrize("larger", [1, 4])
def test_a_motion_is_that_of_larger_pixels(larger):
    frames, known = panned().frames, np.ones((SIDE, SIDE), bool)
    motion = camera_motion(frames[1], known, frames[0], known, larger)
    assert np.allclose(motion, [[1, 0, SPEED * larger], [0, 1, 0]], atol=0.1 * larger)


def test_texture_goes_on_where_colours_alone_would_blur():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, (np.arange(64) // 4) % 2 == 0] = 230
    known = np.ones((64, 64), bool)
    known[24:40, 24:40] = False
    given = np.where(known[..., None], stripes, 77).astype(np.uint8)
    made = textured(given, known)
    assert np.array_equal(made[known], stripes[known])
    assert psnr(made[~known], stripes[~known]) > 20
    assert psnr(spread_over(given, known)[~known], stripes[~known]) < 12


def test_an_empty_prompt_removes_and_words_make_something(build_tiny):
    lumiere, clip = Lumiere(build_tiny()), panned()
    hole = ~filled(clip, HOLE).known
    removed = lumiere.inpaint(clip, HOLE, steps=1)
    made = lumiere.inpaint(clip, HOLE, "a dog", steps=1)
    true = clip.frames[hole]
    assert psnr(removed.frames[hole], true) > psnr(made.frames[hole], true) + 3
    assert removed.origin is not None
