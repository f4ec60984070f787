"""Few steps: the low-rank factors by which a model makes a clip in four steps without guidance
(`train/stages/distill.py`), in the model's folder as `fast.safetensors`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from openlumiere.contract import SparseFirst
from openlumiere.models.folder import NUMBERS, ModelError
from openlumiere.models.lora import AdapterConfig, StyleError, read_tensors, sort_tensors
from openlumiere.models.style import NOTE, Style

FILE = "fast.safetensors"
SPACING, UNTIL = "path_spacing", "path_until"
MAX_SHIFT = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Fast:
    """What is added to a model's weights, and what it was distilled for: the shift of the levels
    towards noise, and the model's path on few frames (`contract.SparseFirst`), perhaps another than
    it takes in many steps.
    """

    factors: Style
    shift: float
    path: SparseFirst | None = None

    def save(self, path: Path) -> None:
        """Write a safetensors file, as a style is written. Raises `StyleError`."""
        facts = {} if self.path is None else {SPACING: self.path.spacing, UNTIL: self.path.until}
        self.factors.save(path, shift=self.shift, **facts)


def read_fast(folder: Path) -> Fast | None:
    """Of a model's folder; None where it has none. Raises `ModelError` for a file that is not what
    it should be.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        tensors, metadata = read_tensors(path)
        low_rank, full = sort_tensors(tensors, AdapterConfig())
    except StyleError as error:
        raise ModelError(f"{error.expected} in {FILE}", error.got) from None
    facts = read_facts(metadata.get(NOTE, "{}"))
    return Fast(
        factors=Style("fast", low_rank, full),
        shift=fact_of(facts, "shift", MAX_SHIFT),
        path=path_of(facts) if SPACING in facts else None,
    )


def path_of(facts: dict) -> SparseFirst:
    """What a file's note says of the path."""
    spacing, until = (fact_of(facts, name, NUMBERS[name][0]) for name in (SPACING, UNTIL))
    return SparseFirst(spacing=int(spacing), until=int(until))


def read_facts(note: str) -> dict:
    """Of a file's note; none where it is not one."""
    try:
        facts = json.loads(note)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def fact_of(facts: dict, name: str, most: float) -> float:
    """A number that a file's note names."""
    fact = facts.get(name)
    if not isinstance(fact, (int, float)) or isinstance(fact, bool) or not 0 < fact <= most:
        raise ModelError(f"a {name} above 0 and at most {most} in {FILE}", fact)
    return float(fact)
