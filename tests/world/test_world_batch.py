"""Scopes narrow the world without disturbing it; batches draw what the reference draws."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from openlumiere_world import split
from openlumiere_world.batch import WORLD_32, WORLD_64, Batches, Scope, all_captions
from openlumiere_world.captions import caption, compose
from openlumiere_world.draw import render
from openlumiere_world.names import LANGUAGES
from openlumiere_world.scene import plan

SMALL = replace(WORLD_32, subjects=("1f408", "1f415", "2b50", "1f680"), styles=("3d", "noto"))
EVERY_FIFTH = torch.arange(0, 80, 5)


@pytest.fixture(scope="module")
def batches(world):
    return Batches(world, SMALL)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_an_unscoped_seed_draws_what_it_drew_before_there_were_scopes(world):
    facts = [
        plan(world, seed, name, frames)
        for name in ("train", "composition")
        for frames in (80, 1)
        for seed in range(30)
    ]
    drawn = repr([(vars(each), caption(world, each)) for each in facts])
    assert hashlib.sha256(drawn.encode()).hexdigest()[:16] == "465df7a1d9f19cc2"


@pytest.mark.parametrize(
    "scope",
    [
        SMALL,
        Scope(motions=("left", "spin"), cameras=("zoom in",), pairs=False),
        Scope(motions=("orbit", "meet"), effects=("rain",)),
        Scope(
            backgrounds=("meadow", "pink"), sizes=("large",), copies=False, languages=("de", "it")
        ),
        Scope(kinds=("animated",), speeds=("fast",)),
        Scope(subjects=("1f415",), pairs=False, places=("top left", "centre"), loops=False),
        Scope(backgrounds=("gradient",), motions=("stay", "left")),
    ],
)
def test_what_is_drawn_lies_in_the_scope(world, scope):
    fields = {"motions": "motion", "cameras": "camera", "languages": "language"}
    for facts in (plan(world, seed, scope=scope) for seed in range(150)):
        for field, name in fields.items():
            assert not getattr(scope, field) or getattr(facts, name) in (
                *getattr(scope, field),
                "still",
            )
        assert not scope.backgrounds or facts.background.name in scope.backgrounds
        assert not scope.effects or (facts.effect.name if facts.effect else "") in scope.effects
        assert not scope.speeds or facts.speed in (*scope.speeds, "")
        assert not scope.places or facts.place in (*scope.places, "")
        assert not (
            (facts.count > 1 and not scope.copies)
            or (facts.pair and not scope.pairs)
            or (facts.loop and not scope.loops)
        )
        assert all(scope.holds(world.by_id[actor.item]) for actor in facts.actors)


def test_a_side_is_kept(world):
    for facts in (plan(world, seed, scope=SMALL) for seed in range(60)):
        drawn = facts.actors[0].boxes[40]
        assert 0.47 < max(drawn[2:] - drawn[:2]) < 0.63


def test_a_scope_that_leaves_no_motion_is_refused(world):
    with pytest.raises(
        ValueError, match="^scope: expected a motion that its subjects can make, got orbit"
    ):
        plan(world, 1, scope=Scope(motions=("orbit",), pairs=False))
    with pytest.raises(ValueError, match="^expected drawings for split"):
        plan(world, 1, scope=Scope(subjects=("1f47d",)))


@pytest.mark.parametrize(
    "wrong",
    [{"motions": ("fly",)}, {"styles": ("oil",)}, {"effects": ("fog",)}, {"languages": ("xx",)}],
)
def test_a_name_that_the_world_does_not_know_is_refused(wrong):
    with pytest.raises(ValueError, match="^scope: expected .* among .*, got .*, use those names$"):
        Scope(**wrong)


def test_the_held_out_combinations_of_a_scope_stay_out(world):
    for name in ("train", "composition"):
        for facts in (plan(world, seed, name, scope=SMALL) for seed in range(200)):
            assert split.held_out(facts.actors[0].subject, facts.motion, facts.background.name) == (
                name == "composition"
            )


def test_every_caption_is_listed_and_nothing_else_is_said(world, batches):
    listed = set(all_captions(world, SMALL))
    drawn = {
        text
        for seed in range(8)
        for times in (None, torch.zeros(1))
        for text in batches.draw(generator(seed), 40, times).captions
    }
    assert drawn <= listed and len(drawn) > 400
    contents = 4 * 2 * (4 * 2 + 1) * 6 + 4 * 2 * 6
    assert (
        0.7 * contents * len(LANGUAGES) * SMALL.wordings
        < len(listed)
        <= contents * len(LANGUAGES) * SMALL.wordings
    )


@pytest.mark.parametrize(
    "change",
    [
        {"wordings": 0},
        {"pairs": True},
        {"loops": True},
        {"backgrounds": ()},
        {"backgrounds": ("sea",)},
        {"cameras": ()},
    ],
)
def test_captions_that_are_too_many_are_not_listed(world, change):
    with pytest.raises(ValueError, match="^scope: expected one with few captions"):
        all_captions(world, replace(SMALL, **change))


def test_the_words_of_the_first_models_occur(world):
    scope = replace(
        SMALL,
        subjects=("1f415",),
        styles=("3d",),
        motions=("left",),
        backgrounds=("green",),
        wordings=300,
        languages=("en", "it"),
    )
    listed = set(all_captions(world, scope))
    assert {
        "a dog moves left on a green background",
        "on a green background, a dog moves left",
        "a dog on a green background",
    } <= listed
    assert {
        "un cane va a sinistra su sfondo verde",
        "su sfondo verde, un cane va a sinistra",
    } <= listed


def test_a_style_is_left_unsaid_only_where_it_is_the_default(world):
    for facts in (plan(world, seed, scope=SMALL) for seed in range(200)):
        said = dict(compose(world, facts, scope=SMALL).said)
        assert said.get("style", "3d") == facts.actors[0].style


@pytest.mark.parametrize("size", [32, 64])
def test_batches_draw_what_the_reference_draws(world, size):
    drawn = Batches(world, WORLD_64, size=size).draw(generator(), 6, torch.tensor([0, 33, 79]))
    assert drawn.pixels.shape == (6, 3, 3, size, size) and drawn.pixels.abs().max() <= 1
    for pixels, facts, text in zip(drawn.pixels, drawn.facts, drawn.captions):
        expected = render(world, facts, size, [0, 33, 79]).transpose(3, 0, 1, 2)
        assert np.abs((pixels.numpy() + 1) * 127.5 - expected).mean() < 1
        assert text == caption(world, facts)


def test_the_generator_alone_says_what_is_drawn(batches):
    one, same, other = (batches.draw(generator(seed), 4, EVERY_FIFTH) for seed in (1, 1, 2))
    assert (
        torch.equal(one.pixels, same.pixels)
        and one.captions == same.captions
        and one.captions != other.captions
    )
    ongoing = generator(1)
    assert batches.draw(ongoing, 4).captions != batches.draw(ongoing, 4).captions


def test_pictures_clips_and_pictures_out_of_clips(batches):
    picture, clip, moment = (
        batches.draw(generator(), 3, times)
        for times in (None, EVERY_FIFTH, torch.tensor([[1.6], [40], [79]]))
    )
    assert picture.pixels.shape == moment.pixels.shape == (
        3,
        3,
        1,
        32,
        32,
    ) and clip.pixels.shape == (3, 3, 16, 32, 32)
    assert all(facts.frames == 1 for facts in picture.facts) and any(
        facts.motion != "stay" for facts in moment.facts
    )
    assert (
        moment.frame_times.tolist() == [[2], [40], [79]]
        and clip.frame_times[0].tolist() == EVERY_FIFTH.tolist()
    )


def test_what_cannot_be_drawn_is_refused(world, batches):
    with pytest.raises(ValueError, match="^frame times: expected 0 to 79, got 0 to 80"):
        batches.draw(generator(), 2, torch.tensor([0, 80]))
    with pytest.raises(ValueError, match="^size: expected one of 32, 64, 256, got 48"):
        Batches(world, SMALL, size=48)
