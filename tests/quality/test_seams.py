import numpy as np
import pytest
import torch

from levels import solver
from openlumiere.contract import Condition
from openlumiere.diffusion.multidiffusion import Windows, borders, multidiffuse
from openlumiere.diffusion.sampler import draw_noise, sample
from openlumiere.quality.seams import mean_ratio, neighbour_errors

AXES = ["frames", "height", "width"]


def seam_ratio(frames, at, axis="frames", source=None):
    """Of one clip."""
    return mean_ratio([frames], at, axis, None if source is None else [source])


def moving_grain(f=40, h=48, w=48, step=8, seed=0):
    """A walk in every direction: neighbours along any axis differ alike everywhere."""
    random = np.random.default_rng(seed)
    return (128 + random.normal(0, step, (f, h, w, 3))).clip(0, 255).astype(np.uint8)


def with_seams(frames, at, axis, levels):
    """Brighter after every other border."""
    places = np.moveaxis(frames.astype(int), AXES.index(axis), 0)
    for number, (start, stop) in enumerate(zip([0, *at], [*at, len(places)])):
        places[start:stop] += levels * (number % 2)
    return np.moveaxis(places, 0, AXES.index(axis)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("axis", AXES)
def test_a_seam_is_read_where_it_is_and_nowhere_else(axis):
    at, clip = [12, 20, 28], moving_grain()
    assert seam_ratio(clip, at, axis) == pytest.approx(1, abs=0.02)
    seamed = with_seams(clip, at, axis, levels=6)
    assert seam_ratio(seamed, at, axis) > 1.05
    assert seam_ratio(seamed, [10, 18, 26], axis) < 1
    for other in set(AXES) - {axis}:
        assert seam_ratio(seamed, at, other) == pytest.approx(1, abs=0.02)


def test_a_ratio_by_hand():
    levels = np.array([0, 2, 4, 10, 12], dtype=np.uint8)
    clip = np.broadcast_to(levels[:, None, None, None], (5, 4, 4, 3))
    assert neighbour_errors(clip).tolist() == [2, 2, 6, 2]
    assert (
        seam_ratio(clip, [3]) == 3
        and seam_ratio(clip, [1, 3]) == 2
        and seam_ratio(clip, [1]) == pytest.approx(0.6)
    )


@pytest.mark.parametrize("axis", AXES)
def test_what_the_source_does_too_is_no_seam(axis):
    """A cut in the source reads as a seam without it; what was added at another place reads as one
    beside it.
    """
    source = with_seams(moving_grain(step=2), [20], axis, levels=60)
    made = with_seams(source, [12], axis, levels=6)
    assert seam_ratio(made, [20], axis) > 5 > 1 == seam_ratio(source, [20], axis, source)
    assert seam_ratio(made, [12], axis, source) == float("inf")


def test_errors_of_several_clips_are_pooled():
    one, other = (np.zeros((4, 2, 2, 3), np.uint8) for _ in range(2))
    one[2:] += 6  # errors 0 6 0
    other += np.array([0, 1, 2, 3], np.uint8)[:, None, None, None]  # errors 1 1 1
    assert (
        mean_ratio([one, other], [2]) == 7
        and seam_ratio(one, [2]) == float("inf")
        and seam_ratio(other, [2]) == 1
    )


def test_still_clips():
    still = np.zeros((6, 4, 4, 3), dtype=np.uint8)
    assert seam_ratio(still, [3]) == 1
    still[3:] = 5
    assert seam_ratio(still, [3]) == float("inf")


@pytest.mark.parametrize(
    ("frames", "at", "axis"),
    [
        (np.zeros((4, 4, 4, 3)), [2], "frames"),
        (np.zeros((4, 4, 4), np.uint8), [2], "frames"),
        (np.zeros((4, 4, 4, 3), np.uint8), [0], "frames"),
        (np.zeros((4, 4, 4, 3), np.uint8), [4], "height"),
        (np.zeros((4, 4, 4, 3), np.uint8), [], "width"),
        (np.zeros((4, 4, 4, 3), np.uint8), [1, 2, 3], "frames"),
        (np.zeros((4, 4, 4, 3), np.uint8), [1], "time"),
    ],
)
def test_what_cannot_be_measured_is_refused(frames, at, axis):
    with pytest.raises(ValueError, match="expected .*, got .*, "):
        seam_ratio(frames, at, axis)


def test_a_source_of_another_size_is_refused():
    with pytest.raises(ValueError, match="alike in size, got uint8"):
        seam_ratio(moving_grain(4, 4, 4), [2], source=moving_grain(4, 4, 8))


def window_wide(noisy, level, condition):
    """Half of each clean value is the mean of its window, so windows apart drift apart."""
    return 0.5 * noisy + 2 * noisy.mean((2, 3, 4), keepdim=True)


def made(windows, seed):
    noise, condition = draw_noise((3, 22, 4, 4), [seed]), Condition(text=torch.zeros(1, 1, 1))
    *_, last = sample(multidiffuse(window_wide, windows), solver(5), noise, condition)
    return (127.5 + 127.5 * last.noisy[0]).round().clamp(0, 255).byte().permute(1, 2, 3, 0).numpy()


def test_overlapping_windows_leave_less_of_a_seam_than_windows_apart():
    def mean_ratio(frames, overlap):
        windows = Windows(frames=frames, overlap=overlap)
        return np.mean(
            [seam_ratio(made(windows, seed), borders(22, frames, overlap)) for seed in range(8)]
        )

    apart, overlapping = mean_ratio(11, 0), mean_ratio(12, 2)
    assert 1 < overlapping < apart
