import pytest
import torch

from openlumiere.diffusion.known import Known, join_known, keep


def half_known(batch=2):
    mask = torch.zeros(batch, 1, 3, 4, 4)
    mask[..., :2] = 1
    return Known(
        content=torch.randn(batch, 3, 3, 4, 4, generator=torch.Generator().manual_seed(0)),
        mask=mask,
    )


def test_keep_pastes_known_content_exactly_and_leaves_the_rest():
    known, clean = half_known(), torch.full((2, 3, 3, 4, 4), 0.3)
    kept = keep(known, clean)
    assert torch.equal(kept[..., :2], known.content[..., :2])
    assert torch.equal(kept[..., 2:], clean[..., 2:])
    assert keep(None, clean) is clean


def test_keep_blends_where_the_mask_is_between():
    known = Known(content=torch.ones(1, 1, 1, 1, 1), mask=torch.full((1, 1, 1, 1, 1), 0.25))
    assert keep(known, torch.zeros(1, 1, 1, 1, 1)).item() == 0.25


def test_what_is_not_known_is_never_seen():
    known = half_known()
    spoilt = Known(content=torch.where(known.mask == 1, known.content, torch.nan), mask=known.mask)
    assert torch.equal(spoilt.as_channels(), known.as_channels())
    assert keep(spoilt, torch.zeros(2, 3, 3, 4, 4)).isfinite().all()


def test_channels_are_masked_content_then_mask():
    known = half_known()
    channels = known.as_channels()
    assert channels.shape == (2, 4, 3, 4, 4)
    assert torch.equal(channels[:, :3], known.content * known.mask) and torch.equal(
        channels[:, 3:], known.mask
    )


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
