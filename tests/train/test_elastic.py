"""A run under `torchrun` whose process is killed goes on by itself from its last checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from elastic import KILLED_AT, STEPS
from toy import run_to, same

SCRIPT = Path(__file__).with_name("elastic.py")


@pytest.mark.long
def test_a_killed_process_is_started_again_and_the_run_is_the_unbroken_one(tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [sys.executable, *launcher, "--max-restarts", "2", str(SCRIPT), str(tmp_path / "run")]
    done = subprocess.run(
        words, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run.killed").exists() and "exitcode: -9" in done.stderr
    steps = [int(path.name[5:]) for path in (tmp_path / "run").glob("step-*")]
    assert max(steps) == STEPS > KILLED_AT
    run_to(tmp_path / "whole", STEPS, parts=2)
    assert same(tmp_path / "run", tmp_path / "whole")
