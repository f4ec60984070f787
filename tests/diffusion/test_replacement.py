"""Guidance by replacement: what is known comes out of the sampler, whatever the net says."""

import pytest
import torch

from openlumiere.diffusion.denoiser import Condition
from openlumiere.diffusion.known import Known
from openlumiere.diffusion.replacement import replace_known
from openlumiere.diffusion.sample import SCHEDULERS, draw_noise, make_scheduler, sample

SHAPE = (2, 4, 3, 3)
TRAINED = {"beta_schedule": "linear", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


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
    steps = list(sample(held, scheduler, draw_noise(SHAPE, [3]), Condition(text=torch.zeros(1, 1, 4), known=known()), steps=5, seeds=[3]))
    given = known()
    assert torch.allclose(steps[-1].noisy[:, :, :2], given.content[:, :, :2], atol=2e-3)
    assert not torch.allclose(steps[-1].noisy[:, :, 2:], given.content[:, :, 2:], atol=0.1)
    assert all(known is None for _, known in seen) and name in SCHEDULERS


def test_the_net_meets_it_at_the_noise_of_the_step():
    """Under DDIM the known places are exactly `alpha content + sigma noise` of the noise that was drawn."""
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
    held = replace_known(lambda noisy, timestep, condition: noisy + 1, "sample", torch.linspace(0.99, 0, 10))
    assert torch.equal(held(noisy, 3, Condition(text=torch.zeros(1, 1, 4))), noisy + 1)
