"""`lumiere evaluate marks`: is the mark in the pixels found and read after attacks, and only where
it is?
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.measuring import (
    LumiereModel,
    Output,
    Sampling,
    Weights,
    check_between,
    check_sampling,
    finish,
    load,
)

RATE = Fraction(16)  # frames a second


@dataclass(frozen=True, kw_only=True)
class EvaluateMarks:
    """Make clips, mark and attack them, and look for the mark; then look for it in footage that is
    not marked.

    Everything made is kept in RUN, and a run that was stopped is resumed. Clips are of one second
    at 16 frames.
    """

    run: Positional[Path]
    """A folder for clips, rows and the report."""
    prompts: Path
    """A text file, a prompt a line; clip n shows line n."""
    clips: int = 200
    """Clips made."""
    skip: int = 0
    """Leave out the first prompts: those that thresholds were chosen on."""
    passes: int = 3
    """Attacks a clip, in turn, so that every attack meets its share of the clips."""
    footage: tuple[Path, ...] = ()
    """Clips that are not marked, cut into windows of 16 frames of at most 256 x 256 pixels."""
    windows: int = 200
    """Windows looked at, at most; all clips of footage give their share."""
    keys: int = 1_000_000
    """Random keys for the law of the null."""
    size: int = 256
    """Side of the marked frames in pixels."""
    weights: Annotated[Weights, arg(name="")] = field(default_factory=Weights)
    sampling: Annotated[Sampling, arg(name="")] = field(
        default_factory=lambda: Sampling(steps=6, guidance=1.0, seed=9000)
    )


def main(words: list[str]) -> int:
    """Measure; answers the exit code. ValueError is the user's mistake."""
    options = parse(OmitArgPrefixes[EvaluateMarks], words, "evaluate marks")
    check_between("clips", options.clips, 1, 100_000)
    check_between("passes", options.passes, 0, 1000)
    check_sampling(options.sampling, least_frames=1)
    if not options.prompts.is_file():
        raise ValueError(
            f"prompts: expected a text file, got {options.prompts}, write a prompt a line"
        )
    from openlumiere.quality.marks_run import MarksRun

    run = MarksRun(
        folder=options.run,
        prompts=options.prompts.read_text(encoding="utf-8").splitlines(),
        clips=options.clips,
        skip=options.skip,
        passes=options.passes,
        footage=options.footage,
        windows=options.windows,
        keys=options.keys,
        seed=options.sampling.seed,
    )
    if run.lacking:  # else no net is needed
        run.make(LumiereModel(load(options.weights), options.sampling, options.size, RATE))
    output = Output(out=options.run / "report.json")
    return finish(run.measure(), "marks", words, run.model, output)
