"""How much faster `run_many` is in batches, and two clips at once on a thread each:

    python benchmarks/batches.py [--model toys] [--dtype float32] [--rounds 3]

Four clips of 80 frames in two steps, in three ways, in turn. Torch has one thread, so that
seconds of the processor count the work alone, whatever else runs on the machine; on two free cores
the third way takes half of its seconds, the others as much less as torch's threads help.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from openlumiere import Lumiere
from openlumiere.tasks import Generate

PROMPTS = (
    "a red dog moves right",
    "a red cat moves right",
    "a red car moves left",
    "a red sun moves up",
)
ALONE = "one by one"


def main() -> None:
    """A row a way; its ratio is to one by one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lumiere = Lumiere.from_pretrained(options.model, dtype=options.dtype)
    tasks = [Generate(prompt=prompt, steps=2, size=0) for prompt in PROMPTS]
    lumiere.run_many(tasks[:1])
    ways = {
        ALONE: lambda: lumiere.run_many(tasks, batch=1),
        "a batch of four": lambda: lumiere.run_many(tasks, batch=4),
        "two at once, a thread each": lambda: two_at_once(lumiere, tasks),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            seconds[name].append(processor(way))
    print(f"{options.model or 'default model'}, {lumiere.base.dtype}, torch {torch.__version__}\n")
    print("| way | seconds of the processor | ratio |\n| --- | --- | --- |")
    for name, taken in seconds.items():
        print(f"| {name} | {min(taken):.2f} | {min(seconds[ALONE]) / min(taken):.2f} |")


def two_at_once(lumiere: Lumiere, tasks: list[Generate]) -> None:
    """Two threads, each with the next task once it is free."""
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(lumiere.run, tasks))


def processor(way: Callable[[], object]) -> float:
    """Seconds of the processor that a call takes, over all threads."""
    start = time.process_time()
    way()
    return time.process_time() - start


if __name__ == "__main__":
    main()
