"""PSNR and SSIM against what is known of them."""

import numpy as np
import pytest

from openlumiere.quality.metrics import frame_psnr, psnr, ssim


def clip(seed=0, frames=3):
    coarse = np.random.default_rng(seed).integers(0, 256, (frames, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def test_a_clip_is_like_itself_and_unlike_another():
    one, other = clip(), clip(1)
    assert psnr(one, one) == frame_psnr(one, one) == float("inf")
    assert ssim(one, one) == pytest.approx(1)
    assert psnr(one, other) < 15 and ssim(one, other) < 0.3


def test_psnr_by_hand():
    dark = np.zeros((1, 16, 16, 3), np.uint8)
    assert psnr(dark + 10, dark) == pytest.approx(10 * np.log10(255**2 / 100), abs=1e-9)
    assert psnr(dark + 1, dark) == pytest.approx(20 * np.log10(255))


def test_frames_count_alike_in_the_mean_over_frames():
    dark = np.zeros((2, 8, 8, 3), np.uint8)
    made = dark + np.array([1, 100], np.uint8)[:, None, None, None]
    each = [psnr(made[:1], dark[:1]), psnr(made[1:], dark[1:])]
    assert frame_psnr(made, dark) == pytest.approx(np.mean(each))
    assert frame_psnr(made, dark) > psnr(made, dark)


def test_ssim_falls_with_contrast_that_is_lost():
    one = clip()
    flat = (one.astype(float) / 2 + 64).astype(np.uint8)
    assert 0.5 < ssim(flat, one) < 0.95 and ssim(flat, one) == pytest.approx(ssim(one, flat))
