"""A camera that passes over a picture."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from openlumiere import Lumiere
from openlumiere.contract import Native
from openlumiere.engine.camera import PANS, camera_in, passed_over
from openlumiere.engine.canvas import keyframes
from openlumiere.engine.fit import encode, fit
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.tasks import read_task
from openlumiere_world.toys.captions import WORDS


def canvas(frames=17):
    y, x = np.mgrid[:64, :96]
    picture = np.stack([x * 2, y * 3, np.full_like(x, 90)], -1).astype(np.uint8)
    return keyframes({0: picture}, frames, Fraction(16))


@pytest.mark.parametrize("language", WORDS)
def test_the_cameras_of_captions_are_read_from_prompts(language):
    for name, words in WORDS[language].cameras.items():
        expected = None if name == "follow" else name.replace(" ", "-")
        assert camera_in(f"A photo, {words.upper()} slowly") == expected
    assert camera_in("a fox moves to the left") is None


@pytest.mark.parametrize(("camera", "way"), PANS.items())
def test_what_a_camera_leaves_goes_the_other_way(camera, way):
    led = passed_over(canvas(), camera)
    assert led.likely and np.array_equal(led.frames[0], canvas().frames[0])
    assert np.array_equal(led.known, canvas().known)
    middle = led.frames[16, 32, 48].astype(int) - led.frames[0, 32, 48]
    assert np.allclose(middle[:2], [way[0] * 2 * 96 / 16, way[1] * 3 * 64 / 29], atol=3)


def test_zooming_in_and_out_and_standing_still():
    nearer, further, still = (
        passed_over(canvas(), camera, pace).frames[16, 32].astype(int)
        for camera, pace in (("zoom-in", 1), ("zoom-out", 1), ("zoom-in", 0))
    )
    assert nearer[10, 0] > still[10, 0] + 3 > further[10, 0] + 6
    assert np.array_equal(still, canvas().frames[0, 32])


def test_only_nets_that_hold_are_told_what_is_likely():
    led = passed_over(canvas(), "pan-left")
    known = encode(led, fit(led, Native(side=32, multiple=8)), UnshuffleCodec(2))
    plain = known.as_channels()
    assert not plain[:, :, 1:].any()
    told = known.as_channels(hold=True)
    assert torch.equal(told[:, -1:], known.mask) and torch.equal(told[:, :-1], known.content)


def test_a_net_that_holds_is_led(build_tiny):
    pipeline = build_tiny(hold_known=True)
    pipeline.stunet.widen_input(2 * pipeline.codec.channels + 1)
    torch.nn.init.normal_(pipeline.stunet.conv_in_added.weight)
    led = Lumiere(pipeline)
    picture, how = canvas().frames[0], {"frames": 4, "steps": 1, "size": 32}
    still = led.animate(picture, "a dog", **how)
    assert led.base.backbone.reads.likely
    left = led.animate(picture, "a dog", camera="pan-left", **how)
    assert left != still and np.array_equal(left.frames[0], still.frames[0])
    assert led.replay(left.origin.record, inputs={"image": picture}) == left


def test_a_camera_needs_one_picture_and_a_model_that_is_led(tiny):
    picture = canvas().frames[0]
    with pytest.raises(ValueError, match="camera: expected one picture"):
        tiny.animate(picture, camera="pan-left", loop=True)
    with pytest.raises(ValueError, match="camera: expected a model that can be led"):
        tiny.animate(picture, camera="pan-left")
    with pytest.raises(ValueError, match="camera"):
        read_task({"kind": "animate", "image": "a.png", "camera": "sideways"})
