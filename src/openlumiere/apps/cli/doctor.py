"""`lumiere doctor`: what this machine has, whether the bundled files are intact, and what a run
will need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from openlumiere.apps.cli.arguments import parse
from openlumiere.tasks import Sampling
from openlumiere.tasks.values import DEFAULT_FRAMES


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Device, threads, memory and versions; whether text encoder and weights are intact; whether a
    run fits.
    """

    frames: int = DEFAULT_FRAMES
    """Frames of the run to weigh."""
    size: int | None = None
    """Shorter side of its written frames in pixels; as `lumiere generate` would without it."""
    steps: int = Sampling().steps
    """Its denoising steps (they take time, not memory)."""
    model: str | None = None
    """A model folder instead of the bundled weights; of a published one, every way to run it."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""


def main(words: list[str]) -> int:
    """Print what is found, a line each; 1 where something is not well."""
    options = parse(Doctor, words, "doctor")
    from openlumiere.apps.cli.examine import examine  # torch, after what can be wrong in the words

    return examine(options)
