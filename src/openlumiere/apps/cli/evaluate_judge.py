"""`lumiere evaluate judge`: train the classifier that reads clips for `lumiere evaluate world`, and
state how well it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.report import check_file
from openlumiere.tasks.request import check_range
from openlumiere_world.measures.judge import JudgeConfig, report, save_judge, train_judge
from openlumiere_world.subjects import World


@dataclass(frozen=True, kw_only=True)
class TrainJudge:
    """Train a judge on rendered frames of world-32: about three CPU minutes. It never sees what a
    generator made.
    """

    world: Positional[Path]
    """A built world or a pack."""
    output: Annotated[Path, arg(aliases=("-o",))]
    """Where to write its weights: .safetensors."""
    steps: int = JudgeConfig.steps
    """Steps of 48 frames."""
    seed: int = JudgeConfig.seed
    """Draws what it learns from."""
    tested: int = 600
    """Frames of each kind that its accuracy is stated on."""


def main(words: list[str]) -> int:
    options = parse(TrainJudge, words, "evaluate judge")
    check_range("steps", options.steps, 1, 10**6)
    check_range("seed", options.seed, 0, 2**62)
    check_range("tested", options.tested, 1, 10**6)
    check_file(options.output, ".safetensors")
    torch.set_num_threads(1)
    world, config = World.open(options.world), JudgeConfig(steps=options.steps, seed=options.seed)
    judge = train_judge(world, config=config, tell=lambda line: print(line, flush=True))
    found = report(judge, world, frames=options.tested)
    save_judge(judge, options.output, config, found)
    for where, shares in found.items():
        print(
            f"{where}: {', '.join(f'{name} {100 * share:.1f} %' for name, share in shares.items())}"
        )
    print(options.output)
    return 0
