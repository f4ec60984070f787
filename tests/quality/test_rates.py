import pytest

from openlumiere.quality.rates import Rate


@pytest.mark.parametrize(  # Newcombe (1998), table I, method 3
    ("hits", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_interval_has_the_published_ends(hits, trials, low, high):
    assert Rate(hits, trials).interval() == pytest.approx((low, high), abs=5e-5)


def test_a_rate_reads_as_percent_with_its_interval():
    assert str(Rate(10, 20)) == "50.0 % (29.9-70.1)"
