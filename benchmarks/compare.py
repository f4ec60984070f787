"""One command in two source trees, in turn, and how much faster the second is:

    git worktree add /tmp/before SOME_COMMIT
    python benchmarks/compare.py /tmp/before . -- image "a rocket" -o rocket.png

Seconds of the processor, from the start of Python to its end: other work on the machine disturbs
them less than those of the clock, and turns make what is left fall on both.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg


def main(
    before: Positional[Path],
    after: Positional[Path],
    words: Annotated[Positional[tuple[str, ...]], arg(metavar="VERB ...")],
    turns: int = 3,
) -> None:
    """Both medians, their ratio, and every turn."""
    seconds: dict[Path, list[float]] = {before: [], after: []}
    for _ in range(turns):
        for tree, taken in seconds.items():
            taken.append(processor(tree, words))
    for tree, taken in seconds.items():
        turn = ", ".join(f"{each:.2f}" for each in taken)
        print(f"{tree}: {statistics.median(taken):.2f} s ({turn})")
    first, second = (statistics.median(taken) for taken in seconds.values())
    print(f"ratio {first / second:.2f}")


def processor(tree: Path, words: tuple[str, ...]) -> float:
    """Seconds of the processor of one run of the command."""
    start = of_children()
    command = [sys.executable, "-m", "openlumiere.apps.cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve() / "src")}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return of_children() - start


def of_children() -> float:
    """Seconds of the processor of all ended children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    tyro.cli(main)
