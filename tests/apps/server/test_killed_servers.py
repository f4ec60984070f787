"""kill -9 of the server at random moments: every answer holds, and no job is there twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openlumiere.apps.queue import Queue

HERE = Path(__file__).parent


@pytest.mark.parametrize(("kills", "seed"), [(5, 1), pytest.param(50, 2, marks=pytest.mark.long)])
def test_killed_servers_lose_no_job_and_add_none_twice(tmp_path, kills, seed):
    search = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, HERE / "killing_servers.py", str(tmp_path), str(kills), str(seed)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert done.returncode == 0, done.stderr
    answered = json.loads(done.stdout)["answered"]
    jobs = {job.key: job.id for job in Queue(tmp_path).list()}
    assert len(answered) > kills
    assert answered.items() <= jobs.items()
    assert len(Queue(tmp_path).list()) - len(answered) in (0, 1)  # the last was never answered
    assert {job.state for job in Queue(tmp_path).list()} == {"pending"}
