"""A few steps of the codec's stage on a tiny net: it learns, goes on exactly, and keeps what it
made.
"""

from dataclasses import replace

import torch
from toy import same

from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.train.config import LoopConfig
from openlumiere.train.stages.codec import (
    CodecConfig,
    beside,
    codec_stage,
    frame_losses,
    psnr,
    rebuild,
    standardised,
)
from openlumiere.train.stages.schedule import ScheduleConfig, fit

LOOP = LoopConfig(
    learning_rate=5e-3,
    batch=4,
    warmup=2,
    log_every=1,
    count_work=False,
    save_minutes=1e9,
    show_every=0,
)
TINY = CodecConfig(
    widths=(8, 16, 16), encoder_blocks=(0, 1, 1), decoder_blocks=(0, 1, 1), loop=LOOP
)


class Discs:
    """Opaque discs of one colour on nothing, 32 pixels a side."""

    def draw(self, generator, count):
        places = torch.arange(32) + 0.5
        x, y, size = (
            torch.rand(count, 1, 1, generator=generator) * span + low
            for span, low in ((16, 8), (16, 8), (6, 4))
        )
        apart = ((places[None, None] - x).square() + (places[None, :, None] - y).square()).sqrt()
        alpha = (size - apart).clamp(0, 1)[:, None]
        return torch.cat([torch.rand(count, 3, 1, 1, generator=generator) * alpha, alpha], dim=1)


def run(folder, until, config=TINY, **options):
    stage = codec_stage(Discs(), config, **options)
    fit(stage, config.loop, ScheduleConfig(fall_to=until), folder)
    return stage.net


def test_it_learns_and_keeps_the_averaged_net(tmp_path):
    held_out = Discs().draw(torch.Generator().manual_seed(7), 8)
    before = psnr(rebuild(codec_stage(Discs(), TINY).net, held_out), held_out).mean()
    run(tmp_path, 40)
    kept = StickerAutoencoder.from_pretrained(tmp_path / "codec").eval()
    assert psnr(rebuild(kept, held_out), held_out).mean() > before + 1


def test_a_run_that_was_stopped_is_the_run_that_was_not(tmp_path):
    run(tmp_path / "whole", 4)
    run(tmp_path / "parts", 2)
    run(tmp_path / "parts", 4)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_another_run_begins_with_its_weights(tmp_path):
    run(tmp_path / "first", 3)
    started = codec_stage(Discs(), TINY, start=tmp_path / "first/codec").net
    kept = StickerAutoencoder.from_pretrained(tmp_path / "first/codec").state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in started.state_dict().items())


def test_sheets_show_what_is_held_out(tmp_path, capsys):
    shown = replace(TINY, loop=replace(LOOP, show_every=1))
    run(tmp_path, 1, shown, held_out=Discs().draw(torch.Generator().manual_seed(7), 4))
    assert (tmp_path / "samples/step-1.png").is_file()
    assert "held out:" in capsys.readouterr().out


def test_a_perfect_codec_has_no_loss_but_that_of_its_latents():
    class Perfect(torch.nn.Module):
        def encode(self, pixels):
            return pixels

        def decode(self, latents):
            return latents

    frames = Discs().draw(torch.Generator().manual_seed(0), 3)
    config = replace(TINY, noise=0.0, latent_size=0.0, bf16=False)
    loss = frame_losses(Perfect(), frames, config, torch.Generator())
    assert loss.max() < 2e-3  # the root's floor


def test_psnr_is_that_of_four_channels():
    frames = torch.zeros(1, 4, 8, 8)
    other = frames.clone()
    other[:, 3] = 0.2
    assert abs(float(psnr(frames, other)) - 20) < 1e-4


def test_frames_lie_above_what_became_of_them():
    first, second = torch.zeros(3, 4, 8, 8), torch.ones(3, 4, 8, 8)
    sheet = beside(first, second, columns=3)
    assert sheet.shape[0] == 3
    assert sheet[:, :8].eq(0.5).all() and sheet[:, 8:16].eq(1).all()


def test_a_standardised_codec_makes_the_same_pictures():
    net = codec_stage(Discs(), TINY).net.eval()
    frames = Discs().draw(torch.Generator().manual_seed(0), 12)
    measured = standardised(net, frames)
    with torch.no_grad():
        assert (measured.encode(2 * frames - 1).std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert torch.allclose(rebuild(measured, frames), rebuild(net, frames), atol=1e-4)
