"""Families that read what is known by themselves: frames and latents of diffusers' own pipelines,
on tiny random models saved in the published layout, at the same noise, steps and guidance.
"""

from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from families import TINY, save_tiny
from openlumiere.backbones.registry import open_published
from openlumiere.contract import Backbone, Codec, Known
from openlumiere.diffusion.sampler import draw_noise
from openlumiere.engine.run import Plan, run

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

SAMPLING = SimpleNamespace(steps=3, guidance=4.0, rescale=0.0, scheduler=None)
SIZE = {"height": 32, "width": 64}
FRAMES = {"LTXPipeline": 17, "MochiPipeline": 7, "CogVideoXImageToVideoPipeline later": 13}
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


class Pair:
    """A family's tiny model, opened by us and by diffusers."""

    def __init__(self, name, folder):
        save_tiny(name, folder)
        self.backbone = open_published(folder, torch.float32).backbone
        self.theirs = diffusers.DiffusionPipeline.from_pretrained(folder)
        self.theirs.set_progress_bar_config(disable=True)
        self.frames = FRAMES.get(name, 9)
        grid = self.backbone.codec.grid(self.frames, **SIZE)
        self.noise = draw_noise((self.backbone.codec.channels, *grid), [3])

    def ours(self, **given):
        """Frames and latents."""
        plan = Plan(
            prompts=("a red cat",),
            negative="blurry",
            seeds=(3,),
            frames=self.frames,
            noise=self.noise,
            **SIZE,
            **given,
        )
        seen = []
        frames = run(self.backbone, plan, SAMPLING, seen.append)
        return frames, seen[-1].noisy

    def check(self, ours, theirs=None, latents=None, **given):
        """Ours are `theirs`' frames and latents."""
        pipeline = theirs or self.theirs
        asked = {
            "prompt": "a red cat",
            "negative_prompt": "blurry",
            "num_frames": self.frames,
            "num_inference_steps": 3,
            "guidance_scale": 4.0,
            **SIZE,
            **given,
        }
        noise = self.noise if latents is None else latents
        expected = pipeline(**asked, latents=noise.clone(), output_type="latent").frames
        frames, coded = ours
        flat = coded if expected.ndim == 5 else coded.flatten(2).transpose(1, 2)
        torch.testing.assert_close(flat, expected, **CLOSE)
        shown = pipeline(**asked, latents=noise.clone(), output_type="np").frames
        assert np.abs(frames / 255 - shown).max() < 0.6 / 255


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    made = {}

    def pair_of(name):
        if name not in made:
            made[name] = Pair(name, tmp_path_factory.mktemp("pairs") / "model")
        return made[name]

    return pair_of


def picture():
    return np.random.default_rng(1).integers(0, 256, (32, 64, 3), np.uint8)


def first_known(pair):
    """The picture as frame 0, coded and in pixels."""
    pixels = torch.from_numpy(picture()).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    given = Known.nothing((1, 3, pair.frames, 32, 64))
    given.content[:, :, :1] = pixels
    given.mask[:, :, :1] = 1
    known = Known.nothing(pair.noise.shape)
    known.content[:, :, :1] = pair.backbone.codec.encode(pixels)
    known.mask[:, :, :1] = 1
    return {"known": known, "given": given}


@pytest.mark.parametrize("name", TINY)
def test_they_keep_the_contract(pairs, name):
    backbone = pairs(name).backbone
    assert isinstance(backbone, Backbone) and isinstance(backbone.codec, Codec)
    assert backbone.native.side % backbone.native.multiple == 0
    assert backbone.native.frames_for(backbone.native.frames) == backbone.native.frames


def test_two_nets_by_the_noise_level(pairs):
    """Wan 2.2: both nets are used, and it matters which."""
    pair = pairs("WanPipeline large")
    made = pair.ours()
    pair.check(made)
    times = pair.backbone.process.solver(None, steps=3, like=pair.noise).timesteps
    assert times.max() >= 900 > times.min()


def test_a_time_for_each_token(pairs):
    """The small Wan 2.2, without anything known."""
    pair = pairs("WanPipeline small")
    pair.check(pair.ours())


def test_a_first_frame_by_times_of_tokens(pairs):
    pair = pairs("WanPipeline small")
    parts = {name: part for name, part in pair.theirs.components.items() if part is not None}
    theirs = diffusers.WanImageToVideoPipeline(**parts, expand_timesteps=True)
    theirs.set_progress_bar_config(disable=True)
    pair.check(
        pair.ours(**first_known(pair)), theirs, image=Image.fromarray(picture()), image_embeds=None
    )


def test_a_first_frame_beside_the_noise(pairs):
    """Wan 2.1 image to video."""
    pair = pairs("WanImageToVideoPipeline")
    pair.check(pair.ours(**first_known(pair)), image=Image.fromarray(picture()))


def test_a_control_whose_mask_is_the_reverse_of_ours(pairs):
    """Wan VACE: a box is made anew in all frames but the first, which is known."""
    pair = pairs("WanVACEPipeline")
    clip = np.random.default_rng(2).integers(0, 256, (9, 32, 64, 3), np.uint8)
    new = np.zeros((9, 32, 64), bool)
    new[1:, 8:24, 16:40] = True
    given = Known(
        content=torch.from_numpy(clip).permute(3, 0, 1, 2)[None] / 127.5 - 1,
        mask=torch.from_numpy(~new)[None, None].float(),
    )
    white = np.repeat(255 * new[..., None].astype(np.uint8), 3, -1)
    pair.check(
        pair.ours(given=given),
        video=[Image.fromarray(frame) for frame in clip],
        mask=[Image.fromarray(frame) for frame in white],
    )


def test_vace_without_anything_known(pairs):
    pair = pairs("WanVACEPipeline")
    pair.check(pair.ours())


@pytest.mark.parametrize("kind", ["", " later"])
def test_a_first_frame_of_frames_before_channels(pairs, kind):
    """CogVideoX and CogVideoX 1.5 image to video."""
    pair = pairs(f"CogVideoXImageToVideoPipeline{kind}")
    _, made = pair.ours(**first_known(pair))
    other = pair.ours()[1]
    expected = pair.theirs(
        image=Image.fromarray(picture()),
        prompt="a red cat",
        negative_prompt="blurry",
        num_frames=pair.frames,
        num_inference_steps=3,
        guidance_scale=4.0,
        max_sequence_length=16,
        latents=pair.noise.transpose(1, 2),
        output_type="latent",
        **SIZE,
    ).frames.transpose(1, 2)
    torch.testing.assert_close(made, expected, **CLOSE)
    assert not torch.allclose(other, expected, **CLOSE)


def packed(latents):
    return latents.flatten(2).transpose(1, 2)


def test_tokens_and_a_shift_by_their_number(pairs):
    """LTX text to video; its frames are 25 a second where nothing else is said."""
    pair = pairs("LTXPipeline")
    made = pair.ours()
    pair.check(made, latents=packed(pair.noise), frame_rate=25)
    with pytest.raises(AssertionError):
        pair.check(made, latents=packed(pair.noise), frame_rate=8)


def test_a_known_first_frame_of_tokens(pairs):
    pair = pairs("LTXPipeline")
    theirs = diffusers.LTXImageToVideoPipeline(**pair.theirs.components)
    theirs.set_progress_bar_config(disable=True)
    given = first_known(pair)
    start = torch.where(given["known"].mask == 1, given["known"].content, pair.noise)
    pair.check(
        pair.ours(**given),
        theirs,
        latents=packed(start),
        image=Image.fromarray(picture()),
        frame_rate=25,
    )
