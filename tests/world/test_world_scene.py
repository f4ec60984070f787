"""Facts: the same everywhere, kept apart by split, and true of the pixels."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from openlumiere_world import effects, split
from openlumiere_world.backgrounds import COLOURS
from openlumiere_world.draw import draw, render
from openlumiere_world.motions import MOTIONS, PAIRS, Pace, times
from openlumiere_world.scene import PLACES, plan
from openlumiere_world.sources import HELD_OUT_STYLE

SEEDS = range(2000)


@pytest.fixture(scope="module")
def many(world):
    return [plan(world, seed) for seed in SEEDS]


def first(many, **wanted):
    """The first clip with these facts."""
    return next(
        facts
        for facts in many
        if all(getattr(facts, name) == value for name, value in wanted.items())
    )


def plain(many, motion, **wanted):
    """A clip of one subject on a plain colour without effects: its pixels are easy to measure."""
    fits = (
        f
        for f in many
        if f.motion == motion
        and f.background.name in COLOURS
        and not f.effect
        and f.count == 1
        and not f.pair
    )
    return next(f for f in fits if all(getattr(f, name) == value for name, value in wanted.items()))


def centre_of_mass(frames, colour):
    """x, y in fractions of the frame of whatever differs from the background colour; nan where
    nothing does.
    """
    weight = np.abs(frames.astype(float) - np.array(colour)).sum(-1)
    weight[weight < 6] = 0
    at = (np.arange(frames.shape[1]) + 0.5) / frames.shape[1]
    with np.errstate(invalid="ignore"):
        total = weight.sum((1, 2))
        return np.stack(
            [(weight * at).sum((1, 2)) / total, (weight * at[:, None]).sum((1, 2)) / total], -1
        )


def test_every_motion_camera_and_effect_is_drawn(many):
    assert {facts.motion for facts in many} == set(MOTIONS)
    assert {facts.effect.name for facts in many if facts.effect} == set(effects.KINDS)
    assert {facts.camera for facts in many} == {
        "still",
        "pan left",
        "pan right",
        "pan up",
        "pan down",
        "zoom in",
        "zoom out",
    }
    assert {facts.place for facts in many} == set(PLACES) | {""}
    assert {facts.count for facts in many} == {1, 2, 3, 4}
    assert {facts.background.name for facts in many} >= {
        *COLOURS,
        "gradient",
        "meadow",
        "stars",
        "room",
    }


def test_facts_and_caption_do_not_depend_on_the_process(world, world_folder):
    """Another process, with another seed for Python's own hashes, draws the same."""
    made = [draw(world, seed, size=32, frames=6) for seed in range(12)]
    here = hashlib.sha256(
        repr(
            [(clip.frames.tobytes(), caption, repr(facts)) for clip, caption, facts in made]
        ).encode()
    ).hexdigest()
    code = (
        "import hashlib, sys; from openlumiere_world.draw import draw; from"
        " openlumiere_world.subjects import World;"
        "w = World.open(sys.argv[1]); made = [draw(w, s, size=32, frames=6) for s in range(12)];"
        "print(hashlib.sha256(repr([(c.frames.tobytes(), t, repr(f)) for c, t, f in"
        " made]).encode()).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", code, str(world_folder)],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert there.strip() == here


def test_held_out_combinations_and_style_are_never_drawn_in_training(world, many):
    for facts in [*many, *(plan(world, seed, "validation") for seed in range(500))]:
        for actor in facts.actors:
            assert not split.held_out(
                world.by_id[actor.item].base, facts.motion, facts.background.name
            )
            assert actor.style != HELD_OUT_STYLE


def test_the_composition_split_shows_only_held_out_combinations(world):
    for seed in range(200):
        facts = plan(world, seed, "composition")
        bases = {world.by_id[actor.item].base for actor in facts.actors}
        assert any(split.held_out(base, facts.motion, facts.background.name) for base in bases)
        assert all(actor.style != HELD_OUT_STYLE for actor in facts.actors)


def test_the_style_split_shows_only_the_held_out_style(world):
    assert {actor.style for seed in range(50) for actor in plan(world, seed, "style").actors} == {
        HELD_OUT_STYLE
    }


def test_about_five_per_cent_of_combinations_are_held_out():
    held = [split.held_out(f"{n:x}", motion, "red") for n in range(500) for motion in MOTIONS]
    assert 0.045 < np.mean(held) < 0.055


@pytest.mark.parametrize("wrong", [{"split": "test"}, {"frames": 0}, {"size": 48}])
def test_a_wrong_request_is_refused_in_one_line(world, wrong):
    with pytest.raises(ValueError, match=r"^expected .*, got .*: .*$"):
        draw(world, 0, **wrong)


@pytest.mark.parametrize(
    ("motion", "way"), [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))]
)
@pytest.mark.parametrize("speed", ["slow", "medium"])
def test_the_centre_of_mass_goes_the_stated_way(world, many, motion, way, speed):
    facts = plain(many, motion, speed=speed)
    seen = centre_of_mass(render(world, facts, 64), COLOURS[facts.background.name])
    moved = seen[-1] - seen[0]
    assert moved @ np.array(way) >= 0.25, (
        "a subject that crosses goes over a quarter of the frame or more"
    )
    assert abs(moved @ np.array(way)[::-1]) < 0.05


@pytest.mark.parametrize("motion", ["circle", "bounce", "jump", "float", "shake", "left", "stay"])
def test_the_centre_of_mass_is_where_the_facts_say(world, many, motion):
    facts = plain(many, motion)
    (actor,) = facts.actors
    seen = centre_of_mass(render(world, facts, 64), COLOURS[facts.background.name])
    boxed = (actor.boxes[:, :2] + actor.boxes[:, 2:]) / 2
    assert np.abs(seen - boxed).max() < 0.02


@pytest.mark.parametrize(("motion", "grows"), [("towards", True), ("away", False)])
def test_what_comes_closer_grows(world, many, motion, grows):
    facts = plain(many, motion)
    changed = (render(world, facts, 64) != COLOURS[facts.background.name]).any(-1).mean((1, 2))
    assert (changed[-1] > 1.8 * changed[0]) == grows and (changed[0] > 1.8 * changed[-1]) == (
        not grows
    )


def test_what_appears_is_not_there_at_first_and_what_fades_not_at_last(world, many):
    for motion, without, with_it in (("appear", 0, -1), ("fade", -1, 0)):
        facts = plain(many, motion)
        frames = render(world, facts, 64).astype(int)
        colour = np.array(COLOURS[facts.background.name])
        assert (
            np.abs(frames[without] - colour).max() <= 1
            and np.abs(frames[with_it] - colour).max() > 40
        )


def test_a_box_holds_what_is_drawn_and_no_more(world, many):
    checked = 0
    for facts in [
        f for f in many if f.background.name in COLOURS and not f.effect and len(f.actors) == 1
    ][:80]:
        (actor,), frames = facts.actors, render(world, facts, 64, range(0, 80, 8))
        drawn = np.abs(frames.astype(int) - COLOURS[facts.background.name]).max(-1) > 12
        for mask, box in zip(drawn, actor.boxes[::8]):
            if mask.any() and box.any():
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                seen = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / 64
                slack = (
                    0.3 * (facts.motion in ("spin", "swing")) * (box[2] - box[0]) + 0.035
                )  # a turned box is wider
                assert (seen[:2] > box[:2] - 0.035).all() and (seen[2:] < box[2:] + 0.035).all()
                assert np.abs(seen - box).max() < slack
                checked += 1
    assert checked > 500


def test_the_border_has_the_stated_colour(world, many):
    for facts in [
        f
        for f in many[:400]
        if f.background.name in COLOURS and f.motion in ("stay", "spin", "jump") and not f.effect
    ][:12]:
        frames = render(world, facts, 64, range(0, 80, 8))
        corners = frames[:, [0, 0, -1, -1], [0, -1, 0, -1]]
        boxes = np.stack([actor.boxes[::8] for actor in facts.actors])
        clear = ((boxes[..., :2] > 0.05) & (boxes[..., 2:] < 0.95)).all((0, 2))
        assert (corners[clear] == COLOURS[facts.background.name]).all()


def test_a_gradient_runs_from_the_first_colour_to_the_last(world, many):
    facts = next(
        f
        for f in many
        if f.background.name == "gradient"
        and f.background.across
        and not f.effect
        and f.motion == "stay"
        and f.place == "centre"
    )
    frame = render(world, facts, 64)[0].astype(int)
    for column, name in ((0, facts.background.colours[0]), (-1, facts.background.colours[1])):
        assert np.abs(frame[0, column] - COLOURS[name]).max() < 4


@pytest.mark.parametrize("place", PLACES)
def test_a_subject_stands_where_the_facts_say(world, many, place):
    facts = first(many, motion="stay", place=place)
    (actor,) = facts.actors
    for offset, way in zip((actor.x[0] - 0.5, actor.y[0] - 0.5), PLACES[place]):
        assert np.sign(offset) == way and abs(offset) >= 0.08 * abs(way)


@pytest.mark.parametrize("name", [name for name, motion in MOTIONS.items() if motion.cyclic])
def test_cyclic_motions_close(name):
    pace = Pace(cycles=3, turn=-1)
    start, end = (MOTIONS[name].path(np.array([u]), pace) for u in (0.0, 1.0))
    for part in ("x", "y", "scale", "opacity"):
        assert getattr(start, part) == pytest.approx(getattr(end, part), abs=1e-9)
    assert np.cos(start.angle) == pytest.approx(np.cos(end.angle)) and times(80, True)[
        -1
    ] == pytest.approx(79 / 80)


def test_a_loop_goes_on_as_if_never_cut(world, many):
    """From the last frame to the first is a step like any other."""
    for facts in [f for f in many if f.loop][:12]:
        frames = render(world, facts, 32).astype(float)
        steps = np.abs(frames - np.roll(frames, 1, 0)).mean((1, 2, 3))
        assert steps[0] <= steps[1:].max() * 1.2 + 0.1


def test_chase_and_meet_are_as_said(many):
    chase, meet = first(many, motion="chase"), first(many, motion="meet")
    forward = 1 if chase.towards == "right" else -1
    behind, ahead = chase.actors
    assert (forward * (ahead.x - behind.x) > 0.3).all() and forward * (
        ahead.x[-1] - ahead.x[0]
    ) >= 0.25
    one, other = meet.actors
    assert (
        one.x[-1] < other.x[-1]
        and one.x[-1] - one.x[0] >= 0.25
        and other.x[0] - other.x[-1] >= 0.25
    )
    assert {len(f.actors) for f in many if f.motion in PAIRS} == {2}


def test_spinning_clockwise_turns_the_picture_clockwise(world, many):
    """A quarter turn clockwise takes the top to the right."""
    facts = plain(many, "spin", turn=1, speed="slow")
    quarter = facts.frames // 4
    assert facts.actors[0].angle[quarter] == pytest.approx(np.pi / 2)
    dx, dy = 0.0, -1.0  # the top, before turning
    angle = facts.actors[0].angle[quarter]
    assert (
        np.cos(angle) * dx - np.sin(angle) * dy,
        np.sin(angle) * dx + np.cos(angle) * dy,
    ) == pytest.approx((1, 0), abs=1e-5)


def test_subjects_are_seen_in_most_frames(many):
    for facts in many:
        for actor in facts.actors:
            assert actor.boxes.any(1).mean() >= 0.6, (facts.seed, facts.motion)


def test_pictures_are_clips_of_one_frame(world):
    clip, caption, facts = draw(world, 5, frames=1)
    assert (
        clip.frames.shape == (1, 64, 64, 3)
        and facts.motion == "stay"
        and facts.camera == "still"
        and caption
    )


def test_sizes_show_the_same_scene(world):
    small, middle, large = (
        draw(world, 11, size=size, frames=4)[0].frames.astype(float) for size in (32, 64, 256)
    )
    for big, side in ((middle, 64), (large, 256)):
        shrunk = big.reshape(4, 32, side // 32, 32, side // 32, 3).mean((2, 4))
        assert np.abs(shrunk - small).mean() < 4


def test_frames_may_be_drawn_by_themselves(world, many):
    facts = first(many, camera="pan left")
    assert np.array_equal(render(world, facts, 64, at=[3, 40]), render(world, facts, 64)[[3, 40]])


def test_the_built_world_draws(built_world):
    for seed in range(20):
        clip, caption, facts = draw(built_world, seed)
        assert clip.frames.shape == (80, 64, 64, 3) and caption and clip.frames.std() > 1
        assert all(actor.boxes.any(1).mean() >= 0.6 for actor in facts.actors)
