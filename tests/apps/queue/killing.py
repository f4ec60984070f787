"""Kills workers at random moments, again and again: a process of its own, run by `test_kills.py`.

    python killing.py FOLDER MODEL KILLS SEED

The model is loaded once; each worker is a fork of this process, in which no thread ran before.
Prints a line of JSON: how many kills there were, in how many of them a job was in hand, and paths
whose file was replaced after it was first seen (there must be none).
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from openlumiere import Lumiere
from openlumiere.apps.queue import Queue, Worker

AT_ONCE = 3  # jobs that wait


def main(folder: str, model: str, kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    lumiere = Lumiere.from_pretrained(model)
    lumiere.generate("a dog", steps=1, frames=2, size=0)  # what is made once is made before
    longest = seconds(folder, lumiere)
    moments = random.Random(seed)
    seen: dict[str, int] = {}
    replaced: list[str] = []
    interrupted = 0
    for number in range(1, kills + 1):
        add_jobs(Queue(folder), number)
        child = start(folder, lumiere)
        time.sleep(moments.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        interrupted += Queue(folder).counts()["running"]
        replaced += look(folder, seen)
    os.waitpid(start(folder, lumiere), 0)
    replaced += look(folder, seen)
    print(json.dumps({"kills": kills, "interrupted": interrupted, "replaced": replaced}))


def seconds(folder: str, lumiere: Lumiere) -> float:
    """How long a worker takes for the jobs that wait at each kill, on this machine, now."""
    add_jobs(Queue(folder), 0)
    began = time.monotonic()
    os.waitpid(start(folder, lumiere), 0)
    return time.monotonic() - began


def add_jobs(queue: Queue, number: int) -> None:
    """So that there is something to do at each kill."""
    for index in range(AT_ONCE - queue.counts()["pending"]):
        task = {"kind": "generate", "prompt": "a dog", "size": 0}
        sampling = {"steps": 4, "seed": AT_ONCE * number + index}
        queue.add(task | {"sampling": sampling, "length": {"frames": 4}}, suffix=".webm")
    queue.store.close()


def start(folder: str, lumiere: Lumiere) -> int:
    """A worker's process."""
    child = os.fork()
    if child:
        return child
    Worker(Queue(folder), lumiere, attempts=1000).run()
    os._exit(0)


def look(folder: str, seen: dict[str, int]) -> list[str]:
    """Results that are other files than when they were first seen."""
    found = {str(path): path.stat().st_ino for path in Path(folder, "results").glob("*/clip.webm")}
    replaced = [path for path, inode in found.items() if seen.setdefault(path, inode) != inode]
    return replaced + [path for path in seen if path not in found]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
