import math

import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from levels import at
from openlumiere.contract import Condition, Known
from openlumiere.diffusion.wrappers import clipped, dynamic_clip, guided


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Told:
    """A small real net over noisy clip, time and masked text; counts its calls and keeps the last
    condition.
    """

    def __init__(self):
        self.calls, self.batches = 0, []
        self.weight = random(4, 3)

    def __call__(self, noisy, level, condition):
        self.calls += 1
        self.condition = condition
        self.batches.append(len(noisy))
        mask = (
            torch.ones(condition.text.shape[:2])
            if condition.text_mask is None
            else condition.text_mask.float()
        )
        text = (condition.text * mask[..., None]).sum(1) @ self.weight
        time = level.time.float().reshape(-1, 1, 1, 1, 1) / 1000
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
    off = guided(net, EMPTY, 1.0)
    assert torch.equal(off(noisy, at(5), prompts), Told()(noisy, at(5), prompts))
    assert net.calls == 1 and net.batches == [2]


@settings(deadline=None, max_examples=30)
@given(scale=st.floats(-5, 20), timestep=st.integers(0, 999))
def test_guidance_is_linear_in_the_scale(scale, timestep):
    noisy, prompts, net = random(2, 3, 2, 4, 4), Condition(text=random(2, 5, 4, seed=1)), Told()
    with_text, without = (
        net(noisy, at(timestep), prompts),
        net(noisy, at(timestep), EMPTY.repeat(2)),
    )
    expected = without + scale * (with_text - without)
    torch.testing.assert_close(
        guided(net, EMPTY, scale)(noisy, at(timestep), prompts), expected, atol=1e-4, rtol=1e-4
    )


def test_scale_zero_is_unconditional(noisy, prompts):
    torch.testing.assert_close(
        guided(Told(), EMPTY, 0.0)(noisy, at(5), prompts), Told()(noisy, at(5), EMPTY.repeat(2))
    )


@pytest.mark.parametrize("timestep", [7, torch.tensor([7, 900])])
def test_both_passes_are_one_batch_at_one_level(noisy, prompts, timestep):
    net = Told()
    made = guided(net, EMPTY, 4.0)(noisy, at(timestep), prompts)
    with_text, without = (Told()(noisy, at(timestep), text) for text in (prompts, EMPTY.repeat(2)))
    torch.testing.assert_close(made, without + 4.0 * (with_text - without))
    assert net.batches == [4]


def test_both_passes_know_the_same(noisy, prompts):
    known = Known(content=noisy, mask=torch.ones(2, 1, 2, 4, 4))
    told = Condition(
        text=prompts.text,
        known=known,
        frame_times=torch.arange(2.0),
        whole={"class_labels": torch.tensor([3, 4])},
    )
    net = Told()
    guided(net, EMPTY, 4.0)(noisy, at(5), told)
    assert torch.equal(net.condition.known.content, torch.cat([noisy, noisy]))
    assert torch.equal(
        net.condition.whole["class_labels"], torch.tensor([3, 4, 3, 4])
    ) and torch.equal(net.condition.frame_times, told.frame_times)


def test_added_conditions_of_the_negative_prompt_are_used(noisy, prompts):
    told = Condition(text=prompts.text, whole={"text_embeds": torch.ones(2, 4)})
    negative = Condition(text=EMPTY.text, whole={"text_embeds": torch.zeros(1, 4)})
    net = Told()
    guided(net, negative, 4.0)(noisy, at(5), told)
    assert net.condition.whole["text_embeds"].sum(1).tolist() == [4, 4, 0, 0]


def test_rescale_keeps_the_conditional_spread(noisy, prompts):
    conditional = Told()(noisy, at(5), prompts)
    full = guided(Told(), EMPTY, 9.0, rescale=1.0)(noisy, at(5), prompts)
    torch.testing.assert_close(full.std((1, 2, 3, 4)), conditional.std((1, 2, 3, 4)))
    plain = guided(Told(), EMPTY, 9.0)(noisy, at(5), prompts)
    torch.testing.assert_close(
        guided(Told(), EMPTY, 9.0, rescale=0.7)(noisy, at(5), prompts), 0.7 * full + 0.3 * plain
    )


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_scale_that_is_no_number_is_refused(scale):
    with pytest.raises(ValueError, match="expected a guidance scale that is a number"):
        guided(Told(), EMPTY, scale)


def test_a_rescale_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"expected guidance rescale in \[0, 1\], got 1.5"):
        guided(Told(), EMPTY, 3.0, rescale=1.5)


def test_unconditional_texts_must_be_one_or_one_a_clip(noisy, prompts):
    with pytest.raises(ValueError, match="expected 1 or 2 unconditional texts, got 3"):
        guided(Told(), EMPTY.repeat(3), 3.0)(noisy, at(5), prompts)


@pytest.mark.parametrize("quantile", [None, 0.9])
@pytest.mark.parametrize("timestep", [0, 999, torch.tensor([20, 800])])
def test_the_clean_clip_stays_in_bounds(noisy, prompts, timestep, quantile):
    wild = lambda noisy, level, condition: 5 * noisy
    after = clipped(wild, quantile=quantile)(noisy, at(timestep), prompts)
    assert (5 * noisy).abs().amax() > 1.5 and after.abs().max() <= 1
    if quantile is None:
        assert torch.equal(after, (5 * noisy).clamp(-1, 1))


@pytest.mark.parametrize("quantile", [None, 0.995])
def test_a_clean_clip_in_bounds_is_left_alone(noisy, prompts, quantile):
    clean = random(2, 3, 2, 4, 4, seed=3).tanh()
    assert torch.equal(clipped(lambda *_: clean, quantile=quantile)(noisy, at(500), prompts), clean)


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
        clipped(Told(), quantile=quantile)
