"""PAPER: windows are averaged at every step, the exact solution of a least-squares problem. Its
laws, on analytic denoisers.
"""

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st

from levels import TRAINED, at, solver
from openlumiere.backbones.unet import UNetDenoiser
from openlumiere.contract import Condition, Known
from openlumiere.diffusion.multidiffusion import Windows, average, multidiffuse
from openlumiere.diffusion.process import SCHEDULERS
from openlumiere.diffusion.sampler import draw_noise, sample
from openlumiere.diffusion.wrappers import guided
from openlumiere.models.stunet import STUNet

# diffusers 0.42 turns tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (11, 13, 9)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def told(batch, seed=1):
    return Condition(text=random(batch, 4, 3, seed=seed))


def pointwise(noisy, level, condition):
    """Each place by itself, from its value, the time, the text and what is known there: no
    neighbour is looked at.
    """
    time = level.time.float().reshape(-1, 1, 1, 1, 1) / 1000
    told_here = condition.text.mean(1)[:, :, None, None, None]
    if condition.known is not None:
        told_here = told_here + condition.known.content * condition.known.mask
    return torch.tanh(noisy + told_here) * (1 + time)


def neighbourly(noisy, level, condition):
    """Looks at the whole window, at its edges and at the frame times, so windows disagree where
    they overlap.
    """
    times = torch.arange(noisy.shape[2]) if condition.frame_times is None else condition.frame_times
    moved = noisy.roll(1, 2) + noisy.roll(1, 3) - noisy.roll(1, 4) + times[:, None, None] / 10
    return pointwise(moved, level, condition) + noisy.mean((2, 3, 4), keepdim=True)


@st.composite
def cuts(draw):
    """A clip's size and windows that may or may not fit it."""
    size = [draw(st.integers(1, 14)) for _ in range(3)]
    lengths = [draw(st.none() | st.integers(1, 16)) for _ in range(3)]
    overlap = draw(st.integers(0, (lengths[0] or 4) - 1))
    tile_overlap = draw(st.integers(0, min(length or 4 for length in lengths[1:]) - 1))
    windows = Windows(
        frames=lengths[0],
        height=lengths[1],
        width=lengths[2],
        overlap=overlap,
        tile_overlap=tile_overlap,
        tapered=draw(st.booleans()),
        batch=draw(st.integers(1, 5)),
    )
    return size, windows


IN_TIME = Windows(frames=4)
IN_SPACE = Windows(height=6, width=4, tile_overlap=1, batch=3)
IN_BOTH = Windows(frames=5, height=6, width=5, overlap=3, tile_overlap=3, tapered=True, batch=4)
KINDS_OF_WINDOWS = pytest.mark.parametrize(
    "windows", [IN_TIME, IN_SPACE, IN_BOTH], ids=["time", "space", "both"]
)


@settings(deadline=None, max_examples=100)
@given(cuts())
def test_every_frame_and_place_has_weight(cut):
    size, windows = cut
    total = torch.zeros(size)
    for window in windows.over(size):
        weight = windows.weigh(total[*window].shape)
        assert weight.min() > 0 and weight.max() <= 1
        total[*window] += weight  # fails where a window leaves the clip or shapes differ
    assert total.min() > 0


@settings(deadline=None, max_examples=30)
@given(cuts(), st.integers(1, 2))
def test_windows_change_nothing_for_a_net_that_looks_at_no_neighbour(cut, batch):
    size, windows = cut
    noisy, condition = random(batch, 3, *size), told(batch)
    assert torch.equal(
        multidiffuse(pointwise, windows)(noisy, at(300), condition),
        pointwise(noisy, at(300), condition),
    )


def test_an_inflated_net_before_training_sees_no_difference_between_windows():
    """The third start-up equality: without time resampling the net equals its 2D net frame by
    frame.
    """
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=3,
        attention_head_dim=4,
    )
    net = UNetDenoiser(STUNet.from_unet2d(unet, temporal_factors=(1,)).eval(), TRAINED)
    noisy, condition = random(2, 3, 7, 8, 8), told(2)
    with torch.no_grad():
        result = multidiffuse(net, Windows(frames=4, batch=2))(noisy, at(300), condition)
        torch.testing.assert_close(result, net(noisy, at(300), condition), atol=1e-5, rtol=1e-5)


@KINDS_OF_WINDOWS
def test_what_is_known_is_cut_with_its_window(windows):
    noisy = random(2, 3, *SIZE)
    known = Known(
        content=random(2, 3, *SIZE, seed=2), mask=(random(2, 1, *SIZE, seed=3) > 0).float()
    )
    condition = Condition(text=random(2, 4, 3, seed=1), known=known)
    assert torch.equal(
        multidiffuse(pointwise, windows)(noisy, at(300), condition),
        pointwise(noisy, at(300), condition),
    )


@settings(deadline=None, max_examples=20)
@given(cuts(), st.floats(-2, 2, width=32))
def test_a_constant_prediction_is_a_fixed_point(cut, value):
    size, windows = cut
    constant = multidiffuse(lambda noisy, level, condition: torch.full_like(noisy, value), windows)
    assert torch.equal(
        constant(random(1, 2, *size), at(5), told(1)), torch.full((1, 2, *size), value)
    )


@KINDS_OF_WINDOWS
def test_guidance_and_windows_commute(windows):
    noisy, condition, empty = random(2, 3, *SIZE), told(2), told(1, seed=4)
    inside = multidiffuse(guided(neighbourly, empty, 5.0), windows)(noisy, at(300), condition)
    outside = guided(multidiffuse(neighbourly, windows), empty, 5.0)(noisy, at(300), condition)
    torch.testing.assert_close(inside, outside, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(
        inside, guided(neighbourly, empty, 5.0)(noisy, at(300), condition), atol=0.01
    )


@KINDS_OF_WINDOWS
def test_the_order_of_windows_does_not_matter(windows):
    noisy = random(1, 3, *SIZE)
    layout = windows.over(SIZE)
    weight = windows.weigh(noisy[..., *layout[0]].shape[2:])
    predictions = [
        (window, random(*noisy[..., *window].shape, seed=number))
        for number, window in enumerate(layout)
    ]
    forth = average(predictions, noisy, weight)
    for seed in range(3):
        order = torch.randperm(len(layout), generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(
            average([predictions[place] for place in order], noisy, weight), forth
        )


@KINDS_OF_WINDOWS
def test_the_least_squares_objective_is_flat_at_the_result(windows):
    noisy, condition = random(1, 3, *SIZE).double(), Condition(text=random(1, 4, 3).double())
    result = multidiffuse(neighbourly, windows)(noisy, at(300), condition).requires_grad_()
    objective = torch.zeros((), dtype=torch.float64)
    for window in windows.over(SIZE):
        part = noisy[..., *window]
        error = result[..., *window] - neighbourly(part, at(300), condition)
        objective = objective + (windows.weigh(part.shape[2:]) * error**2).sum()
    (gradient,) = torch.autograd.grad(objective, result)
    assert objective > 1  # windows do disagree
    assert gradient.abs().max() < 1e-12


@KINDS_OF_WINDOWS
@pytest.mark.parametrize("timestep", [7, torch.tensor([7, 500, 900])])
def test_clips_of_a_batch_do_not_meet(windows, timestep):
    noisy, condition, windowed = random(3, 3, *SIZE), told(3), multidiffuse(neighbourly, windows)
    together = windowed(noisy, at(timestep), condition)
    for row in range(3):
        own = timestep[row] if torch.is_tensor(timestep) else timestep
        alone = windowed(noisy[row : row + 1], at(own), condition.select([row]))
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-6, rtol=1e-6)


@KINDS_OF_WINDOWS
def test_how_many_windows_run_at_once_does_not_matter(windows):
    noisy, condition = (
        random(2, 3, *SIZE),
        Condition(text=random(2, 4, 3), frame_times=torch.arange(11) * 2 / 3),
    )
    cut = {
        name: getattr(windows, name)
        for name in ("frames", "height", "width", "overlap", "tile_overlap", "tapered")
    }
    one, many = (
        multidiffuse(neighbourly, Windows(**cut, batch=batch))(noisy, at(300), condition)
        for batch in (1, 100)
    )
    torch.testing.assert_close(one, many, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_windows_in_the_sampling_loop(name):
    noise = draw_noise((3, 11, 6, 5), [3, 4])
    condition = told(2)

    def finish(denoiser):
        *_, last = sample(denoiser, solver(5, name, seeds=[3, 4]), noise, condition)
        return last.noisy

    windows = Windows(frames=5, height=4, tile_overlap=1, tapered=True, batch=2)
    assert torch.equal(finish(multidiffuse(pointwise, windows)), finish(pointwise))
    assert finish(multidiffuse(neighbourly, windows)).isfinite().all()
