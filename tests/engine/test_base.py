import warnings
from fractions import Fraction

import diffusers
import numpy as np
import pytest
import torch

from nets import picture_net
from openlumiere import LumierePipeline, STUNet
from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.engine.base import pair
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.codec import to_frames

PROMPT = "a dog moves right on a green background"


@pytest.fixture(scope="module")
def pipeline(tiny):
    return tiny.base


def clip(pipeline, prompt=PROMPT, **asked):
    return pipeline(prompt, **{"num_frames": 8, "num_inference_steps": 2, **asked}).frames


def test_three_clips_together_are_those_made_alone(pipeline):
    prompts, seeds = (
        [PROMPT, "un gatto", "a much longer sentence about a rocket that rises slowly"],
        [7, 0, 2**63 - 1],
    )
    together = clip(pipeline, prompts, seeds=seeds)
    for made, prompt, seed in zip(together, prompts, seeds):
        alone = clip(pipeline, prompt, seeds=seed)[0]
        assert np.abs(made.astype(int) - alone).max() <= 1
    assert np.abs(together[0].astype(int) - together[1]).max() > 20


def test_order_and_repetition(pipeline):
    one, two = clip(pipeline, seeds=[3, 4]), clip(pipeline, seeds=[4, 3])
    assert np.abs(one.astype(int) - two[::-1]).max() <= 1
    assert np.array_equal(one, clip(pipeline, seeds=[3, 4]))


@pytest.mark.parametrize("frames", [1, 7, 79, 80, 81])
def test_any_number_of_frames(pipeline, frames):
    made = clip(pipeline, num_frames=frames, num_inference_steps=1)
    assert made.shape == (1, frames, 16, 16, 3) and made.dtype == np.uint8


def test_sides(pipeline):
    assert clip(pipeline, height=20, width=12).shape == (1, 8, 20, 12, 3)
    with pytest.raises(
        ValueError, match="expected sides that divide by 4, got 13x16, choose the nearest that do"
    ):
        clip(pipeline, width=13)


def test_prompt_seed_guidance_and_negative_prompt_matter(pipeline):
    plain = clip(pipeline)
    others = [
        clip(pipeline, "a red car"),
        clip(pipeline, seeds=1),
        clip(pipeline, guidance_scale=6.0),
        clip(pipeline, negative_prompt="a dog"),
    ]
    assert all(not np.array_equal(plain, other) for other in others)


def test_guidance_one_ignores_the_negative_prompt(pipeline):
    assert np.array_equal(
        clip(pipeline, guidance_scale=1.0, negative_prompt="a cat"),
        clip(pipeline, guidance_scale=1.0),
    )


def test_frame_rate_sets_the_moments_of_the_frames(pipeline):
    native = pipeline.backbone.condition([PROMPT], frames=3, height=16, width=16)
    assert native.frame_times.tolist() == [0, 1, 2]
    halved = clip(pipeline, frame_times=torch.arange(8.0) * 2)
    assert np.array_equal(clip(pipeline, frame_rate=Fraction(8)), halved)
    assert not np.array_equal(clip(pipeline, frame_rate=Fraction(8)), clip(pipeline))


def test_steps_are_reported_in_order(pipeline):
    seen = []
    clip(pipeline, num_inference_steps=3, on_step=seen.append)
    assert [(step.index, step.total) for step in seen] == [(0, 3), (1, 3), (2, 3)]


def test_a_picture_is_made_by_the_frozen_net_alone(pipeline, build_tiny):
    made = pipeline.picture(PROMPT, seeds=[1, 2], num_inference_steps=2).frames
    assert made.shape == (2, 1, 16, 16, 3)
    changed = build_tiny()
    for parameter in changed.stunet.temporal_parameters():
        torch.nn.init.normal_(parameter)
    again = changed.picture(PROMPT, seeds=[1, 2], num_inference_steps=2).frames
    assert np.abs(made.astype(int) - again).max() <= 1


def test_prompts_and_seeds_pair_up():
    assert pair("a", 3) == (["a"], [3])
    assert pair("a", [3, 9]) == (["a", "a"], [3, 9])
    assert pair(["a", "b", "c"], 5) == (["a", "b", "c"], [5, 6, 7])
    for prompts, seeds in ((["a", "b"], [1, 2, 3]), ([], [1]), ("a", [])):
        with pytest.raises(ValueError, match="seeds: expected one a prompt, got .*, pass a list"):
            pair(prompts, seeds)


def test_levels():
    pixels = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).reshape(1, 1, 5, 1, 1).expand(1, 3, 5, 1, 1)
    assert to_frames(pixels)[0, :, 0, 0, 0].tolist() == [0, 0, 128, 255, 255]


def test_it_is_a_diffusers_pipeline(pipeline):
    assert isinstance(pipeline, diffusers.DiffusionPipeline)
    assert set(pipeline.components) == {
        "stunet",
        "scheduler",
        "tokenizer",
        "text_encoder",
        "vae",
        "tokenizer_2",
        "text_encoder_2",
    }
    assert pipeline.device == torch.device("cpu") and pipeline.native_size == 16


def test_half_precision(tiny_model):
    half = LumierePipeline.from_pretrained(tiny_model, torch_dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    made, exact = clip(half), clip(LumierePipeline.from_pretrained(tiny_model))
    assert 0 < np.abs(made.astype(float) - exact).mean() < 8
    assert clip(half.to(torch.float32)).shape == made.shape


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
def test_schedulers_are_swapped_as_in_diffusers(tiny_model, name):
    pipeline = LumierePipeline.from_pretrained(tiny_model)
    pipeline.scheduler = getattr(diffusers, name).from_config(pipeline.scheduler.config)
    assert clip(pipeline, num_inference_steps=4).std() > 1


def test_saved_and_loaded(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "again")
    again = LumierePipeline.from_pretrained(tmp_path / "again")
    assert again.fingerprint() == pipeline.fingerprint()
    assert np.array_equal(clip(again), clip(pipeline))
    assert not any(p.requires_grad for p in again.stunet.unet2d.parameters())
    assert all(p.requires_grad for p in again.stunet.temporal_parameters())


def test_saved_in_shards_is_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "shards", max_shard_size="500KB")
    assert len(list((tmp_path / "shards" / "stunet").glob("*.safetensors"))) > 2
    assert (
        LumierePipeline.from_pretrained(tmp_path / "shards").fingerprint() == pipeline.fingerprint()
    )


def test_parts_load_by_diffusers_own_means(tiny_model, pipeline):
    """Layout and names are diffusers': its classes read a part alone."""
    scheduler = diffusers.DDIMScheduler.from_pretrained(tiny_model, subfolder="scheduler")
    assert scheduler.config.prediction_type == "sample"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = type(pipeline.stunet).from_pretrained(tiny_model / "stunet")
    assert all(
        torch.equal(a, b)
        for a, b in zip(net.state_dict().values(), pipeline.stunet.state_dict().values())
    )


def test_the_fingerprint_tells_weights_and_configs_apart(build_tiny):
    marks = {
        build_tiny().fingerprint(),
        build_tiny(seed=1).fingerprint(),
        build_tiny(text_attention=False).fingerprint(),
    }
    other = build_tiny()
    other.scheduler = diffusers.DDIMScheduler.from_config(
        other.scheduler.config, prediction_type="v_prediction"
    )
    assert len(marks | {other.fingerprint()}) == 4
    assert build_tiny().fingerprint() in marks


def test_a_net_that_fits_neither_codec_nor_text_is_refused(build_tiny):
    fitting = build_tiny()
    with pytest.raises(
        ValueError,
        match="expected a net of 3 channels for its codec, got 48 in and 48 out, set unshuffle",
    ):
        LumierePipeline(fitting.stunet, fitting.scheduler)
    vae = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    with pytest.raises(ValueError, match="expected a net of 4 channels"):
        LumierePipeline(fitting.stunet, fitting.scheduler, vae=vae)


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ({}, [16, 16, 80, 80]),
        ({"windows": Windows(frames=40, overlap=5)}, [8, 8, 8, 8, 8, 8] + [40] * 6),
        ({"num_frames": 16, "frame_rate": Fraction(16, 5)}, [16] * 4),
    ],
)
def test_the_path_is_found_on_every_fifth_frame_where_the_model_says_so(
    build_tiny, monkeypatch, asked, seen
):
    parts, sizes = build_tiny().components, []
    forward = parts["stunet"].forward
    monkeypatch.setattr(
        parts["stunet"],
        "forward",
        lambda sample, *rest, **more: (
            sizes.append(sample.shape[2]) or forward(sample, *rest, **more)
        ),
    )
    pipeline = LumierePipeline(**parts, unshuffle=4, path_spacing=5)
    frames = clip(pipeline, **{"num_frames": 80, "num_inference_steps": 4, **asked})
    assert sizes == seen and len(frames[0]) == asked.get("num_frames", 80)


def test_how_the_path_is_found_is_saved_and_told_by_the_fingerprint(build_tiny, tmp_path):
    parts = build_tiny().components
    pipeline = LumierePipeline(**parts, unshuffle=4, path_spacing=5, path_until=600)
    pipeline.save_pretrained(tmp_path)
    assert (
        LumierePipeline.from_pretrained(tmp_path).fingerprint()
        == pipeline.fingerprint()
        != LumierePipeline(**parts, unshuffle=4).fingerprint()
    )
    assert dict(LumierePipeline.from_pretrained(tmp_path).config)["path_until"] == 600


def test_a_model_over_latents_of_frames_with_alpha(tmp_path):
    """Our own autoencoder in the place of a VAE: clips have an alpha channel, and load again."""
    unet = picture_net(2, 6)
    net = STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)).eval()
    codec = StickerAutoencoder(latent_channels=6, widths=(8, 8, 8))
    pipeline = LumierePipeline(net, diffusers.DDIMScheduler(prediction_type="sample"), vae=codec)
    made = clip(pipeline, num_frames=3)
    assert made.shape == (1, 3, 16, 16, 4) and pipeline.backbone.native.multiple == 16
    pipeline.save_pretrained(tmp_path)
    assert np.array_equal(clip(LumierePipeline.from_pretrained(tmp_path), num_frames=3), made)


def test_the_models_own_scheduler_says_how_pixels_are_thresholded(build_tiny):
    """As DeepFloyd IF's does; the quantile 1 divides each clip by its largest magnitude."""
    plain, dynamic = build_tiny(), build_tiny()
    options = {"thresholding": True, "dynamic_thresholding_ratio": 1.0, "sample_max_value": 50.0}
    dynamic.scheduler = type(plain.scheduler).from_config(plain.scheduler.config, **options)
    assert dynamic.backbone.process.thresholding == (1.0, 50.0)
    assert plain.backbone.process.thresholding[0] is None
    loud = {"guidance_scale": 20.0, "num_inference_steps": 1}
    assert (clip(plain, **loud) == 255).mean() > 10 * (clip(dynamic, **loud) == 255).mean()
