"""What was made is looked at: each finding is where it was put, and good clips have none."""

from fractions import Fraction

import numpy as np
import pytest

from openlumiere.media import Clip
from openlumiere.quality.viewing import find, is_blank


def walking(count=48, side=64):
    """A pale disc that walks over a slope of grey, with a little noise: [f, side, side, 3]."""
    y, x = np.mgrid[:side, :side]
    noise = np.random.default_rng(0).integers(-2, 3, (count, side, side, 1))
    discs = [
        np.where((x - 6 - k) ** 2 + (y - side / 2) ** 2 < 150, 210, 60 + y) for k in range(count)
    ]
    return (np.stack(discs)[..., None] + noise + [0, 5, 10]).clip(0, 255).astype(np.uint8)


def flashing(hertz, levels, seconds=2, rate=24, columns=64, colour=(1, 1, 1)):
    """A picture of which some columns go to and fro between two levels."""
    frames = np.full((seconds * rate, 64, 64, 3), 20, np.uint8)
    for k in range(len(frames)):
        on = int(2 * hertz * k / rate) % 2
        frames[k, :, :columns] = np.array(colour) * levels[on]
    frames[:, 0] = 40  # so that no frame is blank
    return Clip(frames, fps=Fraction(rate))


def kinds(clip, **how):
    return [finding.kind for finding in find(clip, **how)]


@pytest.mark.parametrize("rate", [8, Fraction(30000, 1001), 60])
def test_a_good_clip_has_none(rate):
    assert find(Clip(walking(), fps=rate)) == []
    assert find(Clip(walking()[:1])) == [] and find(Clip(walking()[:2])) == []


@pytest.mark.parametrize(
    ("clip", "right"),
    [
        (flashing(3, (20, 200)), []),  # three a second are allowed
        (flashing(4, (20, 200)), ["strobing"]),
        (flashing(12, (20, 200)), ["strobing"]),
        (flashing(6, (20, 200), columns=12), []),  # a fifth of the picture
        (flashing(6, (20, 200), columns=20), ["strobing"]),
        (flashing(6, (100, 120)), []),  # 0.06 of relative luminance
        (flashing(6, (235, 255)), []),  # 0.17, but the darker state is above 0.8
        (flashing(6, (20, 200), colour=(1, 0, 0)), ["red strobing", "strobing"]),
        (flashing(6, (70, 105), colour=(1, 0, 0)), ["red strobing"]),
        (flashing(6, (70, 105), colour=(0, 0, 1)), []),
    ],
)
def test_flashes_by_rate_area_and_light(clip, right):
    assert [kind for kind in kinds(clip) if kind != "jump"] == right


def test_a_flash_says_when_and_how_much():
    clip = Clip(np.concatenate([walking(48), flashing(6, (20, 200), rate=24).frames]), fps=24)
    (strobing,) = [finding for finding in find(clip) if finding.kind == "strobing"]
    assert 24 < strobing.first <= 50 and strobing.last >= 90
    assert "6 flashes in a second over 100% of the picture" in strobing.at(clip.fps)


def test_a_fine_pattern_that_balances_is_no_flash():
    checks = np.indices((48, 64, 64)).sum(0) % 2 * 200
    frames = np.repeat(checks[..., None], 3, axis=3).astype(np.uint8)
    assert find(Clip(frames, fps=24)) == []


def test_jumps_but_not_meant_cuts():
    frames = walking()
    frames[20:] = 255 - frames[20:]
    (jump,) = find(Clip(frames))
    assert (jump.kind, jump.first, jump.last) == ("jump", 19, 20)
    assert find(Clip(frames), cuts=(20,)) == []


def test_blank_frames_with_and_without_alpha():
    frames = walking()
    frames[30:33] = 17
    (blank,) = find(Clip(frames))
    assert (blank.kind, blank.first, blank.last) == ("blank", 30, 32)
    shape = np.zeros((4, 16, 16, 4), np.uint8)
    assert kinds(Clip(shape)) == ["blank"]  # nothing visible
    shape[:, 4:9, 4:9] = 255
    assert find(Clip(shape)) == []  # one colour, but alpha cuts a shape out of it


@pytest.mark.parametrize("at", [0, 1, 96, 97, 32 * 32 - 1])
def test_one_pixel_of_another_colour_is_a_picture(at):
    frame = np.full((32, 32, 3), 7, np.uint8)
    assert is_blank(frame)
    frame.reshape(-1, 3)[at] = 70
    assert not is_blank(frame)
