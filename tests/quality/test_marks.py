"""The measure of the mark: what is planned, kept and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from openlumiere.provenance.watermark import embed
from openlumiere.quality.attacks import ATTACKS, WINNING
from openlumiere.quality.marks import (
    CLEAN,
    Row,
    append,
    average,
    cells,
    measure,
    payload_of,
    read_rows,
    subtracted,
    summary,
    table,
)

FRAMES = np.full((3, 128, 160, 3), (90, 150, 80), np.uint8)


@pytest.mark.parametrize("name", [*ATTACKS, *WINNING])
def test_an_attack_gives_frames(name):
    changed = {**ATTACKS, **WINNING}[name](FRAMES, np.random.default_rng(0))
    assert (
        changed.dtype == np.uint8
        and changed.ndim == 4
        and changed.shape[3] == 3
        and len(changed) >= 1
    )
    assert abs(int(changed.mean()) - int(FRAMES.mean())) < 40


def test_every_clip_meets_every_attack_after_as_many_passes():
    clips = [f"{k:03d}" for k in range(30)]
    met = Counter(cells(clips, len(ATTACKS)))
    assert set(met.values()) == {1}
    assert {clip for clip, name in met if name == CLEAN} == set(clips)
    assert len([1 for clip, name in met if name in ATTACKS]) == len(clips) * len(ATTACKS)


def test_rows_outlive_a_kill(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = measure("000", CLEAN, FRAMES)
    append(path, row)
    with path.open("a") as file:
        file.write('{"clip": "001", "att')
    assert read_rows(path) == [row] and read_rows(tmp_path / "none") == []
    other = replace(row, clip="002")
    append(path, other)  # ends the line that was cut off
    append(path, other)
    append(path, other)
    assert read_rows(path) == [row, other]


def test_the_summary_counts():
    rows = [
        Row(
            clip=str(k),
            attack=CLEAN,
            p_value=10.0**-k,
            score=float(k),
            found=k > 6,
            payload=k > 7,
            psnr=44,
        )
        for k in range(10)
    ]
    one = summary(rows)[CLEAN]
    assert (one["clips"], one["found"], one["read"], one["score_worst_tenth"]) == (10, 3, 2, 0.0)
    assert "| clean | 10 | 30.0 %" in table(summary(rows))


def test_the_average_of_clips_under_one_key_takes_the_mark_away():
    """Expected to win: what marked clips share is the mark."""
    estimate = average(embed(FRAMES[:1], payload_of(str(k))) for k in range(30))
    assert not subtracted("x", FRAMES, estimate).found
