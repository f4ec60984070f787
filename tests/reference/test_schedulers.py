"""Our loop against diffusers' own, on a small random UNet2DConditionModel (a clip of one frame is
folded to a picture).
"""

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from openlumiere.diffusion.denoiser import CONVERSIONS, Condition, noise_level
from openlumiere.diffusion.sampler import (
    SCHEDULERS,
    draw_noise,
    make_scheduler,
    noise_to,
    sample,
    seeded,
)

# diffusers 0.42 turns tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

SEEDS = [3, 2**40, 2**63 - 1]
IMPLEMENTED = [  # all that diffusers' own loop can do; `test_kinds_agree` holds the pair that is missing
    (name, kind)
    for name in SCHEDULERS
    for kind in ("epsilon", "v_prediction", "sample")
    if (name, kind) != ("euler-ancestral", "sample")
]
STOCHASTIC = ("euler-ancestral", "lcm")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).eval()


@pytest.fixture(scope="module")
def condition():
    return Condition(text=torch.randn(len(SEEDS), 5, 8, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(scope="module")
def noise():
    return draw_noise((3, 1, 8, 8), SEEDS)


def folded(net):
    def denoise(noisy, timestep, condition):
        return net(
            noisy.squeeze(2), timestep, encoder_hidden_states=condition.text
        ).sample.unsqueeze(2)

    return denoise


@torch.no_grad()
def diffusers_loop(net, scheduler, noise, text, steps, generators=None):
    """The loop as diffusers' pipelines have it."""
    scheduler.set_timesteps(steps)
    options = {} if generators is None else {"generator": generators}
    state, states = noise * scheduler.init_noise_sigma, []
    for timestep in scheduler.timesteps:
        seen = scheduler.scale_model_input(state, timestep)
        prediction = net(seen, timestep, encoder_hidden_states=text).sample
        state = scheduler.step(prediction, timestep, state, **options).prev_sample
        states.append(state)
    return states


def trained(kind="epsilon", **options):
    options = {"beta_schedule": "linear", "timestep_spacing": "trailing"} | options
    return DDIMScheduler(prediction_type=kind, **options).config


def largest_gap(ours, theirs):
    return max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize(("name", "kind"), IMPLEMENTED)
def test_trajectories_equal_diffusers(net, condition, noise, name, kind):
    ours = [
        step.noisy.squeeze(2)
        for step in sample(
            folded(net), make_scheduler(name, trained(kind)), noise, condition, steps=6, seeds=SEEDS
        )
    ]
    generators = [seeded(seed, stream=1) for seed in SEEDS] if name in STOCHASTIC else None
    theirs = diffusers_loop(
        net, make_scheduler(name, trained(kind)), noise.squeeze(2), condition.text, 6, generators
    )
    assert largest_gap(ours, theirs) <= 1e-6


@pytest.mark.parametrize("spacing", ["leading", "linspace"])
@pytest.mark.parametrize("name", ["ddim", "dpm++", "euler", "heun", "unipc"])
def test_other_timestep_spacings_equal_diffusers(net, condition, noise, name, spacing):
    config = trained("v_prediction", timestep_spacing=spacing, steps_offset=1)
    ours = [
        step.noisy.squeeze(2)
        for step in sample(folded(net), make_scheduler(name, config), noise, condition, steps=5)
    ]
    assert (
        largest_gap(
            ours,
            diffusers_loop(net, make_scheduler(name, config), noise.squeeze(2), condition.text, 5),
        )
        <= 1e-6
    )


@pytest.mark.parametrize("name", ["ddim", "dpm++", "euler", "unipc", "lcm"])
@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_zero_terminal_signal_stays_beside_diffusers(net, condition, noise, name, kind):
    """diffusers puts 4096 for an infinite sigma; the exact step differs by about its inverse, and
    not at all where none is needed.
    """
    config = trained(kind, rescale_betas_zero_snr=True)
    ours = [
        step.noisy.squeeze(2)
        for step in sample(
            folded(net), make_scheduler(name, config), noise, condition, steps=6, seeds=SEEDS
        )
    ]
    generators = [seeded(seed, stream=1) for seed in SEEDS] if name in STOCHASTIC else None
    theirs = diffusers_loop(
        net, make_scheduler(name, config), noise.squeeze(2), condition.text, 6, generators
    )
    assert largest_gap(ours, theirs) <= (1e-6 if name in ("ddim", "lcm") else 5e-3)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_kinds_agree(net, condition, noise, name, silent):
    """One net, told in velocities or in clean clips: the same clip, also where the scheduler takes
    but one of them.
    """
    schedule = DDIMScheduler.from_config(trained(rescale_betas_zero_snr=silent)).alphas_cumprod

    def as_clean(noisy, timestep, condition):
        alpha, sigma = (value.to(noisy) for value in noise_level(timestep, schedule))
        return CONVERSIONS["sample"](
            folded(net)(noisy, timestep, condition), noisy, alpha, sigma, "v_prediction"
        )

    clips = []
    for kind, denoiser in (("v_prediction", folded(net)), ("sample", as_clean)):
        config = trained(kind, rescale_betas_zero_snr=silent)
        *_, last = sample(
            denoiser, make_scheduler(name, config), noise, condition, steps=6, seeds=SEEDS
        )
        clips.append(last.noisy)
    assert largest_gap(clips[:1], clips[1:]) <= 1e-4


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_batch_equals_each_alone(net, condition, noise, name):
    scheduler = make_scheduler(name, trained("sample", rescale_betas_zero_snr=True))
    *_, together = sample(folded(net), scheduler, noise, condition, steps=5, seeds=SEEDS)
    for row, seed in enumerate(SEEDS):
        *_, alone = sample(
            folded(net),
            scheduler,
            draw_noise((3, 1, 8, 8), [seed]),
            condition.select([row]),
            steps=5,
            seeds=[seed],
        )
        assert largest_gap([together.noisy[row]], [alone.noisy[0]]) <= 1e-5


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("start", [1, 3])
def test_a_later_start_begins_where_the_scheduler_does(net, condition, noise, name, start):
    """`noise_to` and the steps after it against diffusers' `add_noise` and the rest of its
    timesteps.
    """
    clean = draw_noise((3, 1, 8, 8), [5, 6, 7]).tanh()
    scheduler, reference = (make_scheduler(name, trained("v_prediction")) for _ in range(2))
    begun = noise_to(clean, noise, scheduler, steps=6, start=start)
    ours = [
        step.noisy
        for step in sample(
            folded(net), scheduler, begun, condition, steps=6, start=start, seeds=SEEDS
        )
    ]

    reference.set_timesteps(6)
    first = start * reference.order if name == "heun" else start
    if hasattr(reference, "set_begin_index"):
        reference.set_begin_index(first)
    state = reference.add_noise(clean, noise, reference.timesteps[first : first + 1].repeat(3))
    assert largest_gap([begun], [state]) <= 1e-5
    options = (
        {"generator": [seeded(seed, stream=1) for seed in SEEDS]} if name in STOCHASTIC else {}
    )
    theirs = []
    for timestep in reference.timesteps[first:]:
        with torch.no_grad():
            prediction = folded(net)(
                reference.scale_model_input(state, timestep), timestep, condition
            )
        state = reference.step(prediction, timestep, state, **options).prev_sample
        theirs.append(state)
    assert largest_gap(ours, theirs) <= 1e-5


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_made_schedulers_keep_the_trained_schedule(name, silent):
    """A plain `from_config` gives Heun and LCM other betas, since the trained ones equal DDIM's
    defaults, and Heun an end with signal.
    """
    trained_with = DDIMScheduler(
        beta_schedule="linear", prediction_type="sample", rescale_betas_zero_snr=silent
    )
    config = trained_with.config
    made = make_scheduler(name, config)
    torch.testing.assert_close(
        made.alphas_cumprod, trained_with.alphas_cumprod, atol=1e-6, rtol=1e-5
    )
    assert made.config.prediction_type == "sample" and not made.config.get("clip_sample", False)


def test_any_other_scheduler_plugs_in(net, condition, noise):
    """Schedulers outside the table: one that takes no clean prediction, one that counts in another
    order, one that draws noise.
    """
    for cls in (
        diffusers.KDPM2DiscreteScheduler,
        diffusers.DEISMultistepScheduler,
        diffusers.DDPMScheduler,
        diffusers.PNDMScheduler,
    ):
        config = trained("sample", timestep_spacing="leading", steps_offset=1)
        *_, last = sample(
            folded(net), cls.from_config(config), noise, condition, steps=6, seeds=SEEDS
        )
        assert last.noisy.isfinite().all() and last.noisy.std() < 3, cls
