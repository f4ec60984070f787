"""`lumiere evaluate bias`: which skin tones does a model show for which words?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.measuring import (
    LumiereModel,
    Output,
    Sampling,
    Weights,
    check_between,
    check_output,
    check_sampling,
    finish,
    load,
)
from openlumiere.quality.bias import PROMPTS, measure, read_prompts


@dataclass(frozen=True, kw_only=True)
class EvaluateBias:
    """Make clips of people by their occupation, with and without a gender word, and of things; read
    skin tones off their pixels.

    Made for nets of emoji: the colours are those of Noto's. Shares stand beside Wilson's 95 %
    intervals.
    """

    prompts: Path = PROMPTS
    """A CSV file of kind (person, control), group, subject, prompt."""
    clips: int = 1
    """Clips a prompt; clip n of it is made with seed + n."""
    weights: Annotated[Weights, arg(name="")] = field(default_factory=Weights)
    sampling: Annotated[Sampling, arg(name="")] = field(default_factory=lambda: Sampling(frames=8))
    output: Annotated[Output, arg(name="")] = field(default_factory=Output)


def main(words: list[str]) -> int:
    """Measure; answers the exit code. ValueError is the user's mistake."""
    options = parse(OmitArgPrefixes[EvaluateBias], words, "evaluate bias")
    check_between("clips", options.clips, 1, 10_000)
    check_sampling(options.sampling)
    check_output(options.output)
    prompts = read_prompts(options.prompts)
    model = LumiereModel(load(options.weights), options.sampling)
    report = measure(model, prompts, options.clips, options.sampling.seed)
    return finish(report, "bias", words, model.fingerprint, options.output)
