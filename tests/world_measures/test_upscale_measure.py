import numpy as np
import pytest
import torch

from openlumiere_world.measures.judge import Judge
from openlumiere_world.measures.upscale import (
    average,
    change,
    compare,
    cut_to,
    feature_distance,
    measure,
    middle,
    table,
)


def clip(seed=0, frames=3):
    coarse = np.random.default_rng(seed).integers(0, 256, (frames, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def test_flicker_is_the_change_over_the_sources():
    still, moving = clip().repeat(1, 0)[[0, 0, 0]], clip()
    assert change(still) == 0 and measure(moving, moving)["flicker"] == 1
    assert "flicker" not in measure(still, still) and measure(still, moving)["flicker"] == 0


def test_wavering_is_what_the_error_changes_and_motion_does_not_count():
    moving = clip() // 2
    assert measure(moving + 9, moving)["wavering"] == 0
    assert measure(moving + np.uint8([0, 6, 0])[:, None, None, None], moving)["wavering"] == 6


def test_features_are_as_far_apart_as_pictures_look():
    torch.manual_seed(0)
    judge, one = Judge(("cat", "dog"), ("3d",)).eval(), clip()
    noisy = [
        (one + np.random.default_rng(1).normal(0, levels, one.shape)).clip(0, 255).astype(np.uint8)
        for levels in (4, 30)
    ]
    assert feature_distance(one, one, judge) == 0
    assert (
        0
        < feature_distance(noisy[0], one, judge)
        < feature_distance(noisy[1], one, judge)
        == pytest.approx(feature_distance(one, noisy[1], judge))
    )
    assert "features" in measure(noisy[0], one, judge) and "features" not in measure(noisy[0], one)


def test_ways_are_compared_on_one_clip():
    source = clip()
    nearest = lambda small: small.repeat(4, 1).repeat(4, 2)
    found = compare(source, {"nearest": nearest})
    assert set(found) == {"bicubic", "lanczos", "nearest"}
    assert (
        found["nearest"]["psnr"] > 70 > 40 > found["lanczos"]["psnr"]
    )  # blocks of whole pixels come back as they were


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="size: expected"):
        compare(clip(), {"none": lambda small: small})


def test_means_are_tabled_the_nearest_way_first():
    found = average(
        [
            {"net": {"psnr": 30.0, "ssim": 0.9}, "lanczos": {"psnr": 31.0, "ssim": 0.8}},
            {
                "net": {"psnr": 34.0, "ssim": 0.7, "flicker": 0.5},
                "lanczos": {"psnr": 29.0, "ssim": 0.6},
            },
        ]
    )
    assert found["net"] == pytest.approx({"psnr": 32, "ssim": 0.8, "flicker": 0.5})
    assert table("clips", found).splitlines()[0] == "| clips | PSNR | SSIM | flicker |"
    assert table("clips", found).splitlines()[2:] == [
        "| net | 32.00 dB | 0.800 | 0.50 |",
        "| lanczos | 30.00 dB | 0.700 |  |",
    ]


def test_the_middle_of_larger_frames_is_taken():
    whole = clip()
    assert np.array_equal(middle(whole, 16), whole[:, 8:24, 8:24]) and middle(
        whole[:, :12], 16
    ).shape == (3, 12, 16, 3)
    assert middle(whole, 99).shape == whole.shape


def test_sides_are_cut_to_whole_pixels():
    assert cut_to(clip()[:, :31, :30], 4).shape == (3, 28, 28, 3)
    with pytest.raises(ValueError, match="clip: expected sides of 4 px"):
        cut_to(clip()[:, :3], 4)
