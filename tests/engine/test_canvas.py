"""Regions in pixels, and the canvas that each task fills."""

from fractions import Fraction

import numpy as np
import pytest

from openlumiere.engine.canvas import (
    Canvas,
    extended,
    filled,
    inside,
    keyframes,
    partly_moving,
    unheld,
)
from openlumiere.media import Clip, save_image
from openlumiere.tasks import Region

RATE = Fraction(16)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.fixture
def clip():
    return Clip(noise(4, 16, 24, 3), Fraction(30000, 1001))


def test_a_box_covers_the_pixels_whose_centres_it_holds():
    found = inside(Region.box(0.25, 0.5, 0.75, 1), 3, 16, 24)
    expected = np.zeros((3, 16, 24), bool)
    expected[:, 8:, 6:18] = True
    assert np.array_equal(found, expected)


def test_a_polygon_covers_half_of_the_square_it_halves():
    triangle = inside(Region.parse("0,0 1,0 0,1"), 1, 64, 64)[0]
    assert triangle[0, 0] and not triangle[-1, -1] and abs(triangle.mean() - 0.5) < 0.01


def test_keyframes_of_a_region_move_evenly_and_rest_beyond():
    found = inside(Region.parse("1: 0,0,0.5,1; 3: 0.5,0,1,1"), 5, 8, 8)
    starts = [int(np.flatnonzero(frame[0])[0]) for frame in found]
    assert starts == [0, 0, 2, 4, 4] and (found.sum(axis=(1, 2)) == 32).all()


@pytest.mark.parametrize(
    "text",
    ["0.25,0.5,0.75,1", "0.1,0.1 0.9,0.1 0.5,0.9", "0: 0,0,0.5,1; 40: 0.5,0,1,1", "-0.2,0,0.3,0.5"],
)
def test_a_region_reads_its_own_text(text):
    region = Region.parse(text)
    again = Region.parse(str(region))
    assert again == region and np.array_equal(inside(again, 41, 32, 32), inside(region, 41, 32, 32))


def test_masks_from_files_arrays_and_clips(tmp_path):
    mask = np.zeros((8, 12), bool)
    mask[2:5, 3:9] = True
    save_image(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), tmp_path / "mask.png")
    for given in (
        mask,
        mask * np.uint8(255),
        mask.astype(np.float32),
        str(tmp_path / "mask.png"),
        tmp_path / "mask.png",
    ):
        assert np.array_equal(inside(Region.of(given), 2, 8, 12), np.stack([mask, mask]))
    moving = np.stack([mask, ~mask])
    assert np.array_equal(inside(Region.of(moving), 2, 8, 12), moving)


def test_masks_of_another_size_or_length_are_refused(clip):
    with pytest.raises(
        ValueError, match="region: expected a mask of 24x16 pixels, got 16x24, draw it"
    ):
        filled(clip, Region.of(np.eye(24, 16) > 0))
    with pytest.raises(ValueError, match="region: expected a mask of 1 or 4 frames, got 3, give"):
        filled(clip, Region.of(np.eye(16, 24)[None].repeat(3, 0) > 0))
    with pytest.raises(ValueError, match="region: a mask .h, w."):
        filled(clip, Region.of(np.zeros((1, 3, 16, 24), bool)))


def test_keyframes_are_known_and_nothing_else():
    pictures = {0: noise(16, 24, 3), 5: noise(16, 24, 3) // 2}
    canvas = keyframes(pictures, 8, RATE)
    assert (
        canvas.known.all(axis=(1, 2)).tolist()
        == [True, False, False, False, False, True, False, False]
        and canvas.known.sum() == 2 * 16 * 24
    )
    assert np.array_equal(canvas.frames[5], pictures[5]) and canvas.anchors == (0, 5)


def test_keyframes_beyond_the_clip_or_of_other_sizes_are_refused():
    for frame in (8, -1):
        with pytest.raises(
            ValueError, match=f"keyframes: expected frames from 0 to 7, got {frame}, ask"
        ):
            keyframes({frame: noise(16, 24, 3)}, 8, RATE)
    with pytest.raises(
        ValueError, match="keyframes: expected pictures of 24x16, got 16x24 at frame 1, bring"
    ):
        keyframes({0: noise(16, 24, 3), 1: noise(24, 16, 3)}, 8, RATE)


@pytest.mark.parametrize("shape", [(1, 1), (10, 20_000), (7, 7), (64, 257)])
def test_sides_that_no_net_takes_are_refused(shape):
    with pytest.raises(
        ValueError,
        match=f"size: expected sides of 8 to 4096 pixels, at most 4 to 1, got {shape[1]}x",
    ):
        keyframes({0: np.zeros((*shape, 3), np.uint8)}, 80, RATE)


def test_inpainting_knows_the_complement_of_the_region(clip):
    canvas = filled(clip, Region.box(0, 0, 0.5, 1))
    assert (
        not canvas.known[:, :, :12].any()
        and canvas.known[:, :, 12:].all()
        and canvas.fps == clip.fps
    )


def test_outpainting_knows_the_middle(clip):
    canvas = extended(clip, 40, 21)
    assert canvas.size == (40, 21) and np.array_equal(canvas.frames[:, 2:18, 8:32], clip.frames)
    assert canvas.known[:, 2:18, 8:32].all() and canvas.known.sum() == clip.frames.size // 3
    with pytest.raises(
        ValueError, match="to: expected at least the clip's 24x16, got 23x40, give sides"
    ):
        extended(clip, 23, 40)


def test_a_cinemagraph_knows_frame_0_and_all_that_is_outside():
    canvas = partly_moving(noise(16, 16, 3), Region.box(0, 0, 0.5, 0.5), 4, RATE)
    assert (
        canvas.known[0].all()
        and not canvas.known[1:, :8, :8].any()
        and canvas.known[1:, 8:].all()
        and canvas.known[1:, :, 8:].all()
    )
    assert (canvas.frames == canvas.frames[:1]).all()


def test_restyling_knows_nothing_or_all(clip):
    assert not unheld(clip).known.any() and unheld(clip, held=True).known.all()


def test_a_canvas_checks_its_mask(clip):
    with pytest.raises(ValueError, match="known: expected a mask"):
        Canvas(frames=clip.frames, known=np.zeros((4, 16, 23), bool), fps=RATE)
