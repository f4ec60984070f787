"""kill -9 of the worker at random moments: no job is lost, no result is made twice or half."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from openlumiere.apps.queue import Queue

SCRIPT = Path(__file__).parent / "killing.py"


@pytest.mark.parametrize(("kills", "seed"), [(3, 1), pytest.param(50, 2, marks=pytest.mark.long)])
def test_killed_workers_lose_no_job_and_make_none_twice(tiny, tiny_model, tmp_path, kills, seed):
    words = [tmp_path, tiny_model, kills, seed]
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kills"] == kills and report["replaced"] == []
    assert report["interrupted"] >= kills // 3
    jobs = Queue(tmp_path).list()
    assert jobs and {job.state for job in jobs} == {"done"}
    assert len(jobs) > 3 and sum(job.attempts > 1 for job in jobs) >= kills // 5
    left = [path.name for path in tmp_path.rglob(".*")]
    assert left == []
    for job in jobs:
        (result,) = job.results
        alone = tmp_path / "alone.webm"
        tiny.run(job.task).save(alone)
        assert Path(result).read_bytes() == alone.read_bytes()
        assert sorted(path.name for path in Path(result).parent.iterdir()) == [
            "clip.webm",
            "clip.webm.json",
            "clip.webm.provenance.json",
        ]
