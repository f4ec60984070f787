import pytest
import torch

from levels import at
from openlumiere.contract import Condition
from openlumiere.diffusion.multidiffusion import Windows, multidiffuse
from openlumiere.diffusion.wrappers import SHARES, blend_prompts, guided, spread


def text(value):
    return Condition(text=torch.full((1, 2, 3), float(value)))


def says(noisy, level, condition):
    """The text, and nothing of the clip; it must not meet the weights."""
    assert not condition.over_frames
    return noisy * 0 + condition.text.mean((1, 2)).view(-1, 1, 1, 1, 1)


def told(shares, batch=1):
    return Condition(
        text=torch.zeros(batch, 2, 3),
        over_frames={SHARES: spread(shares, 2, 2).expand(batch, -1, -1, -1, -1)},
    )


NOISY = torch.randn(1, 3, 6, 2, 2, generator=torch.Generator().manual_seed(0))
SHARES_OF_TWO = torch.tensor([[1, 1, 0.5, 0.25, 0, 0], [0, 0, 0.5, 0.75, 1, 1]])


def test_each_frame_follows_its_prompts_by_their_weights():
    result = blend_prompts(says, [text(2), text(6)])(NOISY, at(5), told(SHARES_OF_TWO))
    assert result[0, 0, :, 0, 0].tolist() == [2, 2, 4, 5, 6, 6]


def test_one_prompt_is_one_plain_call():
    calls = []

    def watched(noisy, level, condition):
        calls.append(noisy)
        return says(noisy, level, condition)

    blend_prompts(watched, [text(2), text(6)])(
        NOISY, at(5), told(torch.tensor([[1.0] * 6, [0.0] * 6]))
    )
    assert len(calls) == 1 and calls[0] is NOISY


@pytest.mark.parametrize(
    "windows", [Windows(frames=3), Windows(frames=2, overlap=1, tapered=True, batch=3)]
)
def test_windows_are_told_the_prompts_of_their_own_frames(windows):
    shares = torch.eye(2).repeat_interleave(3, 1)
    result = multidiffuse(blend_prompts(guided(says, text(0), 2.0), [text(2), text(6)]), windows)(
        NOISY, at(5), told(shares)
    )
    assert result[0, 0, :, 0, 0].tolist() == [4, 4, 4, 12, 12, 12]


def test_prompts_and_windows_commute_for_a_net_that_looks_at_no_neighbour():
    windows, prompts = Windows(frames=4), [text(2), text(6)]
    inside = multidiffuse(blend_prompts(says, prompts), windows)(NOISY, at(5), told(SHARES_OF_TWO))
    torch.testing.assert_close(
        inside, blend_prompts(says, prompts)(NOISY, at(5), told(SHARES_OF_TWO))
    )


def test_weights_go_around_with_the_circle():
    turned = told(SHARES_OF_TWO).roll(-2).over_frames[SHARES]
    assert turned[0, 0, :, 0, 0].tolist() == [0.5, 0.25, 0, 0, 1, 1]


def test_weights_for_other_prompts_are_refused():
    for condition in (told(SHARES_OF_TWO), Condition(text=torch.zeros(1, 2, 3))):
        with pytest.raises(ValueError, match="shares: expected weights for 3 prompts"):
            blend_prompts(says, [text(1), text(2), text(3)])(NOISY, at(5), condition)
