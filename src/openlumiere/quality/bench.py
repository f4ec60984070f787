"""The frame of every measure: what makes its clips, and what it reports."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from openlumiere.quality.rates import Rate

Frames: TypeAlias = UInt8[np.ndarray, "_ _ _ c"]
Rows: TypeAlias = list[list[str]]


@runtime_checkable
class Model(Protocol):
    """What makes clips, as its users make them."""

    @property
    def fingerprint(self) -> str:
        """A hash of its weights and settings."""

    def clips(self, prompts: Sequence[str], seeds: Sequence[int]) -> Iterator[Frames]:
        """A clip a prompt, each by its seed, exact and unmarked."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Pictures to lay side by side, `columns` in a row, each under its name."""

    pictures: list[UInt8[np.ndarray, "h w 3"]]
    names: list[str]
    columns: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a measure found: Markdown for a person, figures for JSON, perhaps a sheet."""

    text: str
    figures: dict[str, Any]
    sheet: Sheet | None = field(default=None, repr=False)


def markdown(rows: Rows) -> str:
    """A table; the first row is its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])


def number(value: float | None) -> str:
    """Four digits, or a dash where there is no number."""
    return "-" if value is None else f"{value:.4g}"


def plain(value: Any) -> Any:
    """The same in values that JSON has: rates as hits, trials, share and interval, dataclasses as
    objects, an infinite number as "exact".
    """
    if isinstance(value, Rate):
        return {**asdict(value), "share": value.share, "interval": value.interval()}
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and math.isinf(value):
        return "exact"
    return value
