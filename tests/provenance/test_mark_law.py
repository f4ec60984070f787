"""The p-value's law: for random keys a score passes z at most as often as Chernoff's bound says,
whatever the picture is.
"""

from __future__ import annotations

import pytest

from openlumiere.quality.marks import null_scores, synthetic, tail


@pytest.mark.parametrize("name", ["plain", "noise", "stripes"])
def test_scores_of_random_keys_keep_the_bound(name):
    frames = next(frames for kind, frames in synthetic(5) if kind.startswith(name))
    scores = null_scores(frames[:2, :128, :128], 20_000, seed=1)
    for point in tail(scores):
        assert point["reached"] <= point["bound"] * len(scores)
    assert abs(scores.mean()) < 0.05
