"""Muon and the falling rate: what a step is, what is learnt, and that a stopped run goes on in
every bit.
"""

import torch
from torch import nn
from toy import line_losses, same

from openlumiere.train.config import LoopConfig
from openlumiere.train.muon import Muon, orthogonal
from openlumiere.train.stages.schedule import ScheduleConfig, fit
from openlumiere.train.step import Losses, Stage

LOOP = LoopConfig(
    learning_rate=1e-2, batch=8, warmup=2, log_every=1, count_work=False, save_minutes=1e9
)


class Kernels(nn.Module):
    """Two convolutions and a bias: matrices and other parameters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3, padding=1)
        )

    def forward(self, x):
        return self.layers(x)


def losses(net, count, generator):
    x = torch.randn(count, 3, 8, 8, generator=generator)
    target = x.mean(1, keepdim=True).expand(-1, 8, -1, -1)
    return Losses((net(x) - target).square().mean((1, 2, 3)), torch.zeros(count))


def run(folder, until, schedule=ScheduleConfig()):
    net = Kernels()
    fit(
        Stage(net=net, losses=losses),
        LOOP,
        ScheduleConfig(fall_from=schedule.fall_from, fall_to=until),
        folder,
    )
    return net


def test_orthogonal_brings_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((16, 40), (40, 16), (24, 24)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert 0.5 < values.min() and values.max() < 1.3


def test_a_step_is_as_large_as_one_of_adam():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(32, 64))
    weight.grad = torch.randn(32, 64) * 1e-6
    Muon([weight], lr=1.0, weight_decay=0.0).step()
    assert 0.1 < weight.square().mean().sqrt() < 0.3


def test_a_bias_takes_the_step_of_adam():
    ours, theirs = (nn.Parameter(torch.ones(5)) for _ in range(2))
    muon, adam = (
        Muon([ours], lr=0.1, weight_decay=0.0),
        torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.99)),
    )
    for number in range(4):
        gradient = torch.randn(5, generator=torch.Generator().manual_seed(number))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        muon.step()
        adam.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_it_learns_what_adam_learns_slower(tmp_path):
    net = run(tmp_path / "run", 60)
    generator = torch.Generator().manual_seed(99)
    assert losses(net, 16, generator).loss.mean() < 0.1


def test_the_rate_falls_in_a_straight_line():
    schedule = ScheduleConfig(fall_from=100, fall_to=200)
    assert [schedule.share(step) for step in (0, 99, 100, 150, 200, 250)] == [
        1.0,
        1.0,
        1.0,
        0.5,
        0.0,
        0.0,
    ]
    assert ScheduleConfig().share(10**6) == 1.0


def test_a_run_that_was_stopped_is_the_run_that_was_not(tmp_path):
    run(tmp_path / "whole", 6)
    run(tmp_path / "parts", 3)
    run(tmp_path / "parts", 6)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_adam_is_there_for_those_who_ask(tmp_path):
    from toy import Line

    schedule = ScheduleConfig(muon=False, fall_from=1, fall_to=3)
    assert fit(Stage(net=Line(), losses=line_losses), LOOP, schedule, tmp_path) == 3
