"""What is not finite never becomes pixels."""

import pytest
import torch

from openlumiere.models.codec import to_frames
from openlumiere.models.lora import LowRank
from openlumiere.models.style import Style


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_value_is_enough(value):
    pixels = torch.zeros(1, 3, 2, 4, 4)
    assert (to_frames(pixels) == 128).all()
    pixels[0, 1, 1, 2, 3] = value
    with pytest.raises(ValueError, match="frames: expected finite values, got NaN or infinity, "):
        to_frames(pixels)


def test_a_style_that_overflows_is_an_error_and_no_clip(tiny):
    shape = tiny.base.stunet.unet2d.conv_in.weight.shape
    down = torch.full((1, *shape[1:]), 1e15)
    style = Style(
        "huge", {"conv_in": LowRank(down, torch.full((shape[0], 1, 1, 1), 1e15), 1.0)}, {}, None
    )
    with pytest.raises(ValueError, match="finite"):
        tiny.generate("a dog", frames=2, steps=2, size=0, style=style, style_weight=1.0)
