"""Our own net of latents: a flow, conditioned on the mean text state, over the RGBA autoencoder."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from openlumiere import Lumiere
from openlumiere.diffusion.sampler import draw_noise
from openlumiere.engine.base import LumierePipeline
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.stunet import STUNet
from openlumiere.models.text import mean_state
from openlumiere.train.config import PictureConfig
from openlumiere.train.stages.picture import build_picture_net, shifted

PROMPT, SHIFT, STEPS, GUIDANCE = "a fox on a transparent background", 2.5, 4, 3.0


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return build_picture_net(PictureConfig(widths=(16, 32))).eval()


@pytest.fixture(scope="module")
def pipeline(unet):
    torch.manual_seed(1)
    net = STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)).eval()
    return LumierePipeline(
        net, FlowMatchEulerDiscreteScheduler(shift=SHIFT), vae=StickerAutoencoder()
    )


@torch.no_grad()
def by_hand(unet, pipeline, seed):
    """Euler's steps along the guided velocity, from noise to the clean latents."""
    latents = draw_noise((16, 1, 16, 16), [seed])[:, :, 0]
    texts = [pipeline.text.encode([text]) for text in (PROMPT, "")]
    for now, then in pairwise(shifted(torch.linspace(1, 0, STEPS + 1), SHIFT)):
        asked, free = (
            unet(
                latents,
                1000 * now[None],
                text.states,
                class_labels=mean_state(text.states, text.mask),
            ).sample
            for text in texts
        )
        latents = latents + (then - now) * (free + GUIDANCE * (asked - free))
    return pipeline.codec.decode(latents[:, :, None])


def test_a_picture_is_eulers_path_along_the_velocity(unet, pipeline):
    made = pipeline.picture(PROMPT, seeds=5, num_inference_steps=STEPS, guidance_scale=GUIDANCE)
    assert made.frames.shape == (1, 1, 128, 128, 4)
    expected = (by_hand(unet, pipeline, 5)[0, :, 0].permute(1, 2, 0) + 1) * 127.5
    assert np.abs(made.frames[0, 0] - expected.clamp(0, 255).numpy()).max() <= 1


def test_it_opens_from_its_folder_and_makes_clips_with_alpha(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    lumiere = Lumiere.from_pretrained(tmp_path / "model")
    clip = lumiere.generate(PROMPT, frames=2, steps=2, size=0)
    assert clip.frames.shape == (2, 128, 128, 4)
    assert lumiere.replay(clip.origin.record) == clip


def test_text_of_another_width_is_refused(pipeline):
    unet = build_picture_net(PictureConfig(widths=(16, 32)))
    unet.class_embedding = None
    config = {**unet.config, "projection_class_embeddings_input_dim": 100}
    other = STUNet.from_unet2d(type(unet).from_config(config), attention_blocks=(1, 1, 1))
    with pytest.raises(ValueError, match="expected a net that takes 384 channels of pooled text"):
        LumierePipeline(other, FlowMatchEulerDiscreteScheduler(), vae=StickerAutoencoder())
