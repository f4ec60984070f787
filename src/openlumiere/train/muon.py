"""One optimiser for small convolutional nets: Muon for matrices and kernels, AdamW for all else.

Muon (Jordan et al. 2024) makes the momentum of a matrix orthogonal before it is a step. A kernel is
the matrix of its outputs by all else. Steps are brought to the size of AdamW's (Liu et al. 2025,
"Muon is scalable"), so that one learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

QUINTIC = (
    3.4445,
    -4.7750,
    2.0315,
)  # Jordan et al.'s, whose singular values end between 0.7 and 1.2
ROUNDS = 5
ADAM_SIZE = (
    0.2  # root mean square of a step of AdamW in units of its learning rate, as Liu et al. found
)
LEAST = 8  # rows and columns of a matrix worth making orthogonal (our choice)


class Muon(Optimizer):
    """All parameters are in one group, so that a checkpoint knows their moments by their order."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.01,
        eps: float = 1e-8,
    ):
        super().__init__(
            parameters,
            {
                "lr": lr,
                "momentum": momentum,
                "betas": betas,
                "weight_decay": weight_decay,
                "eps": eps,
            },
        )

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """Takes no closure."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: nn.Parameter, group: dict) -> None:
        state = self.state[parameter]
        change = matrix_change if is_matrix(parameter) else adam_change
        update = change(parameter.grad, state, group)
        parameter.mul_(1 - group["lr"] * group["weight_decay"] * (parameter.ndim > 1))
        parameter.add_(update, alpha=-group["lr"])


def is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim > 1 and min(len(parameter), parameter[0].numel()) >= LEAST


def matrix_change(grad: Tensor, state: dict, group: dict) -> Tensor:
    """The orthogonal matrix nearest to Nesterov's momentum, as large as a step of AdamW."""
    momentum = state.setdefault("momentum", torch.zeros_like(grad))
    momentum.lerp_(grad, 1 - group["momentum"])
    matrix = grad.lerp(momentum, group["momentum"]).flatten(1)
    size = ADAM_SIZE * max(matrix.shape) ** 0.5
    return size * orthogonal(matrix).view(grad.shape)


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Singular values brought to about 1 by Newton and Schulz's iteration, computed in `dtype`."""
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if tall else matrix
    wide = (wide / wide.norm().clamp(min=1e-12)).to(dtype)
    first, second, third = QUINTIC
    for _ in range(ROUNDS):
        square = wide @ wide.T
        wide = first * wide + (second * square + third * square @ square) @ wide
    return (wide.T if tall else wide).to(matrix.dtype)


def adam_change(grad: Tensor, state: dict, group: dict) -> Tensor:
    """A step of Adam with its biases corrected."""
    if not state:
        state |= {
            "mean": torch.zeros_like(grad),
            "square": torch.zeros_like(grad),
            "step": torch.zeros(()),
        }
    first, second = group["betas"]
    state["step"] += 1
    state["mean"].lerp_(grad, 1 - first)
    state["square"].lerp_(grad.square(), 1 - second)
    count = float(state["step"])
    mean = state["mean"] / (1 - first**count)
    root = (state["square"] / (1 - second**count)).sqrt()
    return mean / (root + group["eps"])
