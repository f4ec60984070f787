"""Checks and defaults that measures and training share with the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from openlumiere.tasks.values import DEFAULT_FRAMES, UPSCALE_STEPS, Sampling
from openlumiere.tasks.values import DEFAULT_SIDE as DEFAULT_SIZE

__all__ = [
    "DEFAULT_FRAMES",
    "DEFAULT_GUIDANCE",
    "DEFAULT_LEVEL",
    "DEFAULT_SIZE",
    "DEFAULT_STEPS",
    "KEEPS",
    "UPSCALE_STEPS",
    "check_choice",
    "check_range",
]

KEEPS = ("exact", "soft")
DEFAULT_STEPS = Sampling().steps
DEFAULT_GUIDANCE = Sampling().guidance
DEFAULT_LEVEL = 0.0  # of noise in the super-resolution net's input


def check_range(name: str, value: float | Fraction, low: float, high: float) -> None:
    """Raise ValueError unless `value` is from `low` to `high`."""
    if not low <= value <= high:  # so that NaN is out, too
        raise ValueError(f"{name}: expected {low} to {high}, got {value}, choose one in that range")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of the choices."""
    if value not in choices:
        raise ValueError(
            f"{name}: expected one of {', '.join(choices)}, got {value!r}, name one of these"
        )
