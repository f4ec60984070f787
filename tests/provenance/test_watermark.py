"""Laws of the mark in the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from openlumiere.provenance.pattern import PUBLIC_KEY, pattern
from openlumiere.provenance.payload import Payload
from openlumiere.provenance.shaping import BOUND
from openlumiere.provenance.watermark import detect, embed
from openlumiere.quality.attacks import coded, resized

PAYLOAD = Payload(model=0xBEEF, clip=0x12345678)


def crossing(frames: int = 16, side: int = 256) -> np.ndarray:
    """A square that crosses a plain ground."""
    drawn = np.full((frames, side, side, 3), (90, 150, 80), np.uint8)
    for index, frame in enumerate(drawn):
        left = (20 + 10 * index) * side // 256 % side
        frame[side // 3 : side // 2, left : left + side // 5] = (220, 60, 40)
    return drawn


@pytest.fixture(scope="module")
def marked() -> np.ndarray:
    return embed(crossing(), PAYLOAD)


def test_a_mark_is_found_and_read(marked):
    found = detect(marked)
    assert (
        found.found
        and found.payload == PAYLOAD
        and found.intervals == ((0, 16),)
        and not found.flipped
    )
    assert found.scale == 1 and found.offset == (0, 0)


def test_nothing_is_found_where_nothing_is(marked):
    seen = detect(crossing(frames=1))
    assert seen.p_value > 1e-3 and seen.payload is None and seen.intervals == ()
    assert detect(marked[:1], b"another key").p_value > 1e-3


@pytest.mark.parametrize("levels", [0, 1, 127, 254, 255])
def test_the_mark_is_weak(levels):
    """At most 5 levels a pixel and at least 42 dB, also at the ends of the scale; the same in every
    frame, so nothing flickers.
    """
    plain = np.full((2, 64, 96, 3), levels, np.uint8)
    change = embed(plain, PAYLOAD).astype(int) - plain
    assert np.abs(change).max() <= BOUND == 5
    assert 10 * np.log10(255**2 / (change**2).mean()) >= 42
    assert (change[0] == change[1]).all()


def rms(change):
    return np.sqrt((change.astype(float) ** 2).mean())


@pytest.mark.parametrize(
    ("height", "width"), [(256, 256), (257, 255), (128, 200), (480, 270), (1024, 1024)]
)
@pytest.mark.parametrize("ground", [(244, 194, 204), (128, 128, 128), (20, 30, 60)])
def test_a_flat_ground_is_moved_by_less_than_0_7_levels(height, width, ground):
    plain = np.full((1, height, width, 3), ground, np.uint8)
    assert 0.4 < rms(embed(plain, PAYLOAD).astype(int) - plain) <= 0.7


def test_texture_hides_more_of_the_mark():
    """A half of texture beside a half of plain ground, and a frame of nothing but noise."""
    noise = np.random.default_rng(3).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    half = noise.copy()
    half[:, :, :128] = (90, 150, 80)
    change = embed(half, PAYLOAD).astype(int) - half
    assert rms(change[:, :, :96]) <= 0.7 and rms(change[:, :, 160:]) > 2
    assert 10 * np.log10(255**2 / rms(embed(noise, PAYLOAD).astype(int) - noise) ** 2) > 42


def test_slopes_hide_some_of_the_mark():
    """A steep even slope carries the strength of a texture that is barely seen, a faint one that of
    plain ground.
    """
    y, x = np.mgrid[:256, :256]
    for slope, least, most in ((0.1, 0.4, 0.7), (0.9, 1.2, 1.7)):
        ramp = np.repeat((10 + slope * x + 0 * y)[None, ..., None], 3, axis=3).astype(np.uint8)
        change = embed(ramp, PAYLOAD).astype(int) - ramp
        assert least < rms(change[:, 32:-32, 32:-32]) <= most


def as_before_shaping(clip):
    """The mark of releases before shaping: 1.5 levels everywhere."""
    added = np.clip(np.rint(1.5 * pattern(PAYLOAD, PUBLIC_KEY, *clip.shape[1:3])), -5, 5)
    return np.clip(clip + added[:, :, None], 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        lambda clip: clip,
        lambda clip: coded(clip, "h264", 28),
        lambda clip: clip[:, 40:220, 30:210],
    ],
    ids=["clean", "H.264", "crop"],
)
def test_marks_of_earlier_releases_are_read(change):
    assert detect(change(as_before_shaping(crossing()))).payload == PAYLOAD


def test_frames_can_be_marked_a_few_at_a_time(marked):
    clip = crossing()
    assert (np.concatenate([embed(clip[:5], PAYLOAD), embed(clip[5:], PAYLOAD)]) == marked).all()
    assert (embed(clip, PAYLOAD) == marked).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda clip: clip[7:8],
        lambda clip: clip[:, :, ::-1],
        lambda clip: coded(clip, "h264", 28),
        lambda clip: resized(clip, 128, 128),
    ],
    ids=["one frame", "mirrored", "H.264", "half size"],
)
def test_the_mark_survives(marked, change):
    found = detect(change(marked))
    assert found.found and found.payload == PAYLOAD


def test_a_crop_says_where_it_was_cut(marked):
    found = detect(marked[:, 40:220, 30:210])
    assert found.payload == PAYLOAD
    assert np.abs(np.subtract(found.offset, (40, 30))).max() < 3 and abs(found.scale - 1) < 0.03


def test_an_enlarged_crop_tells_its_scale():
    found = detect(resized(embed(crossing(frames=4), PAYLOAD)[:, 40:220, 30:210], 360, 360))
    assert found.payload == PAYLOAD and abs(found.scale - 2) < 0.06


def test_the_detector_tells_when():
    """Marked frames among others: the windows of 16 frames that are marked."""
    clip = crossing(frames=48)
    clip[16:32] = embed(clip[16:32], PAYLOAD)
    found = detect(clip)
    assert found.intervals == ((16, 32),) and found.payload == PAYLOAD


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 33, 47)])
def test_small_frames_are_marked_and_searched_without_harm(shape):
    clip = np.full((*shape, 3), 100, np.uint8)
    assert embed(clip, PAYLOAD).shape == clip.shape
    assert detect(clip).p_value > 1e-3


def test_a_long_clip_is_looked_at_in_bounded_time():
    """2,000 frames, seen through a broadcast: no copy of them is made."""
    clip = np.broadcast_to(embed(crossing(frames=1, side=128), PAYLOAD), (2_000, 128, 128, 3))
    found = detect(clip)
    assert found.found and found.intervals == ((0, 2_000),)


def test_transparent_pixels_carry_no_mark():
    """Alpha stays, fully transparent pixels stay, and the visible ones carry the mark."""
    frames = np.random.default_rng(5).integers(40, 200, (8, 128, 128, 4), dtype=np.uint8)
    frames[..., 3] = 255
    frames[:, :, :24, 3] = 0
    marked = embed(frames, PAYLOAD)
    assert np.array_equal(marked[..., 3], frames[..., 3])
    assert np.array_equal(marked[:, :, :24], frames[:, :, :24])
    assert np.array_equal(marked[:, :, 24:, :3], embed(frames[..., :3], PAYLOAD)[:, :, 24:])
