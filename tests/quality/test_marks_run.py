"""The measure of marks from Python: made once, resumed, told from another model's."""

import json

import numpy as np
import pytest

from openlumiere.quality import marks_run
from openlumiere.quality.bench import plain
from openlumiere.quality.marks_run import MarksRun, cut, spread


class Drawn:
    """Clips of slowly moving blobs instead of a net's."""

    def __init__(self, fingerprint="drawn"):
        self.fingerprint = fingerprint
        self.asked = []

    def clips(self, prompts, seeds):
        for prompt, seed in zip(prompts, seeds, strict=True):
            self.asked.append((prompt, seed))
            draw = np.random.default_rng(seed)
            coarse = draw.integers(60, 200, (6, 6, 3)).repeat(32, 0).repeat(32, 1)
            frames = [np.roll(coarse, step, 1) for step in range(4)]
            yield np.stack(frames).astype(np.uint8)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(marks_run, "DRAWN", 1)


def test_a_run_is_measured_once_and_goes_on(tmp_path, few):
    model = Drawn()
    run = MarksRun(folder=tmp_path, prompts=["a", "b"], clips=2, passes=0, seed=5)
    run.make(model)
    assert model.asked == [("a", 5), ("b", 6)] and run.lacking == [] and run.model == "drawn"
    report = run.measure()
    found = report.figures["attacks"]["clean"]
    assert (found["clips"], found["found"], found["read"]) == (2, 2, 2)
    assert report.figures["unmarked"]["found"] == 0 and report.figures["unmarked"]["windows"] == 3
    assert "| clean | 2 |" in report.text and report.figures["psnr"]["least"] > 35
    json.dumps(plain(report.figures), allow_nan=False)
    rows = run.rows_file.read_bytes()
    assert run.measure().figures == report.figures and run.rows_file.read_bytes() == rows


def test_clips_of_another_model_do_not_mix(tmp_path):
    run = MarksRun(folder=tmp_path, prompts=["a", "b"], clips=1)
    run.make(Drawn())
    more = MarksRun(folder=tmp_path, prompts=["a", "b"], clips=2)
    with pytest.raises(
        ValueError, match="run: expected clips of the model other, got some of drawn"
    ):
        more.make(Drawn("other"))
    more.make(Drawn())
    assert more.lacking == []


def test_too_few_prompts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="prompts: expected 3 lines, got 2"):
        MarksRun(folder=tmp_path, prompts=["a", "b"], clips=2, skip=1)


def test_footage_is_cut_side_by_side_and_spread():
    frames = np.zeros((33, 300, 520, 3), np.uint8)
    windows = list(cut(frames))
    assert len(windows) == 4 and {window.shape for window in windows} == {(16, 256, 256, 3)}
    assert len(spread(windows, 2)) == 2 and len(spread(windows, 9)) == 4
