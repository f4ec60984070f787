"""Few steps: the low-rank factors by which a model makes a clip in four steps without guidance
(`train/stages/distill.py`), in the model's folder as `fast.safetensors`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from openlumiere.models.folder import ModelError
from openlumiere.models.lora import AdapterConfig, StyleError, read_tensors, sort_tensors
from openlumiere.models.style import NOTE, Style

FILE = "fast.safetensors"
MAX_SHIFT = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Fast:
    """What is added to a model's weights, and the shift of the levels that it was distilled for
    towards noise.
    """

    factors: Style
    shift: float

    def save(self, path: Path) -> None:
        """Write a safetensors file, as a style is written. Raises `StyleError`."""
        self.factors.save(path, shift=self.shift)


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
    return Fast(factors=Style("fast", low_rank, full), shift=read_shift(metadata.get(NOTE, "{}")))


def read_shift(note: str) -> float:
    """The shift that a file's note names."""
    try:
        shift = json.loads(note)["shift"]
    except (ValueError, KeyError, TypeError, RecursionError):
        shift = None
    if not isinstance(shift, (int, float)) or isinstance(shift, bool) or not 0 < shift <= MAX_SHIFT:
        raise ModelError(f"a shift above 0 and at most {MAX_SHIFT} in {FILE}", shift)
    return float(shift)
