"""A few steps of the picture stage on a tiny net, sampling, and that the project's inflation takes
it.
"""

from dataclasses import replace

import torch
from toy import same

from openlumiere.models.stunet import STUNet
from openlumiere.train.config import LoopConfig, PictureConfig
from openlumiere.train.loop import train
from openlumiere.train.stages.picture import (
    Coded,
    build_picture_net,
    draw_times,
    flow_loss,
    padded_states,
    picture_stage,
    shifted,
)
from openlumiere.train.start import open_picture_net

LOOP = LoopConfig(
    learning_rate=3e-3,
    batch=4,
    warmup=2,
    log_every=1,
    count_work=False,
    save_minutes=1e9,
    show_every=0,
    optimizer="muon",
)
TINY = PictureConfig(widths=(16, 32), loop=LOOP)


class Flat:
    """Latents of one number each, told by one token; the empty prompt is two tokens of zeros."""

    empty = torch.zeros(2, 384)

    def draw(self, generator, count):
        levels = torch.randint(2, (count,), generator=generator) * 2.0 - 1
        return Coded(
            levels[:, None, None, None].expand(-1, 16, 16, 16),
            [level * torch.ones(1, 384) for level in levels],
        )


def run(folder, until, **options):
    stage = picture_stage(Flat(), TINY, **options)
    train(stage, replace(LOOP, fall_from=until, fall_to=until), folder)
    return stage.net


def test_the_loss_falls(tmp_path):
    @torch.no_grad()
    def loss(net):
        drawn = Flat().draw(torch.Generator().manual_seed(3), 16)
        states, mask = padded_states(drawn.states, Flat.empty, 0.0, torch.Generator())
        return float(
            flow_loss(
                net,
                drawn.latents,
                states,
                mask,
                torch.full((16,), 0.7),
                True,
                torch.Generator().manual_seed(3),
            ).mean()
        )

    before = loss(picture_stage(Flat(), TINY).net)
    assert loss(run(tmp_path, 30)) < 0.9 * before


def test_a_run_that_was_stopped_is_the_run_that_was_not(tmp_path):
    run(tmp_path / "whole", 4)
    run(tmp_path / "parts", 2)
    run(tmp_path / "parts", 4)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_the_kept_net_opens_and_inflates_without_a_change(tmp_path):
    run(tmp_path, 2)
    unet = open_picture_net(tmp_path)
    latents, states = torch.randn(1, 16, 16, 16), torch.randn(1, 3, 384)
    with torch.no_grad():
        pooled = states.mean(1)
        expected = unet(latents, torch.tensor([500.0]), states, class_labels=pooled).sample
        clip = latents[:, :, None].expand(-1, -1, 4, -1, -1)
        got = STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1))(
            clip, torch.tensor([500.0]), states, class_labels=pooled
        ).sample
    assert torch.allclose(got, expected[:, :, None].expand_as(got), atol=1e-4)


def test_the_full_size_net_is_of_thirteen_million():
    assert (
        12e6
        < sum(value.numel() for value in build_picture_net(PictureConfig()).parameters())
        < 14e6
    )


def test_times_lean_towards_noise():
    times = draw_times(4000, TINY, torch.Generator().manual_seed(0))
    assert times.min() > 0 and times.max() < 1
    assert times.mean() > 0.6
    assert shifted(torch.tensor([0.0, 1.0]), 3.0).tolist() == [0.0, 1.0]


def test_dropped_captions_are_the_empty_prompt():
    rows = [torch.ones(n, 384) for n in (1, 3)]
    states, mask = padded_states(rows, Flat.empty, 1.0, torch.Generator())
    assert states.abs().max() == 0
    assert mask.tolist() == [[True, True]] * 2


def test_a_sheet_is_made_where_it_is_asked_for(tmp_path):
    asked = []
    config = replace(TINY, loop=replace(LOOP, show_every=2))
    stage = picture_stage(Flat(), config, sheet=lambda net, file: asked.append(file.name))
    train(stage, replace(config.loop, fall_from=4, fall_to=4), tmp_path)
    assert asked == ["step-2.png", "step-4.png"]
