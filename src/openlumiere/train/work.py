"""How much arithmetic a step takes, and how much of what the device can do that is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

SIDE, REPEATS = 1024, 5


@dataclass(frozen=True, kw_only=True)
class Work:
    """`flops` of a step over all processes, and FLOPs a second that the devices of all processes
    reach on matrices; 0 is unknown.
    """

    flops: float = 0.0
    rate: float = 0.0

    def utilisation(self, steps_a_second: float) -> float | None:
        """Share of the rate that is reached; None where it is unknown."""
        return self.flops * steps_a_second / self.rate if self.rate else None


def count_flops(run: Callable[[], None]) -> float:
    """FLOPs of what `run` computes: matrix products, convolutions and attention, forward and
    backward.
    """
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def matrix_rate(
    device: torch.device, dtype: torch.dtype = torch.float32, side: int = SIDE
) -> float:
    """FLOPs a second of square matrix products of this `side`, the best of a few."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = min(timed(lambda: left @ right, device) for _ in range(REPEATS))
    return 2 * side**3 / best


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the device's queue emptied before and after."""
    wait(device)
    start = time.perf_counter()
    run()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
