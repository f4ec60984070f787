"""Seamless loops: every frame of the circle is treated alike."""

import pytest
import torch

from levels import at
from openlumiere.contract import Condition, Known
from openlumiere.diffusion.wrappers import looped

TEXT = Condition(text=torch.zeros(1, 1, 4))


def test_what_ignores_time_is_returned_to_the_bit():
    noisy = torch.randn(1, 3, 10, 2, 2)
    assert torch.equal(
        looped(lambda noisy, level, condition: noisy * 0.3)(noisy, at(1), TEXT), noisy * 0.3
    )


def test_the_ends_of_one_run_are_the_middle_of_another():
    """A net that marks its first and last frame: without the circle a jump of 1, with it hardly
    any.
    """

    def marks_ends(noisy, level, condition):
        marked = torch.zeros_like(noisy)
        marked[:, :, 0], marked[:, :, -1] = 1, -1
        return marked

    made = looped(marks_ends)(torch.zeros(1, 1, 80, 1, 1), at(1), TEXT)
    assert made.abs().max() < 1 / 40 and made.abs().sum() > 0


def test_the_seam_of_a_ramp_is_shared_by_all_steps():
    """Predictions that run from 0 to 1 jump by 1 where the clip closes; around the circle it is the
    same small step in two places.
    """

    def ramp(noisy, level, condition):
        return torch.linspace(0, 1, 80)[None, None, :, None, None].expand_as(noisy)

    made = looped(ramp)(torch.zeros(1, 1, 80, 1, 1), at(1), TEXT).flatten()
    steps = torch.cat([made, made[:1]]).diff().abs()
    assert steps.max() < 0.02 and torch.allclose(steps[-1], steps[39])


def test_what_is_known_turns_with_the_clip():
    known = Known(
        content=torch.arange(6.0)[None, None, :, None, None],
        mask=torch.eye(6)[2][None, None, :, None, None],
    )
    seen = []

    def looks(noisy, level, condition):
        seen.append(
            (noisy.flatten(), condition.known.content.flatten(), condition.known.mask.flatten())
        )
        return noisy

    noisy = torch.arange(6.0)[None, None, :, None, None]
    assert torch.equal(
        looped(looks, 3)(noisy, at(1), Condition(text=torch.zeros(1, 1, 4), known=known)), noisy
    )
    assert [noisy[0].item() for noisy, _, _ in seen] == [0, 2, 4]
    assert all(
        torch.equal(noisy, content) and content[mask == 1] == 2 for noisy, content, mask in seen
    )


def test_one_start_is_refused():
    with pytest.raises(ValueError, match="starts: expected at least 2, got 1, use 2"):
        looped(lambda *_: None, 1)
