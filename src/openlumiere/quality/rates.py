"""A share of successes and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z95 = 1.959964  # standard deviations of a normal distribution to either side that hold 95 % of it


@dataclass(frozen=True)
class Rate:
    """`hits` of `trials`."""

    hits: int
    trials: int

    @property
    def share(self) -> float:
        """Of the trials that were hits."""
        return self.hits / self.trials

    def interval(self, z: float = Z95) -> tuple[float, float]:
        """Wilson's score interval (Wilson 1927; Newcombe 1998, method 3), both ends in [0, 1]."""
        n, p = self.trials, self.share
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{100 * self.share:.1f} % ({100 * low:.1f}-{100 * high:.1f})"
