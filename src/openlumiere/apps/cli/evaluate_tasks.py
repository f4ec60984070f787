"""`lumiere evaluate tasks`: each creative task on clips whose content is known, in figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.measuring import (
    Output,
    Sampling,
    Weights,
    check_between,
    check_output,
    check_sampling,
    finish,
    load,
)

TaskName = Literal[
    "animate", "steer", "inpaint", "outpaint", "mend", "cinemagraph", "restyle", "style"
]
STYLE = "style"


@dataclass(frozen=True, kw_only=True)
class EvaluateTasks:
    """Run the creative tasks on clips whose content is known, keeping it exactly and softly, and
    measure what comes of it. The table is written beside `--out` as .md.
    """

    tasks: tuple[TaskName, ...] = (
        "animate",
        "steer",
        "inpaint",
        "outpaint",
        "mend",
        "cinemagraph",
        "restyle",
    )
    """Which; style needs a world with the held-out style."""
    world: Path | None = None
    """A built world or a pack, to draw clips from."""
    clips: int = 4
    """Clips to draw from it."""
    file: UseAppendAction[tuple[str, ...]] = ()
    """A clip of your own, as cat.mp4 or cat.mp4=a cat walks; may be given again."""
    references: int = 20
    """Drawings that the task style learns from, one by one."""
    lessons: int = 100
    """Training steps for each of them."""
    judge_steps: int = 300
    """Training steps of the judge that tells the held-out style from the others."""
    judge: Path | None = None
    """The weights of a judge instead of the bundled one's, if one is bundled."""
    weights: Annotated[Weights, arg(name="")] = field(default_factory=Weights)
    sampling: Annotated[Sampling, arg(name="")] = field(default_factory=lambda: Sampling(steps=10))
    output: Annotated[Output, arg(name="")] = field(default_factory=Output)


def main(words: list[str]) -> int:
    """Measure; answers the exit code. ValueError is the user's mistake."""
    options = parse(OmitArgPrefixes[EvaluateTasks], words, "evaluate tasks")
    check(options)
    from openlumiere_world.measures.tasks_report import Asked, evaluate

    asked = Asked(
        tasks=options.tasks,
        world=options.world,
        clips=options.clips,
        files=options.file,
        frames=options.sampling.frames,
        steps=options.sampling.steps,
        guidance=options.sampling.guidance,
        seed=options.sampling.seed,
        judge=options.judge,
        references=options.references,
        lessons=options.lessons,
        judge_steps=options.judge_steps,
    )
    sources = asked.open()
    lumiere = load(options.weights, "world-32")
    report = evaluate(lumiere, asked, sources)
    out = options.output.out
    table = None if out is None else out.with_suffix(".md")
    return finish(report, "tasks", words, lumiere.base.fingerprint(), options.output, table)


def check(options: EvaluateTasks) -> None:
    """Refuse before the long work what would fail after it."""
    check_between("clips", options.clips, 0, 1000)
    check_between("references", options.references, 1, 1000)
    check_between("lessons", options.lessons, 1, 10**6)
    check_between("judge steps", options.judge_steps, 1, 10**6)
    styled = STYLE in options.tasks
    check_sampling(options.sampling)
    if styled and options.world is None:
        raise ValueError(
            "world: expected one that holds the held-out style, got none, pass --world, or name"
            " tasks without style"
        )
    if not styled and not options.file and (options.world is None or not options.clips):
        raise ValueError("clips: expected a world or files, got neither, pass --world or --file")
    check_output(options.output)
