"""Inflated U-Nets as denoisers: what they are given, and that they answer the clean clip."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler

from levels import TRAINED, at
from openlumiere.backbones.unet import UNetDenoiser
from openlumiere.contract import Condition, Known
from openlumiere.diffusion.process import CONVERSIONS, VariancePreserving


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


def test_the_net_gets_every_condition():
    net = RecordingNet(3)
    told = Condition(
        text=random(2, 5, 4),
        text_mask=torch.ones(2, 5, dtype=torch.bool),
        frame_times=torch.arange(3.0),
        whole={"time_ids": torch.ones(2, 6), "class_labels": torch.tensor([1, 2])},
    )
    noisy = random(2, 3, 3, 4, 4)
    assert torch.equal(UNetDenoiser(net, TRAINED)(noisy, at(5), told), noisy)
    assert torch.equal(net.given["encoder_hidden_states"], told.text)
    assert torch.equal(net.given["encoder_attention_mask"], told.text_mask)
    assert torch.equal(net.given["frame_times"], told.frame_times)
    assert list(net.given["added_cond_kwargs"]) == ["time_ids"]
    assert torch.equal(net.given["added_cond_kwargs"]["time_ids"], told.whole["time_ids"])
    assert torch.equal(net.given["class_labels"], told.whole["class_labels"])


def test_a_conditional_net_reads_noisy_content_mask():
    net = RecordingNet(7)
    noisy, known = (
        random(2, 3, 3, 4, 4),
        Known(content=torch.ones(2, 3, 3, 4, 4), mask=(random(2, 1, 3, 4, 4) > 0).float()),
    )
    UNetDenoiser(net, TRAINED)(noisy, at(5), Condition(text=random(2, 5, 4), known=known))
    assert torch.equal(net.sample, torch.cat([noisy, known.content * known.mask, known.mask], 1))
    UNetDenoiser(net, TRAINED)(noisy, at(5), Condition(text=random(2, 5, 4)))
    assert net.sample.shape == (2, 7, 3, 4, 4) and net.sample[:, 3:].count_nonzero() == 0


def test_precision_and_learned_variances_are_seen_to():
    net = RecordingNet(3, dtype=torch.bfloat16)
    told = Condition(
        text=random(1, 5, 4),
        text_mask=torch.ones(1, 5, dtype=torch.bool),
        frame_times=torch.arange(80) / 3,
    )
    assert UNetDenoiser(net, TRAINED)(random(1, 3, 2, 4, 4), at(5), told).dtype == torch.float32
    assert net.sample.dtype == net.given["encoder_hidden_states"].dtype == torch.bfloat16
    assert net.given["encoder_attention_mask"].dtype == torch.bool and torch.equal(
        net.given["frame_times"], told.frame_times
    )
    with_variances = RecordingNet(7, out_channels=6)
    assert UNetDenoiser(with_variances, TRAINED)(random(1, 3, 2, 4, 4), at(5), told).shape == (
        1,
        3,
        2,
        4,
        4,
    )


def test_a_net_of_other_channels_is_refused():
    known = Known.nothing((1, 3, 2, 4, 4))
    with pytest.raises(
        ValueError, match="expected a net of 7 input channels for 3 noisy ones, got 3"
    ):
        UNetDenoiser(RecordingNet(3), TRAINED)(
            random(1, 3, 2, 4, 4), at(5), Condition(text=random(1, 5, 4), known=known)
        )
    with pytest.raises(
        ValueError, match="expected a net of 3 or 7 input channels for 3 noisy ones, got 9"
    ):
        UNetDenoiser(RecordingNet(9), TRAINED)(
            random(1, 3, 2, 4, 4), at(5), Condition(text=random(1, 5, 4))
        )


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_net_of_any_kind_answers_the_clean_clip(kind):
    process = VariancePreserving(DDIMScheduler(beta_schedule="linear", prediction_type=kind))
    level = process.level(torch.tensor([100, 600]))
    clean, noise = random(2, 3, 2, 4, 4), random(2, 3, 2, 4, 4, seed=1)
    noisy = level.noised(clean, noise)
    alpha, sigma = level.over(noisy)
    truth = CONVERSIONS[kind](clean, noisy, alpha, sigma, "sample")

    class Knows(RecordingNet):
        def forward(self, sample, timestep, **given):
            return SimpleNamespace(sample=truth)

    found = UNetDenoiser(Knows(3), process)(noisy, level, Condition(text=random(2, 5, 4)))
    torch.testing.assert_close(found, clean, atol=1e-5, rtol=1e-5)
