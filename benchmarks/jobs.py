"""What the queue costs: many jobs of a small model drained by a worker in a process of its own, and
how fast the server says where a job is meanwhile.

    python benchmarks/jobs.py MODEL [--jobs 200]

MODEL is a model's folder. Prints jobs a second, jobs that are not done (there must be none), the
time that the same tasks take without a queue, and the server's p50 and p95 while the worker
computes.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import tyro

from openlumiere.apps.queue import Queue

COMMAND = [sys.executable, "-m", "openlumiere.apps.cli"]
TASK = {"kind": "generate", "prompt": "a dog", "size": 0}


def main(
    model: tyro.conf.Positional[Path], jobs: int = 200, steps: int = 4, frames: int = 4
) -> None:
    """Drain a queue and ask a server about it."""
    with tempfile.TemporaryDirectory() as folder:
        queue = Queue(folder)
        tasks = [
            {**TASK, "sampling": {"steps": steps, "seed": seed}, "length": {"frames": frames}}
            for seed in range(jobs)
        ]
        added = [queue.add(task, suffix=".webm").id for task in tasks]
        words = ["--folder", folder, "--model", str(model), "--port", "0", "--rate", "1000000"]
        server = subprocess.Popen([*COMMAND, "serve", *words], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        port = int(server.stdout.readline().rpartition(":")[2].partition("/")[0])
        waits = ask_until_drained(port, queue, added[-1])
        server.terminate()
        server.wait()
        show(queue, waits)
    alone(model, tasks)


def ask_until_drained(port: int, queue: Queue, last: str) -> list[float]:
    """Seconds for each answer while jobs run."""
    waits: list[float] = []
    over = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not over.wait(0.02):
            began = time.perf_counter()
            connection.request("GET", f"/v1/jobs/{last}")
            connection.getresponse().read()
            if queue.counts()["running"]:
                waits.append(time.perf_counter() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    while queue.counts()["pending"] or queue.counts()["running"]:
        time.sleep(0.1)
    over.set()
    thread.join()
    return waits


def show(queue: Queue, waits: list[float]) -> None:
    """What came of it."""
    jobs = queue.list()
    seconds = max(job.finished for job in jobs) - min(job.started for job in jobs)
    lost = sum(job.state != "done" or not Path(job.results[0]).is_file() for job in jobs)
    p50, p95 = np.percentile(waits, [50, 95]) * 1000
    print(f"{len(jobs)} jobs in {seconds:.1f} s, {lost} not done")
    print(
        f"status while the worker computes: p50 {p50:.1f} ms, p95 {p95:.1f} ms, {len(waits)} asked"
    )


def alone(model: Path, tasks: list[dict]) -> None:
    """The same tasks in this process, saved, without a queue."""
    import torch

    from openlumiere import Lumiere
    from openlumiere.tasks import read_task

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    lumiere = Lumiere.from_pretrained(model)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for number, task in enumerate(tasks):
            lumiere.run(read_task(task)).save(f"{folder}/{number}.webm")
        print(f"the same without a queue: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    tyro.cli(main)
