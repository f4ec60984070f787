"""When the first preview of a clip is there, from the moment its job is added:

    python benchmarks/preview.py [--model toys] [--steps 10] [--jobs 3]

The worker has its model, as in a studio that is open; the first job also opens the text encoder.
Seconds of the clock, and of the processor beside them, which other work disturbs less.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time

from openlumiere import Lumiere
from openlumiere.apps.queue import Queue, Worker
from openlumiere.apps.queue.job import Job

PROMPT = "a rocket moves up on a blue background"
MOMENTS = ("first step", "first preview", "clip")
LOOK = 0.01  # seconds between looks at the job


def main() -> None:
    """Several jobs, one after the other, a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="toys")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=3)
    options = parser.parse_args()
    lumiere = Lumiere.from_pretrained(options.model, dtype="auto")
    print("| job | " + " | ".join(MOMENTS) + " |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        queue = Queue(folder)
        worker = Worker(queue, lumiere)
        thread = threading.Thread(target=worker.run, kwargs={"follow": True}, daemon=True)
        thread.start()
        for number in range(options.jobs):
            found = follow(queue, number, options.steps)
            cells = [" / ".join(f"{each:.2f}" for each in found[name]) for name in MOMENTS]
            print(f"| {number + 1} | " + " | ".join(cells) + " |", flush=True)
        worker.stop()
        thread.join()


def follow(queue: Queue, seed: int, steps: int) -> dict[str, tuple[float, float]]:
    """Seconds of clock and processor until each moment of one job; nan for what never came."""
    began = time.perf_counter(), time.process_time()
    task = {"kind": "generate", "prompt": PROMPT, "sampling": {"steps": steps, "seed": seed}}
    job = queue.add(task, suffix=".mp4").id
    found: dict[str, tuple[float, float]] = {}
    while "clip" not in found:
        time.sleep(LOOK)
        for name in reached(queue.get(job)):
            clock, processor = time.perf_counter() - began[0], time.process_time() - began[1]
            found.setdefault(name, (clock, processor))
    return {name: found.get(name, (float("nan"), float("nan"))) for name in MOMENTS}


def reached(job: Job) -> list[str]:
    """The moments that a job is past."""
    past = (job.step > 0, bool(job.preview), job.ended)
    return [name for name, is_past in zip(MOMENTS, past, strict=True) if is_past]


if __name__ == "__main__":
    main()
