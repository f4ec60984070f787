"""Guidance by replacement: what is known comes out of the sampler, whatever the net says; coarse
shapes can be held.
"""

import pytest
import torch

from levels import TRAINED, at, solver
from openlumiere.contract import Condition, Known
from openlumiere.diffusion.sampler import draw_noise, sample
from openlumiere.diffusion.wrappers import coarse, held, shaped

SHAPE = (2, 4, 3, 3)


def known():
    content = torch.linspace(-1, 1, 2 * 4 * 9).reshape(1, *SHAPE)
    mask = torch.zeros(1, 1, *SHAPE[1:])
    mask[:, :, :2] = 1
    return Known(content=content, mask=mask)


@pytest.mark.parametrize("name", ["ddim", "dpm++", "euler-ancestral"])
def test_known_content_comes_out(name):
    seen = []

    def net(noisy, level, condition):
        seen.append(condition.known)
        return noisy * 0.1

    condition = Condition(text=torch.zeros(1, 1, 4), known=known())
    *_, last = sample(held(net), solver(5, name, seeds=[3]), draw_noise(SHAPE, [3]), condition)
    content = known().content
    assert torch.allclose(last.noisy[:, :, :2], content[:, :, :2], atol=2e-3)
    assert not torch.allclose(last.noisy[:, :, 2:], content[:, :, 2:], atol=0.1)
    assert seen == [None] * 5


def test_the_net_meets_it_at_the_noise_of_the_step():
    """Under DDIM the known places are exactly `alpha content + sigma noise` of the noise that was
    drawn.
    """
    noise, given, seen = draw_noise(SHAPE, [3]), known(), []

    def net(noisy, level, condition):
        seen.append((noisy, TRAINED.signal(level.time)))
        return torch.zeros_like(noisy)

    condition = Condition(text=torch.zeros(1, 1, 4), known=given)
    list(sample(held(net), solver(5), noise, condition))
    for noisy, signal in seen:
        expected = signal**0.5 * given.content + (1 - signal) ** 0.5 * noise
        assert torch.allclose(noisy[:, :, :2], expected[:, :, :2], atol=1e-4)


def test_without_anything_known_it_is_the_net():
    noisy = torch.randn(1, *SHAPE)
    plus_one = held(lambda noisy, level, condition: noisy + 1)
    assert torch.equal(plus_one(noisy, at(3), Condition(text=torch.zeros(1, 1, 4))), noisy + 1)


def test_held_shapes_come_out_and_details_are_the_nets():
    """The net says a checkerboard, the source one grey: out comes the checkerboard around that
    grey.
    """
    source = torch.full((1, 1, 2, 8, 8), 0.25)
    board = (torch.arange(64).reshape(8, 8) + torch.arange(8)[:, None]) % 2 - 0.5
    net = shaped(lambda noisy, level, condition: board.expand_as(noisy), source, 4)
    nothing = Condition(text=torch.zeros(1, 1, 4))
    *_, last = sample(net, solver(4), draw_noise((1, 2, 8, 8), [3]), nothing)
    assert torch.allclose(last.noisy, source + board, atol=5e-3)


def test_shapes_are_held_for_a_share_of_the_noise():
    noisy = torch.zeros(1, 1, 1, 4, 4)
    nothing = Condition(text=torch.zeros(1, 1, 4))
    half = shaped(lambda noisy, level, condition: noisy, torch.ones_like(noisy), 2, 0.5)
    changed = [bool(half(noisy, at(time), nothing).any()) for time in (0, 499, 500, 999)]
    assert changed == [False, False, True, True]


def test_coarse_shapes_have_the_means_and_no_details():
    clip = torch.rand(1, 2, 3, 7, 9)
    fine = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)
    assert coarse(clip, 4).shape == clip.shape and torch.allclose(
        coarse(torch.ones(1, 1, 1, 7, 9), 4), torch.ones(1, 1, 1, 7, 9)
    )
    assert torch.allclose(coarse(fine[None, None, None], 4), torch.zeros(1), atol=1e-6)
