"""CogVideoX, AnimateDiff, HunyuanVideo and Mochi through our contract: the latents and frames of
diffusers' own pipelines, on tiny random models in the published layout.
"""

from dataclasses import replace
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch

from families import cogvideox, save_tiny
from openlumiere.backbones.registry import open_published
from openlumiere.contract import Backbone, Codec, Level
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.diffusion.sampler import draw_noise
from openlumiere.engine.run import Plan, run

pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning")  # Mochi's positions

FRAMES = {
    "CogVideoXPipeline": 9,
    "CogVideoXPipeline later": 13,
    "AnimateDiffPipeline": 5,
    "HunyuanVideoPipeline": 9,
    "HunyuanVideoPipeline undistilled": 9,
    "MochiPipeline": 13,
}
FRAMES_FIRST = ("CogVideoXPipeline", "CogVideoXPipeline later")


@pytest.fixture(scope="module", params=list(FRAMES))
def family(request, tmp_path_factory):
    folder = save_tiny(request.param, tmp_path_factory.mktemp("reference") / "model")
    theirs = diffusers.DiffusionPipeline.from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    backbone = open_published(folder, torch.float32).backbone
    return SimpleNamespace(name=request.param, theirs=theirs, backbone=backbone)


def sampling(steps=3, guidance=5.0, scheduler=None):
    return SimpleNamespace(steps=steps, guidance=guidance, rescale=0.0, scheduler=scheduler)


def plan_for(family, negative="blurry"):
    """Nets that read their guidance have no negative prompt."""
    codec = family.backbone.codec
    negative = "" if family.backbone.reads.guidance else negative
    frames = FRAMES[family.name]
    noise = draw_noise((codec.channels, *codec.grid(frames, 32, 48)), [3])
    return Plan(
        prompts=("a red cat",),
        negative=negative,
        seeds=(3,),
        frames=frames,
        height=32,
        width=48,
        noise=noise,
    )


def reference(family, plan, output_type, guidance=5.0):
    """What diffusers' own pipeline makes; its CogVideoX has frames before channels."""
    first = family.name in FRAMES_FIRST
    noise = plan.noise.transpose(1, 2) if first else plan.noise
    own = {} if family.name == "AnimateDiffPipeline" else {"max_sequence_length": 256}
    own = {"max_sequence_length": 16} if first else own
    own |= {"true_cfg_scale": guidance} if family.name.endswith("undistilled") else {}
    made = family.theirs(
        prompt="a red cat",
        negative_prompt=plan.negative,
        height=32,
        width=48,
        num_frames=plan.frames,
        num_inference_steps=3,
        guidance_scale=guidance,
        latents=noise,
        output_type=output_type,
        **own,
    ).frames
    return made.transpose(1, 2) if first and output_type == "latent" else made


@pytest.mark.parametrize(("negative", "guidance"), [("blurry", 5.0), ("", 2.0), ("", 1.0)])
def test_latents_are_those_of_diffusers_own_pipeline(family, negative, guidance):
    """Under a negative prompt, the empty one (which Mochi zeroes) and without guidance."""
    plan = plan_for(family, negative)
    seen = []
    run(family.backbone, plan, sampling(guidance=guidance), seen.append)
    expected = reference(family, plan, "latent", guidance)
    torch.testing.assert_close(seen[-1].noisy, expected, atol=1e-4, rtol=1e-4)


def test_frames_are_those_of_diffusers_own_pipeline(family):
    plan = plan_for(family)
    frames = run(family.backbone, plan, sampling())
    expected = np.asarray(reference(family, plan, "np"))
    assert frames.shape == (1, plan.frames, 32, 48, 3)
    extra = 3 if family.name == "CogVideoXPipeline later" else 0  # of an even number of places
    assert expected.shape[1] == plan.frames + extra
    expected = expected[:, extra:]
    assert np.abs(frames / 255 - expected).max() < 0.6 / 255


def test_the_prompt_and_the_time_reach_the_net(family):
    """So that equal latents are not those of a net that answers always alike."""
    backbone, plan = family.backbone, plan_for(family)
    sizes = {"frames": plan.frames, "height": 32, "width": 48}
    level = Level(alpha=torch.tensor(0.6), sigma=torch.tensor(0.8), time=torch.tensor(600))
    later = Level(alpha=level.alpha, sigma=level.sigma, time=torch.tensor(100))
    condition = backbone.condition(["a red cat"], **sizes)
    other = backbone.condition(["the dog jumps"], **sizes)
    with torch.no_grad():
        clean = backbone.denoise(plan.noise, level, condition)
        assert not torch.equal(clean, backbone.denoise(plan.noise, level, other))
        assert not torch.equal(clean, backbone.denoise(plan.noise, later, condition))


def test_it_is_a_backbone_whose_codec_knows_its_frames(family):
    backbone, frames = family.backbone, FRAMES[family.name]
    codec = backbone.codec
    assert isinstance(backbone, Backbone) and isinstance(codec, Codec)
    assert backbone.native.frames_for(frames) == codec.frames_for(frames) == frames
    assert backbone.bytes_for((2, 4, 2, 4, 6)) == 2 * backbone.bytes_for((1, 4, 2, 4, 6)) > 0
    pixels = draw_noise((3, frames, 32, 48), [1]).tanh()
    coded = codec.encode(pixels)
    assert tuple(coded.shape[2:]) == codec.grid(frames, 32, 48)
    assert codec.decode(coded).shape == pixels.shape


@pytest.mark.parametrize("family", ["HunyuanVideoPipeline"], indirect=True)
def test_guidance_is_an_input_in_one_pass_and_leaves_no_place_for_a_negative_prompt(family):
    backbone, plan = family.backbone, plan_for(family)
    batches = []
    handle = backbone.net.register_forward_pre_hook(
        lambda net, args, given: batches.append(float(given["guidance"])), with_kwargs=True
    )
    run(backbone, plan, sampling(guidance=5.0))
    handle.remove()
    assert batches == [5000.0] * 3
    with pytest.raises(ValueError, match="negative: expected none .* got 'blurry', leave it out"):
        run(backbone, replace(plan, negative="blurry"), sampling())


@pytest.mark.parametrize("family", ["MochiPipeline"], indirect=True)
@pytest.mark.parametrize("scheduler", ["euler", "unipc", "dpm++"])
def test_mochi_leads_to_the_same_clip_under_other_schedulers(family, scheduler):
    """They count from signal to noise, whatever its own does."""
    plan, own, other = plan_for(family), [], []
    run(family.backbone, plan, sampling(20, 1.0), own.append)
    run(family.backbone, plan, sampling(20, 1.0, scheduler), other.append)
    error = (own[-1].noisy - other[-1].noisy).pow(2).mean().sqrt()
    assert error < 0.2 * own[-1].noisy.std()


def test_cogvideox_keeps_its_shifted_levels_under_another_scheduler():
    process = VariancePreserving(cogvideox().scheduler)
    solver = process.solver("euler", steps=5, like=torch.zeros(1, 4, 1, 2, 2))
    for index in range(1, solver.calls):
        level = solver.level(index)
        assert float(process.level(level.time).alpha) == pytest.approx(float(level.alpha), abs=1e-3)


def test_more_frames_than_a_motion_adapter_knows_are_refused(tmp_path):
    folder = save_tiny("AnimateDiffPipeline", tmp_path / "model")
    backbone = open_published(folder, torch.float32).backbone
    condition = backbone.condition(["a cat"], frames=33, height=32, width=32)
    with pytest.raises(ValueError, match="frames: expected at most 32 at once .* got 33"):
        backbone.denoise(torch.zeros(1, 4, 33, 4, 4), backbone.process.level(500), condition)
