"""Which steps touch the weights: a loss that is not finite, or a spike, does not."""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Any

MEMORY = 100  # losses that the median is of
LEAST = 20  # how many there must be before a spike is one


class Guard:
    """Admits steps and counts those it refused. Every process sees the same losses, so all decide
    alike.
    """

    def __init__(self, spike: float, patience: int):
        self.spike = spike
        self.patience = patience
        self.losses: deque[float] = deque(maxlen=MEMORY)
        self.skipped = 0
        self.in_a_row = 0

    def refuses(self, loss: float, norm: float) -> str | None:
        """Why this step is skipped, or None: it may be taken."""
        reason = self._reason(loss, norm)
        if reason is None:
            self.losses.append(loss)
            self.in_a_row = 0
        else:
            self.skipped += 1
            self.in_a_row += 1
        return reason

    def _reason(self, loss: float, norm: float) -> str | None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return "not finite"
        if self.spike and len(self.losses) >= LEAST and loss > self.spike * median(self.losses):
            return "spike"
        return None

    @property
    def exhausted(self) -> bool:
        """Whether too many steps in a row were skipped."""
        return self.in_a_row >= self.patience

    def check(self) -> None:
        """Raises ValueError after `patience` skipped steps in a row."""
        if self.exhausted:
            raise ValueError(
                f"training: expected finite, steady losses, got {self.in_a_row} skipped steps in a"
                " row, lower the learning rate and resume"
            )

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"losses": list(self.losses), "skipped": self.skipped, "in_a_row": self.in_a_row}

    def restore(self, facts: dict[str, Any]) -> None:
        """Go on from `facts`."""
        self.losses.extend(facts["losses"])
        self.skipped = facts["skipped"]
        self.in_a_row = facts["in_a_row"]
        if self.exhausted:  # whoever resumes after that has changed something
            self.in_a_row = 0
