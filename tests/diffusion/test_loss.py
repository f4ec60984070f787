import pytest
import torch

from levels import TRAINED
from openlumiere.diffusion.loss import (
    TRUNCATION,
    add_noise,
    clean_loss,
    draw_timesteps,
    signal_and_noise,
    velocity_weight,
)

MEAN, SPREAD = 0.3, 0.5
SIGNAL = TRAINED.scheduler.alphas_cumprod


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def predictor(gain=1.0, shift=0.0):
    """E[clean | noisy] of N(MEAN, SPREAD^2) data at gain 1 and shift 0, a worse one elsewhere."""

    def predict(noisy, timestep):
        alpha, sigma = signal_and_noise(timestep, TRAINED, noisy.ndim)
        return (
            MEAN
            + shift
            + gain * alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (noisy - alpha * MEAN)
        )

    return predict


def losses(predict):
    timestep = torch.tensor([10, 100, 200, 300])
    clean = MEAN + SPREAD * random(4, 1, 10, 64, 64, seed=0)
    return clean_loss(predict, clean, random(4, 1, 10, 64, 64, seed=1), timestep, TRAINED)


@pytest.mark.parametrize("worse", [{"gain": 0.8}, {"gain": 1.2}, {"shift": 0.05}, {"shift": -0.05}])
def test_the_exact_denoiser_has_the_least_loss(worse):
    assert (losses(predictor()) < losses(predictor(**worse))).all()


def test_the_exact_denoisers_loss_is_the_posterior_variance_weighted():
    timestep = torch.tensor([10, 100, 200, 300])
    signal = SIGNAL[timestep]
    expected = (
        SPREAD**2
        * (1 - signal)
        / (signal * SPREAD**2 + 1 - signal)
        * velocity_weight(timestep, TRAINED)
    )
    torch.testing.assert_close(losses(predictor()), expected, rtol=0.03, atol=0)


def test_the_weight_is_the_velocitys_truncated():
    timestep = torch.arange(1000)
    weight = velocity_weight(timestep, TRAINED)
    assert weight.max() == 1 + TRUNCATION and weight[-1] == 1 and (weight.diff() <= 0).all()
    free = 1 / (1 - SIGNAL) < 1 + TRUNCATION
    torch.testing.assert_close(weight[free], 1 / (1 - SIGNAL[free]))


def test_the_weight_turns_clean_error_into_velocity_error():
    clean, noise, off = (random(3, 2, 2, 4, 4, seed=seed) for seed in (0, 1, 2))
    timestep = torch.tensor([400, 700, 999])
    alpha, sigma = signal_and_noise(timestep, TRAINED, 5)
    noisy = alpha * clean + sigma * noise
    velocity = lambda clean: alpha / sigma * noisy - clean / sigma
    error = (velocity(clean + off) - velocity(clean)).square().flatten(1).mean(1)
    torch.testing.assert_close(
        clean_loss(lambda *_: clean + off, clean, noise, timestep, TRAINED), error
    )


def test_noise_is_added_as_diffusers_does():
    clean, noise, timestep = (
        random(3, 2, 2, 4, 4, seed=0),
        random(3, 2, 2, 4, 4, seed=1),
        torch.tensor([0, 500, 999]),
    )
    torch.testing.assert_close(
        add_noise(clean, noise, timestep, TRAINED),
        TRAINED.scheduler.add_noise(clean, noise, timestep),
    )


@pytest.mark.parametrize("low_noise", [1.0, 2.0])
def test_timesteps_are_denser_at_low_noise(low_noise):
    timesteps = draw_timesteps(20_000, 1000, low_noise, torch.Generator().manual_seed(0))
    assert timesteps.min() >= 0 and timesteps.max() == 999 and timesteps.dtype == torch.int64
    assert float((timesteps < 500).float().mean()) == pytest.approx(
        0.5 ** (1 / low_noise), abs=0.02
    )
