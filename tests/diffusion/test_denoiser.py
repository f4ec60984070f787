from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from openlumiere.diffusion.denoiser import (
    CONVERSIONS,
    SILENT,
    Condition,
    NetDenoiser,
    check_kind,
    join,
    noise_level,
    to_clean,
    to_noise,
    to_velocity,
)
from openlumiere.diffusion.known import Known

KINDS = ["epsilon", "v_prediction", "sample"]


class RecordingNet(torch.nn.Module):
    """Answers with its input's first channels and keeps what it was given."""

    def __init__(self, in_channels, out_channels=3, dtype=torch.float32):
        super().__init__()
        self.config, self.dtype, self.out_channels = (
            SimpleNamespace(in_channels=in_channels),
            dtype,
            out_channels,
        )

    def forward(self, sample, timestep, **given):
        self.sample, self.given = sample, given
        return SimpleNamespace(sample=sample[:, : self.out_channels])


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


def test_the_net_gets_all_it_is_told():
    net = RecordingNet(3)
    told = Condition(
        text=random(2, 5, 4),
        text_mask=torch.ones(2, 5, dtype=torch.bool),
        frame_times=torch.arange(3.0),
        added={"time_ids": torch.ones(2, 6)},
        class_labels=torch.tensor([1, 2]),
    )
    noisy = random(2, 3, 3, 4, 4)
    assert torch.equal(NetDenoiser(net)(noisy, torch.tensor(5), told), noisy)
    assert torch.equal(net.given["encoder_hidden_states"], told.text)
    assert torch.equal(net.given["encoder_attention_mask"], told.text_mask)
    assert torch.equal(net.given["frame_times"], told.frame_times)
    assert torch.equal(net.given["added_cond_kwargs"]["time_ids"], told.added["time_ids"])
    assert torch.equal(net.given["class_labels"], told.class_labels)


def test_a_conditional_net_reads_noisy_content_mask():
    net = RecordingNet(7)
    noisy, known = (
        random(2, 3, 3, 4, 4),
        Known(content=torch.ones(2, 3, 3, 4, 4), mask=(random(2, 1, 3, 4, 4) > 0).float()),
    )
    NetDenoiser(net)(noisy, 5, Condition(text=random(2, 5, 4), known=known))
    assert torch.equal(net.sample, torch.cat([noisy, known.content * known.mask, known.mask], 1))
    NetDenoiser(net)(noisy, 5, Condition(text=random(2, 5, 4)))
    assert net.sample.shape == (2, 7, 3, 4, 4) and net.sample[:, 3:].count_nonzero() == 0


def test_precision_and_learned_variances_are_seen_to():
    net = RecordingNet(3, dtype=torch.bfloat16)
    told = Condition(
        text=random(1, 5, 4),
        text_mask=torch.ones(1, 5, dtype=torch.bool),
        frame_times=torch.arange(80) / 3,
    )
    assert NetDenoiser(net)(random(1, 3, 2, 4, 4), 5, told).dtype == torch.float32
    assert net.sample.dtype == net.given["encoder_hidden_states"].dtype == torch.bfloat16
    assert net.given["encoder_attention_mask"].dtype == torch.bool and torch.equal(
        net.given["frame_times"], told.frame_times
    )
    with_variances = RecordingNet(7, out_channels=6)
    assert NetDenoiser(with_variances)(random(1, 3, 2, 4, 4), 5, told).shape == (1, 3, 2, 4, 4)


def test_a_net_of_other_channels_is_refused():
    known = Known.nothing((1, 3, 2, 4, 4))
    with pytest.raises(
        ValueError, match="expected a net of 7 input channels for 3 noisy ones, got 3"
    ):
        NetDenoiser(RecordingNet(3))(
            random(1, 3, 2, 4, 4), 5, Condition(text=random(1, 5, 4), known=known)
        )
    with pytest.raises(
        ValueError, match="expected a net of 3 or 7 input channels for 3 noisy ones, got 9"
    ):
        NetDenoiser(RecordingNet(9))(random(1, 3, 2, 4, 4), 5, Condition(text=random(1, 5, 4)))


def full_condition():
    return Condition(
        text=random(3, 5, 4),
        text_mask=random(3, 5) > 0,
        known=Known.nothing((3, 2, 2, 4, 4)),
        frame_times=torch.arange(2.0),
        added={"text_embeds": random(3, 6)},
        class_labels=torch.tensor([1, 2, 3]),
    )


def test_select_and_repeat_and_join_are_one_another():
    told = full_condition()
    assert torch.equal(told.select([2, 0]).class_labels, torch.tensor([3, 1]))
    assert told.select([2, 0]).known.content.shape[0] == 2 and told.select([1]).added[
        "text_embeds"
    ].shape == (1, 6)
    again = join([told.select([row]) for row in range(3)])
    for name in ("text", "text_mask", "class_labels", "frame_times"):
        assert torch.equal(getattr(again, name), getattr(told, name))
    assert torch.equal(told.select([1]).repeat(3).text, told.text[[1, 1, 1]])
    assert join([told, told]).batch == told.repeat(2).batch == 6


def test_joined_texts_of_two_lengths_are_padded_and_masked():
    joined = join([Condition(text=random(1, 5, 4)), Condition(text=random(1, 3, 4))])
    assert joined.text.shape == (2, 5, 4) and joined.text[1, 3:].count_nonzero() == 0
    assert joined.text_mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert (
        join([Condition(text=random(1, 5, 4)), Condition(text=random(1, 5, 4))]).text_mask is None
    )


def test_conditions_that_do_not_fit_are_refused():
    told = full_condition()
    with pytest.raises(ValueError, match="expected known in all joined conditions or in none"):
        join([told, Condition(text=told.text, added=told.added, class_labels=told.class_labels)])
    with pytest.raises(ValueError, match="expected class_labels for 3 clips"):
        Condition(text=told.text, class_labels=torch.tensor([1]))
    with pytest.raises(ValueError, match="expected known for 3 clips"):
        Condition(text=told.text, known=Known.nothing((2, 2, 2, 4, 4)))


def test_to_moves_real_numbers_only():
    moved = full_condition().to("cpu", torch.float16)
    assert (
        moved.text.dtype
        == moved.added["text_embeds"].dtype
        == moved.known.content.dtype
        == torch.float16
    )
    assert (
        moved.text_mask.dtype == torch.bool
        and moved.class_labels.dtype == torch.int64
        and moved.frame_times.dtype == torch.float32
    )
