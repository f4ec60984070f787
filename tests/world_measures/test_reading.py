"""What is rendered is read back, and what is wrong is read as wrong."""

import numpy as np
import pytest
import torch

from openlumiere_world.backgrounds import COLOURS, PLAIN
from openlumiere_world.batch import CLIP
from openlumiere_world.measures.reading import WAYS, fit_line, name_colour, name_motion, read
from openlumiere_world.render import SpriteBank, render_batch
from openlumiere_world.scene import Facts, plan

MOTIONS = ("stay", *WAYS)


@pytest.fixture(scope="module")
def draw(world, scope):
    """`draw(motion="left", seed=0, frames=16, side=32, background=None, speed=None) -> frames,
    facts`.
    """
    banks = {side: SpriteBank(world, [item.id for item in world.items], side) for side in (32, 64)}

    def find(motion: str, seed: int, background: str | None, speed: str | None) -> Facts:
        found = (
            plan(world, number, scope=scope) for number in range(1000 * seed, 1000 * seed + 1000)
        )
        asked = (motion, background, speed)
        return next(
            each
            for each in found
            if all(
                a in (None, b)
                for a, b in zip(asked, (each.motion, each.background.name, each.speed))
            )
        )

    def draw(
        motion="left", seed=0, frames=16, side=32, background=None, speed=None
    ) -> tuple[np.ndarray, Facts]:
        facts = find(motion, seed, background, speed)
        times = np.arange(frames)[None] * CLIP // frames
        return render_batch(banks[side], [facts], times)[0].permute(0, 2, 3, 1).numpy(), facts

    return draw


def noisy(frames: np.ndarray, deviation: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, deviation, frames.shape)
    return np.clip(frames + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("deviation", [0, 15])
def test_a_scene_is_read_back_at_any_side_and_through_noise(draw, judge, motion, side, deviation):
    for seed in range(2):
        frames, facts = draw(motion, seed, side=side)
        found = read(noisy(frames, deviation), judge)
        actor = facts.actors[0]
        assert (found.subject, found.style, found.motion, found.background) == (
            actor.subject,
            actor.style,
            motion,
            facts.background.name,
        )
        assert found.artefacts == () and found.background_drift < 4 and found.path_residual < 0.05


@pytest.mark.parametrize("background", PLAIN)
def test_every_background_is_read(draw, judge, background):
    assert read(draw(background=background)[0], judge).background == background


def test_travel_is_that_of_the_path(draw, judge):
    frames, facts = draw("up", frames=CLIP, speed="slow")
    path = facts.actors[0].boxes[:, 1::2].mean(1)
    assert read(frames, judge).travel[1] == pytest.approx(path[-1] - path[0], abs=0.02)


def test_a_clip_played_backwards_goes_the_other_way(draw, judge):
    assert read(draw("left")[0][::-1], judge).motion == "right"


def test_turned_frames_turn_the_motion(draw, judge):
    assert read(draw("left")[0].transpose(0, 2, 1, 3), judge).motion == "up"


def test_one_frame_again_and_again_stays_without_flicker(draw, judge):
    found = read(np.repeat(draw("left")[0][:1], 16, axis=0), judge)
    assert found.motion == "stay" and found.flicker == 1 and found.path_residual < 1e-6


def test_jumping_about_is_no_motion_and_an_artefact(draw, judge):
    frames, _ = draw("left")
    found = read(frames[[0, 15, 0, 15, 15, 0, 15, 0]], judge)
    assert found.motion is None and "jump" in found.artefacts


def test_a_jump_in_a_steady_path_is_an_artefact(draw, judge):
    frames, _ = draw("left")
    assert read(frames, judge).artefacts == ()
    assert read(frames[[0, 1, 2, 3, 4, 12, 13, 14, 15]], judge).artefacts == ("jump",)


def test_an_empty_frame_is_an_artefact(draw, judge):
    frames, facts = draw("stay")
    frames = frames.copy()
    frames[5] = COLOURS[facts.background.name]
    assert "empty frame" in read(frames, judge).artefacts


def test_a_drifting_background_is_told(draw, judge):
    frames, _ = draw("stay", background="blue")
    drifting = np.clip(frames.astype(int) + np.arange(16)[:, None, None, None] * 6, 0, 255).astype(
        np.uint8
    )
    found = read(drifting, judge)
    assert found.background_drift > 20 and "background drift" in found.artefacts


def test_a_subject_that_becomes_another_is_an_artefact(draw, judge, world):
    one, facts = draw("stay", background="red")
    others = (draw("stay", seed, background="red") for seed in range(1, 99))
    other = next(
        frames for frames, told in others if told.actors[0].subject != facts.actors[0].subject
    )
    assert "subject changes" in read(np.concatenate([one[:9], other[:7]]), judge).artefacts
    assert read(np.concatenate([one[:8], one[:8]]), judge).artefacts == ()


def test_flicker_is_the_mean_step_between_neighbours(judge):
    frames = np.zeros((3, 32, 32, 3), dtype=np.uint8)
    frames[1] = 51
    assert read(frames, judge).flicker == pytest.approx(0.8)


def test_an_empty_clip_shows_nothing_that_moves(judge):
    found = read(np.full((8, 32, 32, 3), 20, dtype=np.uint8), judge)
    assert (
        found.motion is None
        and found.path_residual is None
        and found.background == "black"
        and "empty frame" in found.artefacts
    )


@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_has_no_motion(judge, seed):
    found = read(
        np.random.default_rng(seed).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8), judge
    )
    assert (
        found.motion in (None, "stay")
        and found.flicker < 0.7
        and found.background in (None, "grey")
    )


def test_a_colour_between_the_named_ones_is_none():
    assert (
        name_colour(np.array([225, 64, 57])) == "red" and name_colour(np.array([0, 255, 0])) is None
    )


def test_a_short_way_is_no_journey_and_an_unsteady_one_no_rest():
    assert (
        name_motion(np.array([0.14, 0]), 0.01) == "stay"
        and name_motion(np.array([0.16, 0]), 0.3) == "right"
    )
    assert name_motion(np.array([0.14, 0]), 0.2) is None and name_motion(np.zeros(2), None) is None


def test_a_line_through_few_frames_is_none():
    path = np.stack([np.linspace(0, 1, 8), np.zeros(8)], axis=1)
    travel, residual = fit_line(path, np.arange(8) < 5)
    assert travel == pytest.approx([1, 0]) and residual == pytest.approx(0, abs=1e-9)
    assert fit_line(path, np.arange(8) < 3)[1] is None


def test_a_side_that_the_judge_cannot_read_is_refused(judge):
    with pytest.raises(
        ValueError, match="^frames: expected a square side that divides by 32, got 48x48"
    ):
        read(np.zeros((2, 48, 48, 3), dtype=np.uint8), judge)
    assert torch.is_grad_enabled()
