"""A text-to-image folder, as diffusers writes it, becomes a Lumiere whose untrained clips are that
model's own pictures.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    IFPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from families import t5, t5_tokenizer
from openlumiere import Lumiere
from openlumiere.apps.cli import main
from openlumiere.diffusion.sampler import draw_noise
from openlumiere.engine.inflate import costs, inflated_pipeline, parameter_counts

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

PROMPT = "a red dog"


def stable_diffusion():
    """Stable Diffusion 1.5 in small: 16 px pictures, 8 x 8 latents."""
    torch.manual_seed(0)
    letters = [chr(97 + number) for number in range(26)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    text = CLIPTextConfig(
        vocab_size=54,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        bos_token_id=52,
        eos_token_id=53,
        pad_token_id=53,
    )
    return StableDiffusionPipeline(
        unet=UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
        ).eval(),
        vae=AutoencoderKL(
            block_out_channels=(8, 16),
            latent_channels=4,
            norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ).eval(),
        text_encoder=CLIPTextModel(text).eval(),
        tokenizer=CLIPTokenizer(
            vocab={word: number for number, word in enumerate(words)},
            merges=[],
            model_max_length=12,
        ),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl():
    """SDXL in small: two towers, their states side by side, the pooled prompt and the sizes."""
    parts = stable_diffusion().components
    config = parts["text_encoder"].config.to_dict()
    second = CLIPTextModelWithProjection(CLIPTextConfig(**{**config, "projection_dim": 8}))
    return StableDiffusionXLPipeline(
        unet=UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=4,
            transformer_layers_per_block=(1, 2),
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=32,
            use_linear_projection=True,
        ).eval(),
        text_encoder_2=second.eval(),
        tokenizer_2=parts["tokenizer"],
        **{name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "scheduler")},
    )


def deepfloyd():
    """DeepFloyd IF in small: pixels, T5, and a net that predicts variances, too."""
    torch.manual_seed(0)
    return IFPipeline(
        unet=UNet2DConditionModel(
            sample_size=16,
            in_channels=3,
            out_channels=6,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=8,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            cross_attention_dim=32,
            encoder_hid_dim=32,
            attention_head_dim=8,
            act_fn="gelu",
            addition_embed_type="text",
            addition_embed_type_num_heads=2,
            resnet_time_scale_shift="scale_shift",
            cross_attention_norm="group_norm",
            class_embed_type=None,
        ).eval(),
        text_encoder=t5(),
        tokenizer=t5_tokenizer(512),
        scheduler=DDPMScheduler(
            beta_schedule="squaredcos_cap_v2",
            variance_type="learned_range",
            thresholding=True,
            dynamic_thresholding_ratio=0.95,
            sample_max_value=1.5,
        ),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "sd"
    stable_diffusion().save_pretrained(folder)
    return folder


def test_the_command_writes_a_lumiere_and_a_table(saved, tmp_path, capsys):
    output = tmp_path / "video"
    assert main(["inflate", str(saved), "-o", str(output)]) == 0
    told = capsys.readouterr().out
    assert "M parameters of the picture net" in told and "GFLOP a pass" in told
    assert told.splitlines()[-1] == str(output)
    made = Lumiere.from_pretrained(output).generate(PROMPT, frames=4, steps=1, size=0)
    assert made.frames.shape == (4, 16, 16, 3)
    assert main(["inflate", str(saved), "-o", str(output)]) == 2
    assert "output: expected a new folder" in capsys.readouterr().err


def stills(pipeline, noise, **asked):
    """Frames of a clip whose frames all begin with the same noise."""
    still = noise.expand(-1, -1, 4, -1, -1)
    made = pipeline(PROMPT, num_frames=4, latents=still, **asked).frames[0]
    assert len(made) == 4
    return made / 255


@pytest.mark.parametrize("make", [stable_diffusion, sdxl], ids=lambda make: make.__name__)
def test_untrained_clips_are_the_pictures_of_diffusers_own_pipeline(make, tmp_path):
    """Through save and load, frame by frame."""
    theirs = make()
    theirs.save_pretrained(tmp_path)
    theirs.set_progress_bar_config(disable=True)
    noise = draw_noise((4, 1, 8, 8), [3])
    asked = {"num_inference_steps": 3, "guidance_scale": 5.0, "height": 16, "width": 16}
    expected = theirs(PROMPT, latents=noise[:, :, 0].clone(), output_type="np", **asked).images[0]
    for frame in stills(inflated_pipeline(tmp_path), noise, **asked):
        assert np.abs(frame - expected).max() < 1.5 / 255


def test_untrained_clips_are_the_pictures_of_deepfloyd(tmp_path):
    """DDIM stands in for its scheduler on both sides: DDPM draws other noise for each frame. Ours
    steps on from the thresholded picture, as DDPM does and diffusers' DDIM on request.
    """
    theirs = deepfloyd()
    theirs.save_pretrained(tmp_path)
    theirs.set_progress_bar_config(disable=True)
    pipeline = inflated_pipeline(tmp_path)
    noise = draw_noise((3, 1, 16, 16), [3])
    theirs.prepare_intermediate_images = lambda *_: noise[:, :, 0].clone()
    theirs.prepare_extra_step_kwargs = lambda *_: {"use_clipped_model_output": True}
    for each in (theirs, pipeline):
        own = {**each.scheduler.config, "variance_type": "fixed_small"}
        each.scheduler = DDIMScheduler.from_config(own)
    asked = {"num_inference_steps": 3, "guidance_scale": 5.0, "height": 16, "width": 16}
    expected = theirs(PROMPT, output_type="np", **asked).images[0]
    for frame in stills(pipeline, noise, **asked):
        assert np.abs(frame - expected).max() < 2.5 / 255


def test_costs_grow_with_frames_and_sides(saved):
    pipeline = inflated_pipeline(saved)
    frozen, trained = parameter_counts(pipeline)
    assert frozen == sum(value.numel() for value in pipeline.stunet.unet2d.parameters())
    assert trained > 0
    few, paper, larger, *_ = costs(pipeline)
    assert (few.frames, few.side) == (16, 16) and (paper.frames, paper.side) == (80, 16)
    assert 4 < paper.flops / few.flops < 6 and paper.training > few.training
    assert larger.side == 128 and larger.flops > 50 * paper.flops
    assert larger.training > larger.sampling


def unknown(folder):
    index = folder / "model_index.json"
    content = {**json.loads(index.read_text()), "_class_name": "FluxPipeline"}
    index.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (unknown, "expected a text-to-image model of StableDiffusionPipeline, .*got FluxPipeline"),
        (lambda folder: shutil.rmtree(folder / "text_encoder"), "expected the folder text_encoder"),
        (
            lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").unlink(),
            "expected safetensors weights in unet, got none",
        ),
    ],
)
def test_another_model_ends_in_one_line_and_nothing_is_written(
    saved, tmp_path, capsys, damage, told
):
    folder = shutil.copytree(saved, tmp_path / "sd")
    damage(folder)
    with pytest.raises(ValueError, match=told):
        inflated_pipeline(folder)
    assert main(["inflate", str(folder), "-o", str(tmp_path / "video")]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "video").exists()
