"""Masks of every task: what each knows, and how often each is drawn."""

from collections import Counter

import pytest
import torch

from openlumiere.train import masks

SHAPE = (16, 12, 10)  # f h w
DRAWN = 4000


def drawn(kind, count=40):
    return [kind(torch.Generator().manual_seed(seed), SHAPE) for seed in range(count)]


def known_frames(mask):
    return [number for number, frame in enumerate(mask) if frame.all()]


def rest(mask):
    """Whether every frame's mask is the first's."""
    return bool((mask == mask[:1]).all())


def test_shares_are_a_whole():
    assert sum(masks.SHARES.values()) == pytest.approx(1) and len(masks.SHARES) == 11


def test_each_kind_gets_its_share():
    counts = Counter(masks.draw_kinds(torch.Generator().manual_seed(0), DRAWN))
    for kind, share in masks.SHARES.items():
        deviation = (share * (1 - share) / DRAWN) ** 0.5
        assert abs(counts[kind] / DRAWN - share) < 4 * deviation, kind.__name__


@pytest.mark.parametrize("unknown", [0.0, 0.6, 1.0])
def test_another_share_of_nothing_leaves_the_others_theirs_of_the_rest(unknown):
    counts = Counter(masks.draw_kinds(torch.Generator().manual_seed(0), DRAWN, unknown))
    for kind, share in masks.SHARES.items():
        share = (
            unknown
            if kind is masks.nothing
            else share * (1 - unknown) / (1 - masks.SHARES[masks.nothing])
        )
        deviation = (share * (1 - share) / DRAWN) ** 0.5
        assert abs(counts[kind] / DRAWN - share) <= 4 * deviation + 1e-9, kind.__name__


@pytest.mark.parametrize("kind", masks.SHARES, ids=lambda kind: kind.__name__)
def test_masks_are_zero_or_one_and_follow_the_generator(kind):
    for mask, again in zip(drawn(kind, 5), drawn(kind, 5)):
        assert (
            mask.shape == SHAPE
            and set(mask.unique().tolist()) <= {0.0, 1.0}
            and torch.equal(mask, again)
        )


@pytest.mark.parametrize(
    "kind",
    [kind for kind in masks.SHARES if kind is not masks.nothing],
    ids=lambda kind: kind.__name__,
)
def test_something_is_known_and_something_is_not(kind):
    assert all(0 < mask.mean() < 1 for mask in drawn(kind))


@pytest.mark.parametrize(
    ("kind", "frames"),
    [
        (masks.nothing, []),
        (masks.first_frame, [0]),
        (masks.last_frame, [15]),
        (masks.first_and_last, [0, 15]),
    ],
)
def test_given_frames(kind, frames):
    for mask in drawn(kind, 3):
        assert known_frames(mask) == frames and mask.sum() == len(frames) * 120


def test_keyframes_are_two_to_six_whole_frames():
    counts = {len(known_frames(mask)) for mask in drawn(masks.keyframes)}
    assert counts == {2, 3, 4, 5, 6}
    assert all(mask.sum() == 120 * len(known_frames(mask)) for mask in drawn(masks.keyframes))


@pytest.mark.parametrize("kind", [masks.box, masks.stroke, masks.border])
def test_regions_rest(kind):
    assert all(rest(mask) and not known_frames(mask) for mask in drawn(kind))


def test_what_is_made_is_inside_a_box_and_outside_for_a_border():
    for mask, inside in ((drawn(masks.box)[0], 0.0), (drawn(masks.border)[0], 1.0)):
        rows, columns = (mask[0] == inside).any(1), (mask[0] == inside).any(0)
        assert (mask[0] == inside).sum() == rows.sum() * columns.sum()  # a full rectangle


def test_a_moving_mask_moves():
    moved = drawn(masks.moving)
    assert sum(not rest(mask) for mask in moved) > len(moved) * 0.9
    assert all(not known_frames(mask) for mask in moved)


def test_a_cinemagraph_knows_the_first_frame_and_the_outside():
    for mask in drawn(masks.cinemagraph):
        assert known_frames(mask) == [0] and rest(mask[1:])


def test_missing_frames_are_a_quarter_at_most():
    missing = [SHAPE[0] - len(known_frames(mask)) for mask in drawn(masks.some_frames_missing)]
    assert min(missing) >= 1 and max(missing) == SHAPE[0] // 4


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 1, 1), (80, 16, 16)])
@pytest.mark.parametrize("kind", masks.SHARES, ids=lambda kind: kind.__name__)
def test_any_size_has_masks(kind, shape):
    assert kind(torch.Generator().manual_seed(0), shape).shape == shape
