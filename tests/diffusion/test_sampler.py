import math

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler

from levels import solver
from openlumiere.contract import Condition
from openlumiere.diffusion.process import (
    CONVERSIONS,
    SCHEDULERS,
    VariancePreserving,
    make_scheduler,
    noise_level,
)
from openlumiere.diffusion.sampler import Step, draw_noise, sample

# diffusers 0.42 turns tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

KINDS = ["epsilon", "v_prediction", "sample"]
MEAN, SPREAD = 0.3, 0.5
ODE = [name for name in SCHEDULERS if name not in ("euler-ancestral", "lcm")]


def schedule(kind="sample", silent=True):
    return DDIMScheduler(
        beta_schedule="linear",
        rescale_betas_zero_snr=silent,
        timestep_spacing="trailing",
        prediction_type=kind,
    )


def nothing(batch):
    return Condition(text=torch.zeros(batch, 1, 1))


def gaussian_clean(noisy, alpha, sigma):
    """E[clean | noisy] for clean ~ N(MEAN, SPREAD^2)."""
    return MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (noisy - alpha * MEAN)


def exact(clean_of, kind="sample", silent=True):
    """The exact denoiser of a data distribution, by way of a net that predicts this kind."""
    process = VariancePreserving(schedule(kind, silent))

    def denoise(noisy, level, condition):
        alpha, sigma = level.over(noisy)
        clean = clean_of(noisy, alpha, sigma)
        prediction = CONVERSIONS[kind](clean, noisy, alpha, sigma, "sample")
        return process.clean(prediction, noisy, level)

    return denoise


def process_of(kind="sample", silent=True):
    return VariancePreserving(schedule(kind, silent))


def finish(denoiser, name, noise, *, kind="sample", silent=True, steps, seeds=None):
    run = process_of(kind, silent).solver(name, steps=steps, seeds=seeds, like=noise)
    *_, last = sample(denoiser, run, noise, nothing(len(noise)))
    return last.noisy


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ODE)
def test_the_flow_of_a_gaussian_ends_at_its_mean_and_spread(name, kind):
    """From no signal the exact flow takes noise n to MEAN + SPREAD n; each solver is affine in n,
    so two points say all.
    """
    noise = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 1, 2)
    at_zero, at_one = (
        finish(exact(gaussian_clean, kind), name, noise, kind=kind, steps=100).flatten().tolist()
    )
    assert at_zero == pytest.approx(MEAN, abs=2e-3)
    assert at_one - at_zero == pytest.approx(
        SPREAD, rel=0.035 if name in ("ddim", "euler") else 0.01
    )


@pytest.mark.parametrize(
    ("name", "error"),
    [("ddim", 0.28), ("euler", 0.28), ("dpm++", 0.2), ("unipc", 0.2), ("heun", 0.14)],
)
def test_ten_steps_come_near_and_thirty_nearer(name, error):
    noise = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 1, 2)
    errors = []
    for steps in (10, 30):
        at_zero, at_one = (
            finish(exact(gaussian_clean, "sample"), name, noise, steps=steps).flatten().tolist()
        )
        assert at_zero == pytest.approx(MEAN, abs=3e-3)
        errors.append(abs(at_one - at_zero - SPREAD) / SPREAD)
    assert errors[0] < error and errors[1] < errors[0] / 2


@pytest.mark.parametrize("kind", KINDS)
def test_ancestral_noise_ends_at_the_mean_and_spread(kind):
    clip = finish(
        exact(gaussian_clean, kind),
        "euler-ancestral",
        draw_noise((1, 2, 64, 64), [1]),
        kind=kind,
        steps=200,
        seeds=[1],
    )
    assert float(clip.mean()) == pytest.approx(MEAN, abs=0.015)
    assert float(clip.std()) == pytest.approx(SPREAD, rel=0.04)


@pytest.mark.parametrize("kind", KINDS)
def test_lcm_ends_at_the_spread_its_own_rule_gives(kind):
    """LCM takes the prediction for the end of the flow, which only a distilled net makes it: clean,
    new noise, clean, ...
    """
    scheduler = make_scheduler("lcm", schedule(kind).config)
    clip = finish(
        exact(gaussian_clean, kind),
        "lcm",
        draw_noise((1, 4, 64, 64), [1]),
        kind=kind,
        steps=10,
        seeds=[1],
    )
    scheduler.set_timesteps(10)
    variance = 0.0
    for timestep in scheduler.timesteps:
        alpha, sigma = (float(value) for value in noise_level(timestep, schedule().alphas_cumprod))
        gain = alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2)
        variance = gain**2 * (alpha**2 * variance + sigma**2)
    assert float(clip.mean()) == pytest.approx(MEAN, abs=0.015)
    assert float(clip.std()) == pytest.approx(math.sqrt(variance), rel=0.03)


@pytest.mark.parametrize("name", ODE)
def test_two_points_are_both_found(name):
    """Data of +1 and -1 alone: clean is tanh(alpha noisy / sigma^2), and noise goes to the point of
    its sign.
    """
    noise = draw_noise((1, 2, 16, 16), [4])
    clip = finish(
        exact(lambda noisy, alpha, sigma: torch.tanh(alpha * noisy / sigma**2), "sample"),
        name,
        noise,
        steps=30,
    )
    settled = noise.abs() > 0.1
    torch.testing.assert_close(clip[settled], noise[settled].sign(), atol=0.02, rtol=0)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 13])
def test_every_scheduler_and_kind_is_finite(name, kind, silent, steps):
    seeds = [0, 1]
    clip = finish(
        exact(gaussian_clean, kind, silent),
        name,
        draw_noise((1, 2, 8, 8), seeds),
        kind=kind,
        silent=silent,
        steps=steps,
        seeds=seeds,
    )
    assert clip.isfinite().all() and (clip - MEAN).abs().max() < 3


def test_trained_betas_that_end_without_signal():
    """The same schedule stated as betas, which diffusers turns into infinite sigmas."""
    stated = schedule().betas.tolist()
    noise = draw_noise((1, 2, 8, 8), [0])
    for name in SCHEDULERS:
        config = {**schedule().config, "trained_betas": stated, "rescale_betas_zero_snr": False}
        stated_so = VariancePreserving(make_scheduler(name, config))
        run = stated_so.solver(None, steps=5, seeds=[0], like=noise)
        *_, last = sample(exact(gaussian_clean), run, noise, nothing(1))
        torch.testing.assert_close(
            last.noisy,
            finish(exact(gaussian_clean, "sample"), name, noise, steps=5, seeds=[0]),
            atol=1e-6,
            rtol=0,
        )


@pytest.mark.parametrize("name", ["dpm++", "euler", "heun", "unipc"])
def test_a_net_unsure_at_no_signal_is_not_amplified(name):
    """0.2 off at first: with a sigma of 4096 Heun would end 0.14 off; with the exact first step it
    is forgotten, as DDIM does.
    """
    gaussian = exact(gaussian_clean, "sample")

    def unsure(noisy, level, condition):
        return gaussian(noisy, level, condition) + (0.2 if float(level.time) == 999 else 0.0)

    noise = draw_noise((1, 2, 8, 8), [0])
    moved = (
        (finish(unsure, name, noise, steps=5) - finish(gaussian, name, noise, steps=5)).abs().max()
    )
    assert moved < 0.01


def test_each_step_says_where_it_is():
    noise = draw_noise((1, 2, 8, 8), [0])
    steps = list(sample(exact(gaussian_clean), solver(5), noise, nothing(1)))
    assert [step.index for step in steps] == [0, 1, 2, 3, 4] and {step.total for step in steps} == {
        5
    }
    assert [int(step.level.time) for step in steps] == [999, 799, 599, 399, 199]
    assert all(isinstance(step, Step) and step.clean.shape == noise.shape for step in steps)
    torch.testing.assert_close(steps[0].clean, torch.full_like(noise, MEAN), atol=1e-3, rtol=0)
    torch.testing.assert_close(steps[-1].clean, steps[-1].noisy)


def test_heun_calls_twice_a_step_and_says_so():
    run = solver(4, "heun", process=process_of(silent=False))
    noise = draw_noise((1, 1, 4, 4), [0])
    steps = list(sample(exact(gaussian_clean, "sample", False), run, noise, nothing(1)))
    assert len(steps) == steps[0].total == 7


def test_the_scheduler_is_left_untouched_and_gradients_are_off():
    scheduler = make_scheduler("dpm++", schedule().config)
    before = dict(scheduler.config), scheduler.timesteps.clone(), scheduler.sigmas.clone()
    net = torch.nn.Conv3d(1, 1, 1)
    run = VariancePreserving(scheduler).solver(None, steps=3, like=torch.zeros(1))
    noise = draw_noise((1, 2, 4, 4), [0])
    *_, last = sample(lambda noisy, level, condition: net(noisy), run, noise, nothing(1))
    assert not last.noisy.requires_grad
    assert dict(scheduler.config) == before[0]
    assert torch.equal(scheduler.timesteps, before[1]) and torch.equal(scheduler.sigmas, before[2])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_later_start_keeps_what_it_was_given(name):
    """SDEdit (restyling) under the exact denoiser: the less noise, the less change. LCM forgets at
    each of its steps.
    """
    clean, noise = draw_noise((1, 2, 16, 16), [1]) * SPREAD + MEAN, draw_noise((1, 2, 16, 16), [2])
    moved = []
    for start in (0, 10, 18):
        run = solver(20, name, start=start, seeds=[3])
        *_, last = sample(exact(gaussian_clean), run, noise, nothing(1), source=clean)
        moved.append(float((last.noisy - clean).square().mean().sqrt()))
    assert moved[2] < min(moved[:2]) and moved[2] < 0.35


def test_start_zero_is_the_noise_alone():
    noise = draw_noise((1, 2, 4, 4), [0])
    assert solver(4, "euler").begin(noise, torch.ones_like(noise)) is noise


def test_a_later_start_wants_a_clip():
    noise = draw_noise((1, 2, 4, 4), [0])
    with pytest.raises(ValueError, match="expected a clip to begin from at start 2, got none"):
        solver(4, start=2).begin(noise)


def test_noise_is_unit_gaussian_and_each_clip_its_own():
    noise = draw_noise((3, 4, 32, 32), [7, 8, 7 + 2**32, 2**63 - 1])
    assert noise.shape == (4, 3, 4, 32, 32)
    assert torch.equal(noise[1], draw_noise((3, 4, 32, 32), [8])[0])
    flat = noise.flatten(1)
    assert (flat.mean(1).abs() < 0.05).all() and ((flat.std(1) - 1).abs() < 0.05).all()
    assert (torch.corrcoef(flat) - torch.eye(4)).abs().max() < 0.05


def test_seeds_decide_the_noise_that_schedulers_draw():
    noise = draw_noise((1, 2, 8, 8), [0])
    run = lambda seed: finish(
        exact(gaussian_clean, "sample"), "euler-ancestral", noise, steps=4, seeds=[seed]
    )
    assert torch.equal(run(5), run(5)) and not torch.equal(run(5), run(6))


def test_a_seed_is_wanted_for_each_clip():
    with pytest.raises(ValueError, match="expected a seed for each of 2 clips, got 1"):
        finish(
            exact(gaussian_clean, "sample"),
            "lcm",
            draw_noise((1, 1, 2, 2), [0, 1]),
            steps=2,
            seeds=[0],
        )


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(ValueError, match=r"expected a seed from 0 to 2\*\*63 - 1, got"):
        draw_noise((1,), [seed])


@pytest.mark.parametrize(("steps", "start"), [(0, 0), (-3, 0), (1001, 0), (4, 4), (4, -1)])
def test_steps_and_starts_that_cannot_be(steps, start):
    with pytest.raises(ValueError, match="expected"):
        solver(steps, None, start=start)


def test_lcm_says_how_many_steps_it_has():
    with pytest.raises(ValueError, match="expected 1 to 50 steps for LCMScheduler, got 51"):
        finish(exact(gaussian_clean, "sample"), "lcm", draw_noise((1, 1, 2, 2), [0]), steps=51)


def test_an_unknown_scheduler_is_refused_with_the_names():
    with pytest.raises(ValueError, match="expected a scheduler of ddim, dpm.*lcm, got 'ddmi'"):
        make_scheduler("ddmi", {})


def test_a_flow_scheduler_is_refused():
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True
    )
    with pytest.raises(ValueError, match="got 'flow_prediction'"):
        VariancePreserving(scheduler).solver(None, steps=3, like=torch.zeros(1))
