"""Wan through our contract: the latents and frames of diffusers' own pipeline, on a tiny random
model.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from openlumiere.backbones.wan import TOKENS, WanBackbone, WanCodec
from openlumiere.contract import Backbone, Codec, Known
from openlumiere.diffusion.process import Flow
from openlumiere.diffusion.sampler import draw_noise
from openlumiere.engine.run import Plan, run

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "cat", "blurry"]
PLAN = Plan(
    prompts=("a red cat",),
    negative="blurry",
    seeds=(3,),
    frames=9,
    height=32,
    width=48,
    noise=draw_noise((16, 3, 4, 6), [3]),
)


def sampling(**changes):
    values = {"steps": 3, "guidance": 5.0, "rescale": 0.0, "scheduler": None, **changes}
    return SimpleNamespace(**values)


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    text = UMT5Config(vocab_size=len(WORDS), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return {
        "transformer": WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=16,
            out_channels=16,
            text_dim=32,
            freq_dim=256,
            ffn_dim=32,
            num_layers=2,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=32,
        ).eval(),
        "vae": AutoencoderKLWan(
            base_dim=3,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        ).eval(),
        "tokenizer": PreTrainedTokenizerFast(
            tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
        ),
        "text_encoder": UMT5EncoderModel(text).eval(),
    }


def backbone_of(parts, scheduler):
    return WanBackbone(
        net=parts["transformer"],
        process=Flow(scheduler),
        codec=WanCodec(parts["vae"]),
        tokenizer=parts["tokenizer"],
        text_encoder=parts["text_encoder"],
    )


SCHEDULERS = {
    "unipc": lambda: UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    ),
    "euler": lambda: FlowMatchEulerDiscreteScheduler(shift=5.0),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_latents_and_frames_are_those_of_diffusers_own_pipeline(parts, tmp_path, name):
    """Saved in the published layout, loaded by diffusers, run both ways."""
    WanPipeline(**parts, scheduler=SCHEDULERS[name]()).save_pretrained(tmp_path)
    theirs = WanPipeline.from_pretrained(tmp_path)
    theirs.set_progress_bar_config(disable=True)
    backbone = backbone_of(theirs.components, theirs.scheduler)
    seen = []
    frames = run(backbone, PLAN, sampling(), seen.append)
    asked = {
        "prompt": "a red cat",
        "negative_prompt": "blurry",
        "height": 32,
        "width": 48,
        "num_frames": 9,
        "num_inference_steps": 3,
        "guidance_scale": 5.0,
        "max_sequence_length": TOKENS,
    }
    latents = theirs(**asked, latents=PLAN.noise, output_type="latent").frames
    torch.testing.assert_close(seen[-1].noisy, latents, atol=1e-4, rtol=1e-4)
    expected = theirs(**asked, latents=PLAN.noise, output_type="np").frames
    assert frames.shape == (1, 9, 32, 48, 3)
    assert np.abs(frames / 255 - expected).max() < 0.6 / 255


def test_it_is_a_backbone_and_its_codec_a_codec(parts):
    backbone = backbone_of(parts, SCHEDULERS["euler"]())
    assert isinstance(backbone, Backbone) and isinstance(backbone.codec, Codec)
    assert backbone.native.multiple == 16 and backbone.native.frames_for(80) == 81
    assert backbone.bytes_for((2, 16, 3, 4, 6)) == 2 * backbone.bytes_for((1, 16, 3, 4, 6)) > 0


def test_the_codec_knows_time(parts):
    codec = WanCodec(parts["vae"])
    pixels = draw_noise((3, 9, 32, 48), [1]).tanh()
    coded = codec.encode(pixels)
    assert tuple(coded.shape[2:]) == codec.grid(9, 32, 48) == (3, 4, 6)
    assert codec.decode(coded).shape == pixels.shape
    assert [codec.frames_for(count) for count in (1, 2, 9, 10)] == [1, 5, 9, 13]
    with pytest.raises(ValueError, match="frames: expected 1 and a multiple of 4, got 8, take 9"):
        codec.grid(8, 32, 48)
    known = torch.ones(1, 1, 9, 32, 48)
    known[:, :, 7] = 0
    assert codec.mask(known, (3, 4, 6))[0, 0, :, 0, 0].tolist() == [1, 1, 0]


def test_what_is_known_is_held(parts):
    """By replacement: the coded first frame comes out of the sampler."""
    backbone = backbone_of(parts, SCHEDULERS["euler"]())
    content = draw_noise((16, 3, 4, 6), [5])
    mask = torch.zeros(1, 1, 3, 4, 6)
    mask[:, :, 0] = 1
    plan = Plan(
        prompts=("a cat",),
        frames=9,
        height=32,
        width=48,
        known=Known(content=content, mask=mask),
    )
    seen = []
    run(backbone, plan, sampling(steps=2), seen.append)
    torch.testing.assert_close(seen[-1].noisy[:, :, 0], content[:, :, 0], atol=1e-4, rtol=1e-4)
