import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from openlumiere.diffusion.process import (
    CONVERSIONS,
    SILENT,
    check_kind,
    noise_level,
    to_clean,
    to_noise,
    to_velocity,
)

KINDS = ["epsilon", "v_prediction", "sample"]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def level(angle):
    angle = torch.tensor(angle, dtype=torch.float64)
    return angle.cos(), angle.sin()


@settings(deadline=None, max_examples=60)
@given(
    angle=st.floats(0.01, 1.56),
    seed=st.integers(0, 2**31),
    given_kind=st.sampled_from(KINDS),
    wanted=st.sampled_from(KINDS),
)
def test_conversions_go_there_and_back(angle, seed, given_kind, wanted):
    alpha, sigma = level(angle)
    prediction, noisy = (
        random(2, 3, 2, 4, 4, seed=seed).double(),
        random(2, 3, 2, 4, 4, seed=seed + 1).double(),
    )
    there = CONVERSIONS[wanted](prediction, noisy, alpha, sigma, given_kind)
    torch.testing.assert_close(
        CONVERSIONS[given_kind](there, noisy, alpha, sigma, wanted),
        prediction,
        atol=1e-9,
        rtol=1e-9,
    )


@settings(deadline=None, max_examples=40)
@given(angle=st.floats(0.01, 1.56), seed=st.integers(0, 2**31))
def test_conversions_of_the_truth_are_the_truth(angle, seed):
    alpha, sigma = level(angle)
    clean, noise = (
        random(1, 2, 2, 3, 3, seed=seed).double(),
        random(1, 2, 2, 3, 3, seed=seed + 1).double(),
    )
    noisy, velocity = alpha * clean + sigma * noise, alpha * noise - sigma * clean
    for kind, truth in (("epsilon", noise), ("v_prediction", velocity), ("sample", clean)):
        torch.testing.assert_close(to_clean(truth, noisy, alpha, sigma, kind), clean)
        torch.testing.assert_close(to_noise(truth, noisy, alpha, sigma, kind), noise)
        torch.testing.assert_close(to_velocity(truth, noisy, alpha, sigma, kind), velocity)


def test_no_signal():
    """At alpha 0 the velocity is the clean clip with its sign turned, and a noise prediction says
    mid-grey.
    """
    clean, noise = random(1, 2, 1, 3, 3), random(1, 2, 1, 3, 3, seed=1)
    zero, one = torch.tensor(0.0), torch.tensor(1.0)
    assert torch.equal(to_clean(-clean, noise, zero, one, "v_prediction"), clean)
    assert torch.equal(to_velocity(clean, noise, zero, one, "sample"), -clean)
    assert torch.equal(to_noise(clean, noise, zero, one, "sample"), noise)
    assert to_clean(noise, noise, zero, one, "epsilon").count_nonzero() == 0
    assert to_clean(noise, noise, SILENT, 1.0, "epsilon").count_nonzero() == 0
    assert to_velocity(noise, noise, zero, one, "epsilon").count_nonzero() == 0


def test_no_noise():
    clean = random(1, 2, 1, 3, 3)
    assert torch.equal(to_clean(clean, clean, 1.0, 0.0, "v_prediction"), clean)
    assert to_noise(clean, clean, 1.0, 0.0, "sample").count_nonzero() == 0


def test_an_unknown_kind_is_refused():
    with pytest.raises(
        ValueError,
        match="expected a prediction kind of epsilon, v_prediction, sample, got 'flow_prediction'",
    ):
        check_kind("flow_prediction")


@pytest.mark.parametrize("silent", [False, True])
def test_noise_levels_are_those_of_the_schedule(silent):
    signal = DDIMScheduler(beta_schedule="linear", rescale_betas_zero_snr=silent).alphas_cumprod
    alpha, sigma = noise_level(torch.tensor([0, 500, 998, 999]), signal)
    torch.testing.assert_close(
        alpha, signal[[0, 500, 998, 999]].sqrt(), atol=2.5e-4 if silent else 1e-6, rtol=0
    )
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(4))
    assert noise_level(3, signal)[0].ndim == 0


@pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
def test_levels_between_timesteps_are_those_of_diffusers():
    scheduler = EulerDiscreteScheduler(
        beta_start=0.0001, beta_end=0.02, beta_schedule="linear", timestep_spacing="linspace"
    )
    scheduler.set_timesteps(7)
    alpha, sigma = noise_level(scheduler.timesteps, scheduler.alphas_cumprod)
    assert any(float(timestep) % 1 for timestep in scheduler.timesteps)
    torch.testing.assert_close(sigma / alpha, scheduler.sigmas[:-1], atol=1e-4, rtol=1e-4)
