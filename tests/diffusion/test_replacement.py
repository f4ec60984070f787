"""Guidance by replacement: what is known comes out of the sampler, whatever the net says; coarse
shapes can be held.
"""

import pytest
import torch

from openlumiere.diffusion.denoiser import CONVERSIONS, Condition
from openlumiere.diffusion.held import coarse, hold_shapes, replace_known
from openlumiere.diffusion.known import Known
from openlumiere.diffusion.sampler import SCHEDULERS, draw_noise, make_scheduler, sample

SHAPE = (2, 4, 3, 3)
TRAINED = {
    "beta_schedule": "linear",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def known():
    content = torch.linspace(-1, 1, 2 * 4 * 9).reshape(1, *SHAPE)
    mask = torch.zeros(1, 1, *SHAPE[1:])
    mask[:, :, :2] = 1
    return Known(content=content, mask=mask)


@pytest.mark.parametrize("kind", ["sample", "v_prediction", "epsilon"])
@pytest.mark.parametrize("name", ["ddim", "dpm++", "euler-ancestral"])
def test_known_content_comes_out(kind, name):
    scheduler = make_scheduler(name, {**TRAINED, "prediction_type": kind})
    seen = []

    def net(noisy, timestep, condition):
        seen.append((noisy, condition.known))
        return noisy * 0.1

    held = replace_known(net, kind, scheduler.alphas_cumprod)
    steps = list(
        sample(
            held,
            scheduler,
            draw_noise(SHAPE, [3]),
            Condition(text=torch.zeros(1, 1, 4), known=known()),
            steps=5,
            seeds=[3],
        )
    )
    given = known()
    assert torch.allclose(steps[-1].noisy[:, :, :2], given.content[:, :, :2], atol=2e-3)
    assert not torch.allclose(steps[-1].noisy[:, :, 2:], given.content[:, :, 2:], atol=0.1)
    assert all(known is None for _, known in seen) and name in SCHEDULERS


def test_the_net_meets_it_at_the_noise_of_the_step():
    """Under DDIM the known places are exactly `alpha content + sigma noise` of the noise that was
    drawn.
    """
    scheduler = make_scheduler("ddim", {**TRAINED, "prediction_type": "sample"})
    noise, given, seen = draw_noise(SHAPE, [3]), known(), []

    def net(noisy, timestep, condition):
        seen.append((noisy, scheduler.alphas_cumprod[int(timestep)]))
        return torch.zeros_like(noisy)

    held = replace_known(net, "sample", scheduler.alphas_cumprod)
    list(sample(held, scheduler, noise, Condition(text=torch.zeros(1, 1, 4), known=given), steps=5))
    for noisy, signal in seen:
        expected = signal**0.5 * given.content + (1 - signal) ** 0.5 * noise
        assert torch.allclose(noisy[:, :, :2], expected[:, :, :2], atol=1e-4)


def test_without_anything_known_it_is_the_net():
    noisy = torch.randn(1, *SHAPE)
    held = replace_known(
        lambda noisy, timestep, condition: noisy + 1, "sample", torch.linspace(0.99, 0, 10)
    )
    assert torch.equal(held(noisy, 3, Condition(text=torch.zeros(1, 1, 4))), noisy + 1)


@pytest.mark.parametrize("kind", ["sample", "v_prediction", "epsilon"])
def test_held_shapes_come_out_and_details_are_the_nets(kind):
    """The net says a checkerboard, the source one grey: out comes the checkerboard around that
    grey.
    """
    scheduler = make_scheduler("ddim", {**TRAINED, "prediction_type": kind})
    source = torch.full((1, 1, 2, 8, 8), 0.25)
    board = (torch.arange(64).reshape(8, 8) + torch.arange(8)[:, None]) % 2 - 0.5

    def net(noisy, timestep, condition):
        level = scheduler.alphas_cumprod[int(timestep)]
        return CONVERSIONS[kind](
            board.expand_as(noisy), noisy, level**0.5, (1 - level) ** 0.5, "sample"
        )

    held = hold_shapes(net, kind, scheduler.alphas_cumprod, source, 4)
    last = list(
        sample(
            held,
            scheduler,
            draw_noise((1, 2, 8, 8), [3]),
            Condition(text=torch.zeros(1, 1, 4)),
            steps=4,
            seeds=[3],
        )
    )[-1].noisy
    assert torch.allclose(last, source + board, atol=5e-3)


def test_shapes_are_held_for_a_share_of_the_noise():
    levels, noisy, nothing = (
        torch.linspace(0.99, 0, 10),
        torch.zeros(1, 1, 1, 4, 4),
        Condition(text=torch.zeros(1, 1, 4)),
    )
    held = hold_shapes(
        lambda noisy, timestep, condition: noisy, "sample", levels, torch.ones_like(noisy), 2, 0.5
    )
    assert [bool(held(noisy, timestep, nothing).any()) for timestep in range(10)] == [False] * 5 + [
        True
    ] * 5


def test_coarse_shapes_have_the_means_and_no_details():
    clip = torch.rand(1, 2, 3, 7, 9)
    fine = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)
    assert coarse(clip, 4).shape == clip.shape and torch.allclose(
        coarse(torch.ones(1, 1, 1, 7, 9), 4), torch.ones(1, 1, 1, 7, 9)
    )
    assert torch.allclose(coarse(fine[None, None, None], 4), torch.zeros(1), atol=1e-6)
