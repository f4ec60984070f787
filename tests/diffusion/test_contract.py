from dataclasses import replace

import pytest
import torch

from openlumiere.contract import Condition, Known, Level, Native, join, join_known


def half_known(batch=2):
    mask = torch.zeros(batch, 1, 3, 4, 4)
    mask[..., :2] = 1
    return Known(
        content=torch.randn(batch, 3, 3, 4, 4, generator=torch.Generator().manual_seed(0)),
        mask=mask,
    )


def test_pasting_known_content_is_exact_and_leaves_the_rest():
    known, clean = half_known(), torch.full((2, 3, 3, 4, 4), 0.3)
    kept = known.paste(clean)
    assert torch.equal(kept[..., :2], known.content[..., :2])
    assert torch.equal(kept[..., 2:], clean[..., 2:])


def test_pasting_blends_where_the_mask_is_between():
    known = Known(content=torch.ones(1, 1, 1, 1, 1), mask=torch.full((1, 1, 1, 1, 1), 0.25))
    assert known.paste(torch.zeros(1, 1, 1, 1, 1)).item() == 0.25


def test_what_is_not_known_is_never_seen():
    known = half_known()
    spoilt = Known(content=torch.where(known.mask == 1, known.content, torch.nan), mask=known.mask)
    assert torch.equal(spoilt.as_channels(), known.as_channels())
    assert spoilt.paste(torch.zeros(2, 3, 3, 4, 4)).isfinite().all()


def test_channels_are_masked_content_then_mask():
    known = half_known()
    channels = known.as_channels()
    assert channels.shape == (2, 4, 3, 4, 4)
    assert torch.equal(channels[:, :3], known.content * known.mask) and torch.equal(
        channels[:, 3:], known.mask
    )


def test_what_is_held_is_the_nearest_known_frame():
    content = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(1, 2, 5, 1, 2)
    mask = torch.tensor([[0.0, 0], [1, 0], [0, 0.5], [0, 0], [1, 0]]).view(1, 1, 5, 1, 2)
    known = Known(content=content, mask=mask)
    held = known.held()[0, 0, :, 0]
    assert held[:, 0].tolist() == [1, 1, 1, 4, 4]
    assert not held[:, 1].any()
    channels = known.as_channels(hold=True)[0, :, :, 0]
    assert channels[0, :, 0].tolist() == [1, 1, 1, 4, 4]
    assert channels[0, 2, 1] == 1  # half of what is half known
    assert torch.equal(channels[2], mask[0, 0, :, 0])


def test_nothing_is_all_zeros():
    nothing = Known.nothing((2, 3, 5, 4, 4), dtype=torch.float16)
    assert nothing.content.dtype == torch.float16 and nothing.as_channels().count_nonzero() == 0


def test_select_join_and_to():
    known = half_known()
    swapped = known.select([1, 0])
    assert torch.equal(swapped.content[0], known.content[1])
    assert torch.equal(join_known([known.select([0]), known.select([1])]).content, known.content)
    assert known.to("cpu", torch.float64).mask.dtype == torch.float64


@pytest.mark.parametrize(
    ("content", "mask", "message"),
    [
        (torch.zeros(3, 3, 4, 4), torch.zeros(1, 1, 3, 4, 4), "expected content b c f h w"),
        (torch.zeros(1, 3, 3, 4, 4), torch.zeros(1, 3, 3, 4, 4), "expected a mask"),
        (torch.zeros(1, 3, 3, 4, 4), torch.zeros(1, 1, 3, 4, 5), "expected a mask"),
        (torch.zeros(1, 3, 3, 4, 4), torch.full((1, 1, 3, 4, 4), 255.0), "expected mask values in"),
        (
            torch.zeros(1, 3, 3, 4, 4),
            torch.full((1, 1, 3, 4, 4), torch.nan),
            "expected mask values in",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(content, mask, message):
    with pytest.raises(ValueError, match=message):
        Known(content=content, mask=mask)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def full_condition():
    return Condition(
        text=random(3, 5, 4),
        text_mask=random(3, 5) > 0,
        known=Known.nothing((3, 2, 2, 4, 4)),
        frame_times=torch.arange(2.0),
        over_frames={"low": random(3, 1, 2, 4, 4)},
        whole={"text_embeds": random(3, 6), "class_labels": torch.tensor([1, 2, 3])},
    )


def test_select_and_repeat_and_join_are_one_another():
    told = full_condition()
    assert torch.equal(told.select([2, 0]).whole["class_labels"], torch.tensor([3, 1]))
    assert told.select([2, 0]).known.content.shape[0] == 2 and told.select([1]).whole[
        "text_embeds"
    ].shape == (1, 6)
    again = join([told.select([row]) for row in range(3)])
    for name in ("text", "text_mask", "frame_times"):
        assert torch.equal(getattr(again, name), getattr(told, name))
    assert torch.equal(again.whole["class_labels"], told.whole["class_labels"])
    assert torch.equal(again.over_frames["low"], told.over_frames["low"])
    assert torch.equal(told.select([1]).repeat(3).text, told.text[[1, 1, 1]])
    assert join([told, told]).batch == told.repeat(2).batch == 6


def test_joined_texts_of_two_lengths_are_padded_and_masked():
    joined = join([Condition(text=random(1, 5, 4)), Condition(text=random(1, 3, 4))])
    assert joined.text.shape == (2, 5, 4) and joined.text[1, 3:].count_nonzero() == 0
    assert joined.text_mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert (
        join([Condition(text=random(1, 5, 4)), Condition(text=random(1, 5, 4))]).text_mask is None
    )


def test_conditions_that_do_not_fit_are_refused():
    told = full_condition()
    with pytest.raises(ValueError, match="expected known in all joined conditions or in none"):
        join([told, Condition(text=told.text, over_frames=told.over_frames, whole=told.whole)])
    with pytest.raises(ValueError, match="expected text_embeds in all joined conditions or in"):
        join([told, replace(told, whole={})])
    with pytest.raises(ValueError, match="expected class_labels for 3 clips"):
        Condition(text=told.text, whole={"class_labels": torch.tensor([1])})
    with pytest.raises(ValueError, match="expected low over frames as b c f h w"):
        Condition(text=told.text, over_frames={"low": torch.zeros(3, 2)})
    with pytest.raises(ValueError, match="expected known for 3 clips"):
        Condition(text=told.text, known=Known.nothing((2, 2, 2, 4, 4)))


def test_to_moves_real_numbers_only():
    moved = full_condition().to("cpu", torch.float16)
    assert (
        moved.text.dtype
        == moved.whole["text_embeds"].dtype
        == moved.over_frames["low"].dtype
        == moved.known.content.dtype
        == torch.float16
    )
    assert (
        moved.text_mask.dtype == torch.bool
        and moved.whole["class_labels"].dtype == torch.int64
        and moved.frame_times.dtype == torch.float32
    )


def test_a_window_a_roll_and_a_pick_take_what_belongs_to_frames():
    told = Condition(
        text=random(1, 2, 3),
        known=Known(content=random(1, 2, 6, 4, 4), mask=torch.ones(1, 1, 6, 4, 4)),
        frame_times=10 + 2 * torch.arange(6.0),
        over_frames={"low": random(1, 1, 6, 4, 4)},
        whole={"size": torch.ones(1, 2)},
    )
    low = told.over_frames["low"]
    part = told.window((slice(2, 5), slice(0, 2), slice(1, 4)))
    assert torch.equal(part.over_frames["low"], low[:, :, 2:5, :2, 1:4])
    assert part.known.mask.shape == (1, 1, 3, 2, 3) and part.frame_times.tolist() == [10, 12, 14]
    turned = told.roll(2)
    assert torch.equal(turned.over_frames["low"][:, :, 2:], low[:, :, :4])
    assert torch.equal(turned.known.content[:, :, 2:], told.known.content[:, :, :4])
    assert torch.equal(turned.frame_times, told.frame_times)
    few = told.pick(torch.tensor([0.0, 2.5, 5.0]))
    assert few.frame_times.tolist() == [10, 15, 20]
    assert torch.equal(few.over_frames["low"], low[:, :, [0, 2, 5]])
    assert all(each.whole["size"] is told.whole["size"] for each in (part, turned, few))


def test_a_level_broadcasts_repeats_and_covers_with_noise():
    level = Level(
        alpha=torch.tensor([0.6, 1.0]), sigma=torch.tensor([0.8, 0.0]), time=torch.tensor([7, 0])
    )
    clean, noise = random(2, 1, 1, 2, 2), random(2, 1, 1, 2, 2, seed=1)
    noisy = level.noised(clean, noise)
    torch.testing.assert_close(noisy[0], 0.6 * clean[0] + 0.8 * noise[0])
    assert torch.equal(noisy[1], clean[1])
    assert level.repeat(2).time.tolist() == [7, 0, 7, 0]
    one = Level(alpha=torch.tensor(1.0), sigma=torch.tensor(0.0), time=torch.tensor(0))
    assert one.repeat(3).time.ndim == 0 and torch.equal(one.noised(clean, noise), clean)


def test_frames_that_a_native_length_allows():
    native = Native(side=32, frames=81, time_multiple=4)
    assert [native.frames_for(count) for count in (1, 2, 5, 6, 81)] == [1, 5, 5, 9, 81]
    assert [Native(side=32).frames_for(count) for count in (1, 7)] == [1, 7]
