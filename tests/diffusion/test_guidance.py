import math

import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from openlumiere.diffusion.denoiser import Condition, noise_level, to_clean
from openlumiere.diffusion.guidance import dynamic_clip, guide, threshold
from openlumiere.diffusion.known import Known

KINDS = ["epsilon", "v_prediction", "sample"]
SIGNAL = DDIMScheduler(beta_schedule="linear", rescale_betas_zero_snr=True).alphas_cumprod


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Told:
    """A small real net over noisy clip, time and masked text; counts its calls and keeps the last
    condition.
    """

    def __init__(self):
        self.calls, self.batches = 0, []
        self.weight = random(4, 3)

    def __call__(self, noisy, timestep, condition):
        self.calls += 1
        self.condition = condition
        self.batches.append(len(noisy))
        mask = (
            torch.ones(condition.text.shape[:2])
            if condition.text_mask is None
            else condition.text_mask.float()
        )
        text = (condition.text * mask[..., None]).sum(1) @ self.weight
        time = torch.as_tensor(timestep, dtype=torch.float32).reshape(-1, 1, 1, 1, 1) / 1000
        return torch.tanh(noisy + text[:, :, None, None, None]) * (1 + time)


@pytest.fixture
def noisy():
    return random(2, 3, 2, 4, 4)


@pytest.fixture
def prompts():
    return Condition(text=random(2, 5, 4, seed=1))


EMPTY = Condition(text=random(1, 3, 4, seed=2))


def test_scale_one_is_off(noisy, prompts):
    net = Told()
    guided = guide(net, EMPTY, 1.0)
    assert torch.equal(guided(noisy, 5, prompts), Told()(noisy, 5, prompts))
    assert net.calls == 1 and net.batches == [2]


@settings(deadline=None, max_examples=30)
@given(scale=st.floats(-5, 20), timestep=st.integers(0, 999))
def test_guidance_is_linear_in_the_scale(scale, timestep):
    noisy, prompts, net = random(2, 3, 2, 4, 4), Condition(text=random(2, 5, 4, seed=1)), Told()
    with_text, without = net(noisy, timestep, prompts), net(noisy, timestep, EMPTY.repeat(2))
    expected = without + scale * (with_text - without)
    torch.testing.assert_close(
        guide(net, EMPTY, scale)(noisy, timestep, prompts), expected, atol=1e-4, rtol=1e-4
    )


def test_scale_zero_is_unconditional(noisy, prompts):
    torch.testing.assert_close(
        guide(Told(), EMPTY, 0.0)(noisy, 5, prompts), Told()(noisy, 5, EMPTY.repeat(2))
    )


@pytest.mark.parametrize("timestep", [7, torch.tensor(7), torch.tensor([7, 900])])
def test_one_batch_or_one_after_the_other(noisy, prompts, timestep):
    together, apart = Told(), Told()
    one = guide(together, EMPTY, 4.0)(noisy, timestep, prompts)
    two = guide(apart, EMPTY, 4.0, together=False)(noisy, timestep, prompts)
    torch.testing.assert_close(one, two)
    assert together.batches == [4] and apart.batches == [2, 2]


def test_both_passes_know_the_same(noisy, prompts):
    known = Known(content=noisy, mask=torch.ones(2, 1, 2, 4, 4))
    told = Condition(
        text=prompts.text,
        known=known,
        frame_times=torch.arange(2.0),
        class_labels=torch.tensor([3, 4]),
    )
    net = Told()
    guide(net, EMPTY, 4.0)(noisy, 5, told)
    assert torch.equal(net.condition.known.content, torch.cat([noisy, noisy]))
    assert torch.equal(net.condition.class_labels, torch.tensor([3, 4, 3, 4])) and torch.equal(
        net.condition.frame_times, told.frame_times
    )


def test_added_conditions_of_the_negative_prompt_are_used(noisy, prompts):
    told = Condition(text=prompts.text, added={"text_embeds": torch.ones(2, 4)})
    negative = Condition(text=EMPTY.text, added={"text_embeds": torch.zeros(1, 4)})
    net = Told()
    guide(net, negative, 4.0)(noisy, 5, told)
    assert net.condition.added["text_embeds"].sum(1).tolist() == [4, 4, 0, 0]


def test_rescale_keeps_the_conditional_spread(noisy, prompts):
    conditional = Told()(noisy, 5, prompts)
    full = guide(Told(), EMPTY, 9.0, rescale=1.0)(noisy, 5, prompts)
    torch.testing.assert_close(full.std((1, 2, 3, 4)), conditional.std((1, 2, 3, 4)))
    plain = guide(Told(), EMPTY, 9.0)(noisy, 5, prompts)
    torch.testing.assert_close(
        guide(Told(), EMPTY, 9.0, rescale=0.7)(noisy, 5, prompts), 0.7 * full + 0.3 * plain
    )


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_scale_that_is_no_number_is_refused(scale):
    with pytest.raises(ValueError, match="expected a guidance scale that is a number"):
        guide(Told(), EMPTY, scale)


def test_a_rescale_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"expected guidance rescale in \[0, 1\], got 1.5"):
        guide(Told(), EMPTY, 3.0, rescale=1.5)


def test_unconditional_texts_must_be_one_or_one_a_clip(noisy, prompts):
    with pytest.raises(ValueError, match="expected 1 or 2 unconditional texts, got 3"):
        guide(Told(), EMPTY.repeat(3), 3.0)(noisy, 5, prompts)


@pytest.mark.parametrize("quantile", [None, 0.9])
@pytest.mark.parametrize("timestep", [0, 400, 999, torch.tensor([20, 800])])
@pytest.mark.parametrize("kind", KINDS)
def test_the_clean_clip_stays_in_bounds_for_every_kind(noisy, prompts, kind, timestep, quantile):
    wild = lambda noisy, timestep, condition: 5 * noisy
    bounded = threshold(wild, kind, SIGNAL, quantile=quantile)(noisy, timestep, prompts)
    alpha, sigma = (value.reshape(-1, 1, 1, 1, 1) for value in noise_level(timestep, SIGNAL))
    before, after = (
        to_clean(p, noisy, alpha, sigma, kind) for p in (wild(noisy, timestep, prompts), bounded)
    )
    assert before.abs().amax() > 1.5 or (
        kind == "epsilon" and timestep == 999
    )  # no signal: mid-grey
    assert after.abs().max() <= 1 + 1e-3
    if quantile is None:
        torch.testing.assert_close(after, before.clamp(-1, 1), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clean_clip_in_bounds_is_left_alone(prompts, kind):
    clean, noise = random(2, 3, 2, 4, 4).tanh(), random(2, 3, 2, 4, 4, seed=3)
    alpha, sigma = noise_level(500, SIGNAL)
    truth = {"epsilon": noise, "v_prediction": alpha * noise - sigma * clean, "sample": clean}[kind]
    for quantile in (None, 0.995):
        bounded = threshold(lambda *_: truth, kind, SIGNAL, quantile=quantile)
        torch.testing.assert_close(
            bounded(alpha * clean + sigma * noise, 500, prompts), truth, atol=1e-5, rtol=1e-5
        )


def test_dynamic_clipping_is_that_of_diffusers():
    """1,001 values put the 0.995 quantile on a value, where diffusers' interpolated one and ours
    agree.
    """
    clean = 3 * random(4, 7, 11, 13)
    scheduler = DDIMScheduler(
        thresholding=True, dynamic_thresholding_ratio=0.995, sample_max_value=8.0
    )
    torch.testing.assert_close(dynamic_clip(clean, 0.995, 8.0), scheduler._threshold_sample(clean))


def test_dynamic_clipping_is_a_clip_at_a_time():
    clean = torch.stack([random(3, 2, 4, 4), 10 * random(3, 2, 4, 4)])
    torch.testing.assert_close(dynamic_clip(clean, 0.9)[1], dynamic_clip(clean[1:], 0.9)[0])
    assert dynamic_clip(clean, 1.0).abs().amax((1, 2, 3, 4)).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("quantile", [0.0, 1.2, -1.0])
def test_a_quantile_out_of_range_is_refused(quantile):
    with pytest.raises(ValueError, match="expected a quantile"):
        threshold(Told(), "sample", SIGNAL, quantile=quantile)
