import numpy as np
import pytest

from openlumiere_world.measures.distance import frechet

ROWS = np.random.default_rng(0).normal(size=(500, 6))


def test_a_set_is_at_no_distance_from_itself_and_a_shift_counts_squared():
    assert frechet(ROWS, ROWS) == pytest.approx(0, abs=1e-9)
    assert frechet(ROWS, ROWS + np.array([3, 4, 0, 0, 0, 0])) == pytest.approx(25)


def test_spread_counts_as_the_difference_of_deviations():
    """Of normal distributions along the same axes the distance is that of their standard
    deviations, squared and summed.
    """
    scales = np.array([1, 2, 3, 1, 1, 0.5])
    apart = (
        (
            np.sqrt(np.linalg.eigvalsh(np.cov(ROWS.T))) * 2
            - np.sqrt(np.linalg.eigvalsh(np.cov(ROWS.T)))
        )
        ** 2
    ).sum()
    assert frechet(ROWS, ROWS.mean(0) + 2 * (ROWS - ROWS.mean(0))) == pytest.approx(apart)
    assert frechet(ROWS, ROWS * scales) == pytest.approx(frechet(ROWS * scales, ROWS))


def test_more_noise_is_further_away():
    noise = np.random.default_rng(1).normal(size=ROWS.shape)
    assert (
        frechet(ROWS, ROWS + 0.1 * noise)
        < frechet(ROWS, ROWS + 0.5 * noise)
        < frechet(ROWS, ROWS + noise)
    )


def test_sets_that_have_no_covariance_are_refused():
    for one, other in ((ROWS[:1], ROWS), (ROWS, ROWS[:, :3])):
        with pytest.raises(ValueError, match="^features: expected two rows or more of one length"):
            frechet(one, other)
