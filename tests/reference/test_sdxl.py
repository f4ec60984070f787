"""SDXL's two text encoders, its pooled prompt and its sizes: pictures are those of diffusers' own
pipeline.
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from openlumiere import LumierePipeline, STUNet
from openlumiere.diffusion.sampler import draw_noise
from openlumiere.engine.inputs import open_picture
from openlumiere.engine.learn_style import learn
from openlumiere.models.text import PairedTextEncoder
from openlumiere.tasks import Learning

PROMPTS = ["a red dog", "cats"]
SAMPLING = {"num_inference_steps": 3, "guidance_scale": 5.0, "height": 16, "width": 24}


def tokenizer(length: int = 12) -> CLIPTokenizer:
    letters = [chr(97 + number) for number in range(26)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=[],
        model_max_length=length,
    )


def tower(kind, width: int):
    return kind(
        CLIPTextConfig(
            vocab_size=54,
            hidden_size=width,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=12,
            projection_dim=20,
            bos_token_id=52,
            eos_token_id=53,
            pad_token_id=53,
        )
    ).eval()


def build_unet(**changes) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (16, 32),
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2),
            "attention_head_dim": (2, 4),
            "use_linear_projection": True,
            "cross_attention_dim": 40,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + 20,
            **changes,
        }
    ).eval()


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=16,
    ).eval()
    return {
        "scheduler": DDIMScheduler(
            beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        "vae": vae,
        "tokenizer": tokenizer(),
        "text_encoder": tower(CLIPTextModel, 16),
        "tokenizer_2": tokenizer(),
        "text_encoder_2": tower(CLIPTextModelWithProjection, 24),
    }


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(1)
    return build_unet()


@pytest.fixture(scope="module")
def pipeline(parts, unet):
    return LumierePipeline(STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)), **parts)


def last_noisy(make, *arguments, **asked) -> torch.Tensor:
    steps = []
    make(*arguments, **asked, on_step=steps.append)
    return steps[-1].noisy


def diffusers_latents(parts, unet, force_zeros: bool, negative: str | None) -> torch.Tensor:
    theirs = StableDiffusionXLPipeline(
        **parts, unet=unet, force_zeros_for_empty_prompt=force_zeros, add_watermarker=False
    )
    theirs.set_progress_bar_config(disable=True)
    noise = draw_noise((4, 1, 8, 12), [3, 4])[:, :, 0]
    return theirs(
        PROMPTS,
        negative_prompt=negative and [negative] * 2,
        latents=noise,
        output_type="latent",
        **SAMPLING,
    ).images


@pytest.mark.parametrize("negative", ["", "blue"])
@pytest.mark.parametrize("force_zeros", [True, False])
def test_pictures_are_those_of_diffusers_own_pipeline(parts, unet, negative, force_zeros):
    ours = LumierePipeline(
        STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)),
        **parts,
        force_zeros_for_empty_prompt=force_zeros,
    )
    made = last_noisy(ours.picture, PROMPTS, negative, seeds=[3, 4], **SAMPLING)
    expected = diffusers_latents(parts, unet, force_zeros, negative or None)
    torch.testing.assert_close(made[:, :, 0], expected, rtol=1e-4, atol=1e-4)


def test_clips_of_an_untrained_net_are_that_picture_in_every_frame(pipeline, parts, unet):
    noise = draw_noise((4, 1, 8, 12), [3, 4]).expand(-1, -1, 5, -1, -1)
    made = last_noisy(pipeline, PROMPTS, seeds=[3, 4], num_frames=5, latents=noise, **SAMPLING)
    for frame in made.unbind(2):
        torch.testing.assert_close(
            frame, diffusers_latents(parts, unet, True, None), rtol=1e-3, atol=1e-3
        )


def test_the_net_reads_both_encoders_the_pooled_prompt_and_the_size(pipeline):
    backbone = pipeline.backbone
    told = backbone.condition(PROMPTS, frames=2, height=16, width=24)
    assert told.whole["time_ids"].tolist() == [[16, 24, 0, 0, 16, 24]] * 2
    noisy = draw_noise((4, 2, 8, 12), [0, 1])
    level = backbone.process.level(500)
    silent = torch.zeros_like(told.text)
    silent[..., :16] = told.text[..., :16]
    pooled, sizes = (
        {**told.whole, name: told.whole[name] * 0} for name in ("text_embeds", "time_ids")
    )
    with torch.no_grad():
        plain = backbone.denoise(noisy, level, told)
        for change in ({"text": silent}, {"whole": pooled}, {"whole": sizes}):
            other = backbone.denoise(noisy, level, replace(told, **change))
            assert (other - plain).abs().max() > 1e-3


def test_every_prompt_of_a_schedule_brings_its_own_pooled_text(pipeline):
    """A schedule of which one prompt has all of the weight is that prompt's clip."""
    shares = torch.tensor([[0.0] * 3, [1.0] * 3])
    scheduled = last_noisy(pipeline, PROMPTS, num_frames=3, shares=shares, **SAMPLING)
    torch.testing.assert_close(
        scheduled, last_noisy(pipeline, PROMPTS[1], num_frames=3, **SAMPLING)
    )


def test_saved_and_loaded_with_both_encoders(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "sdxl")
    again = LumierePipeline.from_pretrained(tmp_path / "sdxl")
    assert (
        isinstance(again.text, PairedTextEncoder) and again.fingerprint() == pipeline.fingerprint()
    )
    one, other = (
        last_noisy(each, PROMPTS, seeds=[3, 4], num_frames=2, **SAMPLING)
        for each in (pipeline, again)
    )
    torch.testing.assert_close(one, other)
    shutil.rmtree(tmp_path / "sdxl" / "text_encoder_2")
    with pytest.raises(ValueError, match="model: expected"):
        LumierePipeline.from_pretrained(tmp_path / "sdxl")


def test_learning_a_style_on_it_is_refused(pipeline):
    with pytest.raises(ValueError, match="model: expected one with one text encoder, got two"):
        learn(
            pipeline, [open_picture(np.zeros((16, 16, 3), np.uint8)).clip], "plain", [], Learning()
        )


def test_halves_of_a_pair_are_refused(parts, unet):
    stunet = STUNet.from_unet2d(unet, attention_blocks=(0, 0, 0))
    cases = {
        "expected both tokenizers and both text encoders": {"tokenizer_2": None},
        "expected a net for text of 16 channels, got 40": {
            "tokenizer_2": None,
            "text_encoder_2": None,
        },
        "expected two tokenizers of one length, got 12 and 8": {"tokenizer_2": tokenizer(8)},
        "expected a CLIPTextModelWithProjection as the second, got CLIPTextModel": {
            "text_encoder_2": tower(CLIPTextModel, 24)
        },
    }
    for told, changes in cases.items():
        with pytest.raises(ValueError, match=told):
            LumierePipeline(stunet, **parts | changes)


def test_a_net_of_another_kind_is_refused(parts):
    plain = build_unet(
        addition_embed_type=None,
        addition_time_embed_dim=None,
        projection_class_embeddings_input_dim=None,
    )
    other = build_unet(projection_class_embeddings_input_dim=5 * 8 + 20)  # the refiner's five sizes
    for unet, told in (
        (plain, "expected one text encoder for this net, got two"),
        (other, "six sizes and 20 channels of pooled text, got 60"),
    ):
        with pytest.raises(ValueError, match=told):
            LumierePipeline(STUNet.from_unet2d(unet, attention_blocks=(0, 0, 0)), **parts)
