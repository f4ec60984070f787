"""The super-resolution net's two stages on tiny nets, and what it is trained on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nets import picture_net
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.engine.cascade import LumiereUpscalePipeline
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.text import TextStates
from openlumiere.train.config import LoopConfig, UpscalerConfig
from openlumiere.train.data import CaptionStates
from openlumiere.train.loop import train
from openlumiere.train.nets import build_unet, inflate_upscaler
from openlumiere.train.pairs import BaseErrors, DrawnClips, Pairs, crop, reduce
from openlumiere.train.stages.upscaler import add_low_noise, draw_steps, upscaler_stage

LOOP = LoopConfig(
    batch=4, warmup=2, log_every=1, show_every=0, count_work=False, learning_rate=3e-3
)
TINY = UpscalerConfig(widths=(16, 32), text_width=16, drawn=3, crop=8, loop=LOOP)


class NoWords:
    dim = 384

    def encode(self, prompts):
        return TextStates(
            states=torch.zeros(len(prompts), 1, 384),
            mask=torch.ones(len(prompts), 1, dtype=torch.bool),
        )


def drawn(frames):
    """Blocks in the place of a world."""
    blocks = np.random.default_rng(0).integers(0, 256, (3, frames, 16, 16, 3), dtype=np.uint8)
    return DrawnClips(blocks.repeat(16, 2).repeat(16, 3), ["a cat", "a dog", "a frog"])


def pairs(config=TINY, base=None):
    clips = drawn(config.frames)
    return Pairs(clips, clips, CaptionStates(NoWords()), config, base)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("frames", [1, 4])
def test_pairs_show_the_same_place_at_two_resolutions(frames):
    high, low, captions = pairs(replace(TINY, frames=frames)).draw(5, seeded())
    assert (
        high.shape == (5, 3, frames, 32, 32)
        and low.shape == (5, 3, frames, 8, 8)
        and len(captions) == 5
    )
    means = torch.nn.functional.avg_pool3d(high, (1, 4, 4))
    assert (means - low).abs().mean() < 0.15 < (means - low.flip(0)).abs().mean()


def test_crops_begin_on_whole_low_resolution_pixels():
    pixels = torch.arange(64.0).view(1, 1, 1, 1, 64).expand(1, 3, 1, 64, 64)
    firsts = {int(crop(pixels, 16, seeded(seed))[0, 0, 0, 0, 0]) for seed in range(50)}
    assert len(firsts) > 5 and all(first % 4 == 0 for first in firsts)


def test_reducing_keeps_plain_colours_and_means():
    assert torch.allclose(
        reduce(torch.full((1, 3, 2, 16, 16), 0.25), seeded()),
        torch.full((1, 3, 2, 4, 4), 0.25),
        atol=1e-6,
    )


def test_levels_are_those_of_the_noise_added():
    low, level = add_low_noise(torch.zeros(64, 3, 1, 16, 16), 0.25, seeded())
    assert torch.allclose(low.std((1, 2, 3, 4)), level, atol=0.02)
    assert 0.15 < (level == 0).float().mean() < 0.5 and level.max() <= 0.25


def test_half_of_the_samples_have_no_signal():
    timestep = draw_steps(400, 1000, seeded())
    assert 0.4 < (timestep == 999).float().mean() < 0.6 and timestep.min() < 100


def test_the_base_adds_its_own_errors():
    from diffusers import DDIMScheduler

    unet = picture_net(16, 12, widths=(8, 16), heads=4)
    base = BaseErrors(unet.eval(), VariancePreserving(DDIMScheduler()), UnshuffleCodec(2))
    config = replace(TINY, from_base=1.0)
    (_, low, _), (_, plain, _) = (pairs(config, given).draw(2, seeded()) for given in (base, None))
    assert low.shape == plain.shape == (2, 3, 1, 8, 8) and not torch.allclose(low, plain, atol=0.1)


def test_pictures_then_clips(tmp_path):
    """The picture net learns, the second stage trains the temporal parameters alone, and both are
    kept as pipelines.
    """
    stage = upscaler_stage(pairs(), build_unet(TINY), TINY)
    before = stage.losses(stage.net, 16, seeded(5)).loss.mean().item()
    train(stage, LOOP, tmp_path / "pictures", max_steps=25)
    assert stage.losses(stage.net, 16, seeded(5)).loss.mean().item() < 0.9 * before
    first = LumiereUpscalePipeline.from_pretrained(tmp_path / "pictures" / "upscaler")

    clips = replace(TINY, frames=3)
    net = inflate_upscaler(stage.net)
    frozen = {name: value.clone() for name, value in net.unet2d.state_dict().items()}
    train(upscaler_stage(pairs(clips), net, clips), LOOP, tmp_path / "clips", max_steps=2)
    assert all(torch.equal(value, frozen[name]) for name, value in net.unet2d.state_dict().items())
    assert any(
        value.abs().sum() > 0
        for name, value in net.temporal_named_parameters()
        if "projection" in name
    )
    second = LumiereUpscalePipeline.from_pretrained(tmp_path / "clips" / "upscaler")
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    assert first(frames).shape == second(frames).shape == (2, 32, 32, 3)
