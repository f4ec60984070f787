"""Exponential moving average of the trained parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class PowerEMA:
    """Average over about the last tenth of training, however long it is: decay `(1 - 1/n)^(gamma +
    1)` at step n.

    Our choice; the power function of Karras et al. 2024 (EDM2), section 3.1; gamma 6.94 is a
    relative width of 0.1.
    """

    gamma = 6.94

    def __init__(self, parameters: Mapping[str, Tensor]):
        self.average = {name: value.detach().clone() for name, value in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, Tensor], step: int) -> None:
        """`step` counts from 1; the first update copies."""
        weight = 1 - (1 - 1 / step) ** (self.gamma + 1)
        torch._foreach_lerp_(
            list(self.average.values()),
            [parameters[name].detach() for name in self.average],
            weight,
        )
