"""A canvas to the net and back: nothing unknown leaks in, nothing known is lost."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from openlumiere.contract import Native
from openlumiere.engine.canvas import Canvas, filled, inside, unheld
from openlumiere.engine.fit import blend, encode, encode_whole, fit, paste, restore, seen_rate
from openlumiere.media import Clip
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.tasks import Region

NET = Native(side=32, multiple=8)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def canvas(frames=5, height=36, width=64, fps=16, box=(0.25, 0.25, 0.75, 0.75)):
    return filled(Clip(noise(frames, height, width, 3), Fraction(fps)), Region.box(*box))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 64), (32, 32)),
        ((36, 64), (32, 56)),
        ((64, 36), (56, 32)),
        ((1080, 1920), (32, 56)),
        ((9, 36), (32, 128)),
    ],
)
def test_proportions_are_kept_to_a_multiple(size, expected):
    to = fit(
        Canvas(
            frames=np.zeros((1, *size, 3), np.uint8),
            known=np.zeros((1, *size), bool),
            fps=Fraction(16),
        ),
        NET,
    )
    assert (to.height, to.width) == expected


@pytest.mark.parametrize(
    ("fps", "indices"),
    [(8, 6), (16, 6), (Fraction(24000, 1001), 6), (30, 4), (60, 3), (240, 2), (Fraction(1, 2), 6)],
)
def test_fast_clips_are_thinned_to_their_last_frame(fps, indices):
    to = fit(replace(canvas(frames=6), fps=Fraction(fps)), NET)
    assert len(to.indices) == indices and to.indices[0] == 0 and to.indices[-1] == 5
    assert torch.allclose(to.times(Fraction(fps)), torch.tensor(to.indices) * 16 / float(fps))


@pytest.mark.parametrize(("fps", "seen"), [(8, 8), (16, 16), (30, 15), (60, 15), (24, 12)])
def test_the_rate_that_the_net_sees(fps, seen):
    assert seen_rate(Fraction(fps), NET) == seen


def test_anchors_are_seen_and_a_loop_is_even():
    given = replace(canvas(frames=9), fps=Fraction(60), anchors=(3,))
    assert fit(given, NET).indices == (0, 3, 4, 8)
    assert fit(given, NET, loop=True).indices == (0, 4, 8)


def test_motion_is_the_pace_of_time():
    assert fit(canvas(), NET).times(Fraction(16), 0.5).tolist() == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize("size", [(36, 64), (33, 47), (16, 16), (200, 120)])
def test_a_place_is_known_only_where_all_its_pixels_are(size):
    """Whatever is under an unknown pixel can change without a change of what the net is given."""
    given = canvas(2, *size)
    codec, to = UnshuffleCodec(2), fit(given, NET)
    told = encode(given, to, codec).as_channels()
    changed = np.where(given.known[..., None], given.frames, noise(*given.frames.shape, seed=1))
    assert torch.equal(told, encode(replace(given, frames=changed), to, codec).as_channels())
    mask = told[:, -1]
    assert (
        set(mask.unique().tolist()) == {0, 1} and abs(float(mask.mean()) - given.known.mean()) < 0.2
    )


def test_sizes_that_divide_are_told_exactly():
    given = canvas(2, 32, 32, box=(0.25, 0.25, 0.5, 0.5))
    known = encode(given, fit(given, NET), UnshuffleCodec(2))
    pixels = UnshuffleCodec(2).decode(known.content)
    assert torch.equal(
        ((pixels + 1) * 127.5).round()[0].permute(1, 2, 3, 0).byte()[given.known],
        torch.from_numpy(given.frames[given.known]),
    )
    assert known.mask.sum() == 2 * (16 * 16 - 4 * 4)


def test_the_whole_is_told_for_restyling():
    given = unheld(Clip(noise(2, 32, 32, 3)))
    assert torch.equal(
        encode_whole(given, fit(given, NET), UnshuffleCodec(2)),
        encode(replace(given, known=~given.known), fit(given, NET), UnshuffleCodec(2)).content,
    )


@pytest.mark.parametrize("feather", [0, 1, 4, 30])
def test_known_pixels_come_back_bit_by_bit(feather):
    given = canvas(3, 33, 47)
    to = fit(given, NET)
    made = restore(noise(3, to.height, to.width, 3, seed=2), given, to, "exact", feather)
    assert np.array_equal(made[given.known], given.frames[given.known]) and not np.array_equal(
        made, given.frames
    )


def test_soft_leaves_all_to_the_net():
    given = canvas(3, 32, 32)
    made = noise(3, 32, 32, 3, seed=2)
    assert np.array_equal(restore(made, given, fit(given, NET), "soft", 4), made)


def test_a_seam_of_another_brightness_vanishes():
    """Grey 100 around, the net made 140 everywhere: beside the border it is 100, further in it is
    its own.
    """
    known = inside(Region.box(0.25, 0.25, 0.75, 0.75), 1, 64, 64)[0] ^ True
    given, made = np.full((64, 64, 3), 100, np.uint8), np.full((64, 64, 3), 140, np.uint8)
    pasted = paste(made, given, known, 3)
    assert abs(int(pasted[32, 16, 0]) - 100) <= 8 and pasted[32, 32, 0] == 140
    assert np.abs(np.diff(pasted[32, :, 0].astype(int))).max() < 20
    assert np.abs(np.diff(paste(made, given, known, 0)[32, :, 0].astype(int))).max() == 40


def test_what_the_region_held_does_not_come_through():
    known = inside(Region.box(0.25, 0.25, 0.75, 0.75), 1, 64, 64)[0] ^ True
    made = noise(64, 64, 3)
    pasted = []
    for held in (0, 255):
        given = np.full((64, 64, 3), held, np.uint8)
        given[known] = 50
        pasted.append(paste(made, given, known, 4))
    assert np.array_equal(*pasted)


def test_frames_between_are_mixed_and_a_loop_goes_round():
    given = replace(canvas(frames=8), fps=Fraction(60))
    made = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (0, 100)])
    to = fit(given, NET, loop=True)
    assert to.indices == (0, 4)
    assert [int(blend(made, to, index, True)[0, 0, 0]) for index in range(8)] == [
        0,
        25,
        50,
        75,
        100,
        75,
        50,
        25,
    ]
