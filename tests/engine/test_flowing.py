"""A region that flows, in a loop, and what was likely shown where the net agrees."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from openlumiere import Lumiere
from openlumiere.engine.canvas import partly_moving
from openlumiere.engine.detail import agreed
from openlumiere.engine.flowing import SPEED, flowing, way_in
from openlumiere.quality.motion import flow
from openlumiere.tasks import Region, read_task
from openlumiere.tasks.values import WAYS
from openlumiere_world.toys.moved import SAYS

SIDE, FRAMES = 96, 40
MIDDLE = Region.box(0.2, 0.2, 0.8, 0.8)


def canvas(frames=FRAMES):
    blots = np.random.default_rng(1).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    picture = cv2.resize(blots, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return partly_moving(picture, MIDDLE, frames, Fraction(16))


@pytest.mark.parametrize("language", SAYS)
def test_the_motions_of_captions_are_read_from_prompts(language):
    for motion, sentences in SAYS[language].motions.items():
        for said in sentences:
            assert way_in(said.upper()) == (motion if motion in WAYS else None)


@pytest.mark.parametrize(
    ("prompt", "way"),
    [
        ("the water is flowing  left", "left"),
        ("the river flows from left to right", "right"),
        ("l\N{RIGHT SINGLE QUOTATION MARK}acqua scorre a sinistra", "left"),
        ("das wasser fallt", "down"),
        ("le bateau tombe", None),
        ("everything flows right now", None),
        ("flows upon stones", None),
        ("the water does not flow down", None),
        ("it flows left, the smoke rises", None),
    ],
)
def test_only_what_flows_one_way_is_read(prompt, way):
    assert way_in(prompt) == way


def test_what_is_transparent_lends_no_colour():
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[32:] = (250, 250, 250, 255)
    whole = partly_moving(picture, Region.box(0, 0, 1, 1), 16, Fraction(16))
    frame = flowing(whole, "up").frames[5]
    assert frame[frame[..., 3] > 20][:, 0].min() > 235


@pytest.mark.parametrize(("way", "shift"), WAYS.items())
def test_what_is_inside_flows_and_the_border_stays(way, shift):
    given = canvas()
    led = flowing(given, way)
    assert led.likely and np.array_equal(led.known, given.known)
    assert np.array_equal(led.frames[given.known], given.frames[given.known])
    went = flow(led.frames[0], led.frames[4])[40:56, 40:56].mean((0, 1))
    along, across = went @ np.array([shift, shift[::-1]]).T / (SPEED * SIDE / 4)
    assert 0.3 < along < 1.2 and abs(across) < 0.2  # of two copies, the second stands still yet


@pytest.mark.parametrize("frames", [24, 40, 80])
def test_a_loop_closes(frames):
    led = flowing(canvas(frames), "right").frames.astype(float)
    steps = np.abs(led - np.roll(led, -1, axis=0)).mean((1, 2, 3))
    assert steps[-1] < 1.5 * np.median(steps) and np.median(steps) > 0.1


def test_no_pace_is_no_motion_and_a_whole_frame_flows_at_its_edge():
    given = canvas()
    assert np.array_equal(flowing(given, "left", pace=0).frames, given.frames)
    whole = partly_moving(given.frames[0], Region.box(0, 0, 1, 1), FRAMES, Fraction(16))
    assert not np.array_equal(flowing(whole, "left").frames[5, :, 50], whole.frames[5, :, 50])


def test_the_likely_is_shown_where_a_net_lost_detail_and_not_where_it_made_something():
    rng = np.random.default_rng(0)
    likely = np.clip(120 + 30 * rng.standard_normal((96, 96, 3)), 0, 255).astype(np.uint8)
    made = np.full((96, 96, 3), 118, np.uint8)
    made[30:66, 30:66] = (250, 20, 20)
    shown = agreed(made, likely)
    assert np.array_equal(shown[:12], likely[:12])
    assert np.abs(shown[42:54, 42:54].astype(int) - made[42:54, 42:54]).max() < 12


def test_a_net_that_holds_flows_and_others_are_refused(build_tiny, tiny):
    pipeline = build_tiny(hold_known=True)
    pipeline.stunet.widen_input(2 * pipeline.codec.channels + 1)
    torch.nn.init.normal_(pipeline.stunet.conv_in_added.weight)
    led, picture = Lumiere(pipeline), canvas().frames[0]
    how = {"frames": 8, "steps": 1, "size": 32}
    still = led.cinemagraph(picture, MIDDLE, "a dog", **how)
    flows = led.cinemagraph(picture, MIDDLE, "a dog", flow="left", **how)
    assert flows != still and np.array_equal(flows.frames[:, 0], still.frames[:, 0])
    assert led.replay(flows.origin.record, inputs={"image": picture}) == flows
    with pytest.raises(ValueError, match="flow: expected a model that can be led"):
        tiny.cinemagraph(picture, MIDDLE, flow="left")
    with pytest.raises(ValueError, match="flow"):
        read_task({"kind": "cinemagraph", "image": "a.png", "region": "0,0,1,1", "flow": "round"})
