"""`lumiere evaluate judge`: train the classifier that reads clips for `lumiere evaluate world`, and
state how well it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.measuring import check_between, check_file


@dataclass(frozen=True, kw_only=True)
class TrainJudge:
    """Train a judge on rendered frames of world-32: about three CPU minutes. It never sees what a
    generator made.
    """

    world: Positional[Path]
    """A built world or a pack."""
    output: Annotated[Path, arg(aliases=("-o",))]
    """Where to write its weights: .safetensors."""
    steps: int = 1000
    """Steps of 48 frames."""
    seed: int = 0
    """Draws what it learns from."""
    tested: int = 600
    """Frames of each kind that its accuracy is stated on."""


def main(words: list[str]) -> int:
    """Train and write a judge; answers the exit code. ValueError is the user's mistake."""
    options = parse(TrainJudge, words, "evaluate judge")
    check_between("steps", options.steps, 1, 10**6)
    check_between("seed", options.seed, 0, 2**62)
    check_between("tested", options.tested, 1, 10**6)
    check_file(options.output, ".safetensors")
    import torch

    from openlumiere_world.measures.judge import JudgeConfig, report, save_judge, train_judge
    from openlumiere_world.subjects import World

    torch.set_num_threads(1)
    world = World.open(options.world)
    config = JudgeConfig(steps=options.steps, seed=options.seed)
    judge = train_judge(world, config=config, on_line=show)
    found = report(judge, world, frames=options.tested)
    save_judge(judge, options.output, config, found)
    for where, shares in found.items():
        show(
            f"{where}: {', '.join(f'{name} {100 * share:.1f} %' for name, share in shares.items())}"
        )
    show(str(options.output))
    return 0


def show(line: str) -> None:
    """At once."""
    print(line, flush=True)
