"""A regression of three numbers as a stage, and processes to run it in: real training in
milliseconds.
"""

import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate.state import AcceleratorState
from torch import nn

from openlumiere.train.checkpoint import newest_checkpoint
from openlumiere.train.config import LoopConfig
from openlumiere.train.loop import train
from openlumiere.train.step import Losses, Stage

TARGET = torch.tensor([1.0, -2.0, 3.0])


class Line(nn.Module):
    """`x weight + bias`, with dropout so that the global generator matters, beside weights that are
    frozen.
    """

    def __init__(self, dropout=0.1):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(()))
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return (self.dropout(x * self.frozen) @ self.weight[:, None])[:, 0] + self.bias


def line_losses(net, count, generator):
    x = torch.randn(count, 3, generator=generator)
    return Losses((net(x) - x @ TARGET) ** 2, torch.rand(count, generator=generator))


def config(**options):
    return LoopConfig(
        **{"batch": 8, "log_every": 1, "count_work": False, "save_minutes": 1e9, **options}
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Regression(Stage):
    """A stage of any function that draws losses."""

    draw: Callable = line_losses

    def losses(self, net, count, generator):
        return self.draw(net, count, generator)


def run_to(folder, steps, losses=line_losses, dropout=0.1, **options):
    """Train in `folder` to that step; answers the net."""
    net = Line(dropout)
    train(Regression(net=net, draw=losses), config(**options), folder, max_steps=steps)
    return net


def groups(folder):
    """Every tensor of the newest checkpoint."""
    checkpoint = newest_checkpoint(folder)
    return {
        (group, name): value
        for group, tensors in checkpoint.groups.items()
        for name, value in tensors.items()
    }


def same(one, other):
    """Whether two runs' newest checkpoints are equal in every bit."""
    return differences(one, other) == []


def differences(one, other):
    """Which tensors are not equal in every bit in two runs' newest checkpoints, and how far apart
    they are.
    """
    first, second = groups(one), groups(other)
    odd = [(key, "missing") for key in sorted(first.keys() ^ second.keys())]
    return odd + [
        (key, float((first[key] - second[key]).abs().max()))
        for key in first
        if not torch.equal(first[key], second[key])
    ]


def fork(job):
    """Run `job` in a child that ends without cleaning up; answers its process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    try:
        AcceleratorState._reset_state(reset_partial_state=True)
        job()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def fork_group(count, job):
    """Run `job(rank)` in `count` children of one process group over gloo; answers their exit
    codes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def child(rank):
        os.environ |= {
            "RANK": f"{rank}",
            "LOCAL_RANK": f"{rank}",
            "WORLD_SIZE": f"{count}",
            "LOCAL_WORLD_SIZE": f"{count}",
        }
        os.environ |= {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": f"{port}",
            "GLOO_SOCKET_IFNAME": "lo",
        }
        job(rank)

    children = [fork(lambda rank=rank: child(rank)) for rank in range(count)]
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in children]
