"""The batched renderer draws what the reference draws."""

import numpy as np
import pytest
import torch

from openlumiere_world.draw import render
from openlumiere_world.render import SpriteBank, compose, gather, render_batch
from openlumiere_world.scene import plan


@pytest.fixture(scope="module")
def bank(world):
    return SpriteBank(world, [item.id for item in world.items], 64)


def reference(world, clips, at):
    return (
        np.stack([render(world, facts, 64, row) for facts, row in zip(clips, at)])
        .transpose(0, 1, 4, 2, 3)
        .astype(int)
    )


def test_it_equals_the_reference_within_a_level_on_average(world, bank):
    clips = [plan(world, seed) for seed in range(40)]
    assert (
        {f.camera.split()[0] for f in clips} == {"still", "pan", "zoom"}
        and any(f.effect for f in clips)
        and any(f.pair for f in clips)
    )
    at = np.tile(np.arange(0, 80, 16), (len(clips), 1))
    difference = np.abs(reference(world, clips, at) - render_batch(bank, clips, at).numpy())
    assert difference.mean((1, 2, 3, 4)).max() < 1 and difference.max() <= 4


def test_every_row_may_ask_for_its_own_frames(world, bank):
    clips = [plan(world, seed) for seed in (3, 4)]
    at = np.array([[0, 1, 2], [77, 40, 3]])
    assert np.abs(reference(world, clips, at) - render_batch(bank, clips, at).numpy()).mean() < 1


def test_a_clip_does_not_depend_on_its_neighbours(world, bank):
    clips = [plan(world, seed) for seed in range(6)]
    at = np.tile(np.arange(0, 80, 20), (6, 1))
    together = render_batch(bank, clips, at)
    for n, facts in enumerate(clips):
        alone = render_batch(bank, [facts], at[:1])[0]
        assert (together[n].int() - alone.int()).abs().max() <= 1


def test_it_works_for_pictures_and_clips_without_camera_or_effect(world, bank):
    clips = [
        facts for facts in (plan(world, seed, frames=1) for seed in range(60)) if not facts.effect
    ][:3]
    drawn = render_batch(bank, clips)
    assert drawn.shape == (3, 1, 3, 64, 64) and drawn.dtype == torch.uint8
    assert np.abs(reference(world, clips, np.zeros((3, 1), int)) - drawn.numpy()).mean() < 1


def test_gathering_and_drawing_may_be_apart(world, bank):
    """A worker gathers, the training process composes."""
    clips = [plan(world, seed) for seed in range(3)]
    at = np.tile(np.arange(0, 80, 30), (3, 1))
    assert torch.equal(
        compose(bank, gather(bank, clips, at).to("cpu")), render_batch(bank, clips, at)
    )


def test_wrong_requests_are_refused(world, bank):
    facts, short = plan(world, 1), plan(world, 1, frames=8)
    with pytest.raises(ValueError, match="expected clips of one length, got"):
        render_batch(bank, [facts, short])
    other = SpriteBank(
        world, [item.id for item in world.items if item.id != facts.actors[0].item], 64
    )
    with pytest.raises(ValueError, match="expected a sprite of"):
        render_batch(other, [facts])
    with pytest.raises(ValueError, match="expected ids of this world"):
        SpriteBank(world, ["nobody/1"], 64)
