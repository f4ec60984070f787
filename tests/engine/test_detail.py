"""What a known frame has beyond the net's side goes where its pixels go."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from openlumiere.contract import NATIVE_RATE, Native
from openlumiere.engine.canvas import keyframes
from openlumiere.engine.fit import enlarge, fit, restore

LARGE, SMALL, FRAMES, STEP = 256, 64, 8, 6


def picture():
    """Blobs at every scale, wide enough for a camera that pans."""
    made = torch.zeros(3, LARGE, LARGE + FRAMES * STEP)
    random = torch.Generator().manual_seed(0)
    for cells in (6, 20, 64, 128):
        coarse = torch.randn(1, 3, cells, cells, generator=random)
        made += F.interpolate(coarse, size=made.shape[1:], mode="bicubic")[0] * (6 / cells) ** 0.5
    return (128 + 45 * made).clamp(0, 255).byte().permute(1, 2, 0).numpy()


@pytest.fixture(scope="module")
def panned():
    """The true frames, and how a net of a small side would make them."""
    whole = picture()
    true = np.stack([whole[:, STEP * frame : STEP * frame + LARGE] for frame in range(FRAMES)])
    return true, enlarge(true, SMALL, SMALL)


def restored(true, made, known=(0,), loop=False):
    canvas = keyframes({frame: true[frame] for frame in known}, FRAMES, Fraction(NATIVE_RATE))
    to = fit(canvas, Native(side=SMALL, multiple=8), loop)
    return restore(made, canvas, to, "exact", 0, loop, with_detail=True)


def error(frames, true):
    return np.abs(frames.astype(float) - true)[:, :, : LARGE - FRAMES * STEP].mean()


def test_frames_that_only_move_are_nearly_as_sharp_as_the_known_one(panned):
    true, made = panned
    plain = enlarge(made, LARGE, LARGE)
    got = restored(true, made)
    assert np.array_equal(got[0], true[0])
    assert error(got[1:], true[1:]) < 0.3 * error(plain[1:], true[1:])


def test_between_two_known_frames_both_count(panned):
    true, made = panned
    got = restored(true, made, (0, FRAMES - 1))
    assert error(got, true) < error(restored(true, made), true)
    assert np.array_equal(got[-1], true[-1])


def test_what_is_new_is_left_as_it_was_made(panned):
    true, made = panned
    other = np.random.default_rng(1).integers(0, 255, made.shape, dtype=np.uint8)
    other[0] = made[0]
    got = restored(true, other).astype(int)
    assert np.abs(got[1:] - enlarge(other, LARGE, LARGE)[1:]).mean() < 1


def test_a_still_picture_stays_exact(panned):
    true, made = panned
    still = np.repeat(made[:1], FRAMES, axis=0)
    got = restored(true, still).astype(int)
    assert np.abs(got - true[0]).mean() < 1


def test_a_loop_goes_round_so_its_last_frames_are_as_sharp_as_its_first():
    whole = picture()[:, :LARGE]
    whole = np.concatenate([whole[:, ::2], whole[:, ::-2]], axis=1)  # its sides meet
    true = np.stack([np.roll(whole, 16 * frame, axis=1) for frame in (0, 1, 2, 3, 3, 2, 1, 0)])
    made = enlarge(true, SMALL, SMALL)
    plain, got = enlarge(made, LARGE, LARGE), restored(true, made, loop=True)
    for frame in (1, 6, 7):
        part = np.s_[frame : frame + 1]
        assert error(got[part], true[part]) < 0.5 * error(plain[part], true[part])
