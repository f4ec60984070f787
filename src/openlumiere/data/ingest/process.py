"""A reading process seen from outside: started when it is first needed, and anew when it died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

SOURCE = Path(__file__).parents[3]


class ReadingProcess:
    """Runs jobs of `worker.py`, one at a time."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def __call__(self, job: dict) -> dict:
        """The outcome of a job: rows, an error of its file, or a stop."""
        if self.process is None or self.process.poll() is not None:
            self.process = _start()
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        status = process.wait()
        return {"stop": f"a reading process that ended (status {status})"}

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def _start() -> subprocess.Popen:
    search = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "openlumiere.data.ingest.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | one_thread | {"PYTHONPATH": search},
    )


class Readers:
    """One reading process a thread."""

    def __init__(self) -> None:
        self.mine = threading.local()
        self.all: list[ReadingProcess] = []

    def __call__(self, job: dict) -> dict:
        """The outcome of a job, by this thread's process."""
        if not hasattr(self.mine, "process"):
            self.mine.process = ReadingProcess()
            self.all.append(self.mine.process)
        return self.mine.process(job)

    def close(self) -> None:
        """End all processes."""
        for process in self.all:
            process.close()
