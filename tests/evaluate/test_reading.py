"""What is rendered is read back, and what is wrong is read as wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from openlumiere.data.world.slice import BACKGROUNDS, MOTIONS, SUBJECTS, Facts
from openlumiere.evaluate.preview import rendered
from openlumiere.evaluate.reading import read

FRAMES = 8
SCENE = Facts(subject=1, background=2, motion=0, template=0, size=0.55, travel=0.31, offset=0.02, aside=-0.05)


def draw(sprites, scene: Facts = SCENE, frames: int = FRAMES) -> np.ndarray:
    return next(rendered([scene], sprites, frames, 64))


def noisy(frames: np.ndarray, deviation: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, deviation, frames.shape)
    return np.clip(frames + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("subject", range(len(SUBJECTS)))
@pytest.mark.parametrize("background", range(len(BACKGROUNDS)))
def test_every_scene_is_read_back(sprites, templates, subject, background):
    scene = replace(SCENE, subject=subject, background=background, motion=(subject + background) % len(MOTIONS))
    found = read(draw(sprites, scene), templates)
    assert (found.subject, found.background, found.motion) == (subject, background, scene.motion)
    assert found.likeness[subject] > 0.9
    assert found.background_drift == 0 and found.path_residual < 0.005


@pytest.mark.parametrize("motion", range(len(MOTIONS)))
def test_travel_is_measured_along_the_motion(sprites, templates, motion):
    travel = np.array(read(draw(sprites, replace(SCENE, motion=motion), frames=79), templates).travel)
    expected = np.array(list(MOTIONS.values())[motion]) * SCENE.travel * 78 / 79 * 80 / 79
    assert np.abs(travel - expected).max() < 0.02


def test_a_clip_played_backwards_goes_the_other_way(sprites, templates):
    assert read(draw(sprites)[::-1], templates).motion == 1


def test_turned_frames_turn_the_motion(sprites, templates):
    assert read(draw(sprites).transpose(0, 2, 1, 3), templates).motion == 2


def test_a_still_clip_has_no_motion_and_no_flicker(sprites, templates):
    found = read(np.repeat(draw(sprites)[:1], FRAMES, axis=0), templates)
    assert found.motion is None and found.subject == SCENE.subject
    assert found.flicker == 1 and found.path_residual < 1e-6


def test_a_short_way_is_no_motion(sprites, templates):
    assert read(draw(sprites, replace(SCENE, travel=0.14)), templates).motion is None


def test_jumping_is_no_motion_and_not_steady(sprites, templates):
    frames = draw(sprites)
    found = read(frames[[0, 7, 0, 7, 7, 0, 7, 0]], templates)
    assert found.motion is None and found.path_residual > 0.1


def test_a_changed_background_is_read_as_the_new_colour(sprites, templates):
    wrong = draw(sprites, replace(SCENE, background=0))
    assert read(wrong, templates).background == 0


def test_a_drifting_background_is_told(sprites, templates):
    frames = draw(sprites).astype(int) + np.arange(FRAMES)[:, None, None, None] * 5
    assert read(np.clip(frames, 0, 255).astype(np.uint8), templates).background_drift == pytest.approx(10, abs=0.01)


def test_flicker_is_the_mean_step_between_neighbours(templates):
    frames = np.zeros((3, 64, 64, 3), dtype=np.uint8)
    frames[1] = 51
    assert read(frames, templates).flicker == pytest.approx(0.8)


def test_an_empty_clip_has_neither_subject_nor_motion(templates):
    found = read(np.full((FRAMES, 64, 64, 3), 20, dtype=np.uint8), templates)
    assert (found.subject, found.motion, found.path_residual) == (None, None, None)
    assert found.background == 5


@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_has_neither_subject_nor_motion(templates, seed):
    frames = np.random.default_rng(seed).integers(0, 256, (FRAMES, 64, 64, 3), dtype=np.uint8)
    found = read(frames, templates)
    assert (found.subject, found.motion) == (None, None)
    assert found.flicker < 0.7


@pytest.mark.parametrize("background", range(len(BACKGROUNDS)))
def test_noise_over_a_clip_does_not_hide_what_it_shows(sprites, templates, background):
    found = read(noisy(draw(sprites, replace(SCENE, background=background)), 20), templates)
    assert (found.subject, found.background, found.motion) == (SCENE.subject, background, SCENE.motion)


def test_a_shape_that_is_no_subject_is_none_of_them(templates):
    frames = np.full((FRAMES, 64, 64, 3), 255, dtype=np.uint8)
    frames[:, 30:34, 30:34] = 0
    assert read(frames, templates).subject is None


def test_the_subject_does_not_depend_on_where_it_is(sprites, templates):
    still = [read(draw(sprites, replace(SCENE, travel=0, offset=offset)), templates) for offset in (-0.2, 0.0, 0.2)]
    assert {found.subject for found in still} == {SCENE.subject}
    assert torch.tensor([found.likeness[1] for found in still]).min() > 0.9
