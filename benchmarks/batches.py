"""How much faster `run_many` is in batches: python benchmarks/batches.py"""

from __future__ import annotations

import time

from openlumiere import Lumiere
from openlumiere.tasks import Generate

PROMPTS = (
    "a red dog moves right",
    "a red cat moves right",
    "a red car moves left",
    "a red sun moves up",
)


def main() -> None:
    """Four clips of 80 frames in two steps, one by one and in one batch, three times each."""
    lumiere = Lumiere.from_pretrained()
    tasks = [Generate(prompt=prompt, steps=2, size=0) for prompt in PROMPTS]
    lumiere.run_many(tasks[:1])
    seconds: dict[int, list[float]] = {1: [], 4: []}
    for _ in range(3):
        for batch, found in seconds.items():
            start = time.perf_counter()
            lumiere.run_many(tasks, batch=batch)
            found.append(time.perf_counter() - start)
    alone, together = min(seconds[1]), min(seconds[4])
    print(f"alone {alone:.2f} s, together {together:.2f} s, ratio {alone / together:.2f}")


if __name__ == "__main__":
    main()
