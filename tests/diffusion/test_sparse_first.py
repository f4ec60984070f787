"""Coarse to fine in time: which frames are seen, under what conditions, and what a sampler gets."""

import pytest
import torch

from levels import at, solver
from openlumiere.contract import Condition, Known
from openlumiere.diffusion.sampler import sample
from openlumiere.diffusion.wrappers import (
    LEAST,
    between,
    sparse_first,
    sparse_places,
)

UNTIL = 500


def told(frames, step=1.0, **more):
    return Condition(text=torch.zeros(2, 3, 4), frame_times=torch.arange(frames) * step, **more)


def noisy(frames):
    return torch.randn(2, 3, frames, 4, 4, generator=torch.Generator().manual_seed(0))


def along(condition):
    """A net whose clean clip is linear in time, whatever the noise."""
    return condition.frame_times.reshape(1, 1, -1, 1, 1).expand(2, 3, -1, 4, 4) / 80


def linear(seen):
    def denoise(noisy, level, condition):
        seen.append(noisy.shape[2])
        return along(condition)

    return denoise


@pytest.mark.parametrize("timestep", [700, torch.tensor([700, 900])])
def test_what_is_linear_in_time_is_as_if_every_frame_were_seen(timestep):
    seen = []
    net = linear(seen)
    whole = net(noisy(80), at(timestep), told(80))
    sparse = sparse_first(net, net, spacing=5, until=UNTIL)(noisy(80), at(timestep), told(80))
    assert seen == [80, 16]
    torch.testing.assert_close(sparse, whole, atol=1e-4, rtol=1e-4)


def test_below_the_noise_level_every_frame_is_seen():
    seen = []
    denoiser = sparse_first(linear(seen), linear([]), spacing=5, until=UNTIL)
    for timestep in (499, 0, torch.tensor([700, 499])):
        denoiser(noisy(80), at(timestep), told(80))
    assert seen == [80, 80, 80]


@pytest.mark.parametrize(
    ("frames", "step", "count"),
    [
        (80, 1, 16),
        (81, 1, 16),
        (79, 1, 16),
        (40, 2, 16),
        (160, 1, 32),
        (160, 0.5, 16),
        (16, 5, None),
        (30, 1, None),
        (7, 1, None),
        (1, 1, None),
    ],
)
def test_about_every_fifth_native_frame_is_looked_at_where_that_saves_half(frames, step, count):
    places = sparse_places(torch.arange(frames) * float(step), 5)
    if count is None:
        assert places is None
    else:
        assert len(places) == count >= LEAST and places[0] == 0 and places[-1] == frames - 1


def test_without_frame_times_every_frame_is_seen():
    assert sparse_places(None, 5) is None


def test_frames_on_straight_lines():
    places = torch.linspace(0, 79, 16)
    values = torch.randn(1, 1, 16, 1, 1, generator=torch.Generator().manual_seed(0))
    made = between(values, places, 80)[0, 0, :, 0, 0]
    torch.testing.assert_close(made[[0, 79]], values[0, 0, [0, 15], 0, 0])
    lines = torch.nn.functional.interpolate(
        values[:, :, :, 0, 0], 80, mode="linear", align_corners=True
    )[0, 0]
    torch.testing.assert_close(made, lines, atol=1e-5, rtol=1e-5)


def test_every_given_frame_reaches_a_frame_that_is_looked_at():
    places = torch.linspace(0, 79, 16)
    for frame in range(80):
        mask = torch.zeros(1, 1, 80, 2, 2)
        mask[:, :, frame] = 1
        content = torch.arange(80.0).reshape(1, 1, 80, 1, 1).expand(1, 3, 80, 2, 2)
        few = Known(content=content, mask=mask).pick(places)
        given = few.mask[0, 0, :, 0, 0].nonzero()[:, 0]
        assert len(given) == 1 and few.content[0, 0, given[0], 0, 0] == frame
        assert abs(places[given[0]] - frame) <= 79 / 15 / 2 + 1e-4


def test_of_frames_that_know_alike_the_nearest_counts():
    places = torch.linspace(0, 79, 16)
    content = torch.arange(80.0).reshape(1, 1, 80, 1, 1).expand(2, 3, 80, 2, 2)
    few = Known(content=content, mask=torch.ones(2, 1, 80, 2, 2)).pick(places)
    assert torch.equal(few.content[1, 0, :, 0, 0], places.round())


def test_times_and_shares_of_the_places():
    shares = torch.arange(80.0).reshape(1, 1, 80, 1, 1).expand(2, 3, 80, 2, 2)
    places = torch.linspace(0, 79, 16)
    few = told(
        80, 0.5, over_frames={"shares": shares}, whole={"text_embeds": torch.ones(2, 5)}
    ).pick(places)
    torch.testing.assert_close(few.frame_times, places * 0.5)
    assert torch.equal(few.over_frames["shares"][0, 0, :, 0, 0], places.round()) and few.whole[
        "text_embeds"
    ].shape == (2, 5)


def test_a_sampler_reaches_the_same_clip():
    """Where the net knows a clip that is linear in time, all the noise goes, in the frames between
    too.
    """
    net = linear([])
    denoiser = sparse_first(net, net, spacing=5, until=UNTIL)
    *_, last = sample(denoiser, solver(4), noisy(80), told(80))
    torch.testing.assert_close(last.noisy, along(told(80)), atol=1e-4, rtol=1e-4)
    assert last.clean.shape == (2, 3, 80, 4, 4)
