"""Several processes are the same run as one: R1, R6 and R7 of the reliability promises, over gloo
on the CPU.
"""

import json
import os
import random
import signal
import threading
from types import SimpleNamespace

import pytest
import torch
from accelerate import DistributedType
from torch import nn
from toy import (
    TARGET,
    Regression,
    config,
    differences,
    fork_group,
    groups,
    line_losses,
    run_to,
    same,
)

from openlumiere.train.loop import train
from openlumiere.train.step import Losses, check_processes, part_seed


def test_two_processes_are_the_run_of_one(tmp_path):
    """Gradients averaged over processes are those of the whole batch: all weights, moments and
    averages agree to the bit.
    """
    run_to(tmp_path / "one", 4, parts=2)
    assert fork_group(2, lambda rank: run_to(tmp_path / "two", 4, parts=2)) == [0, 0]
    assert same(tmp_path / "one", tmp_path / "two")


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path):
    """In one part or in four, up to rounding, where the parts hold the same samples."""

    def same_samples(net, count, generator):
        x = (
            torch.arange(24.0).reshape(8, 3)[:count] / 10
        )  # every part alike: its mean is the batch's
        return Losses((net(x) - 1) ** 2, torch.zeros(count))

    run_to(tmp_path / "four", 3, losses=same_samples, dropout=0, parts=4, batch=32)
    run_to(tmp_path / "one", 3, losses=same_samples, dropout=0, parts=1, batch=8)
    four, one = groups(tmp_path / "four"), groups(tmp_path / "one")
    assert all(torch.allclose(four[key], one[key], atol=1e-6) for key in one)


def test_other_numbers_of_processes_lose_and_repeat_no_sample(tmp_path):
    """1, then 2, then 4, then 1 process: the same parts are drawn, once each, and the weights of an
    unbroken run come out.
    """
    drawn = tmp_path / "drawn.txt"

    def noting(net, count, generator):
        with drawn.open("a") as file:
            file.write(f"{generator.initial_seed()}\n")
        return line_losses(net, count, generator)

    run_to(tmp_path / "whole", 8, parts=4)
    run_to(tmp_path / "parts", 2, losses=noting, parts=4, plan=False)
    assert fork_group(
        2, lambda rank: run_to(tmp_path / "parts", 4, losses=noting, parts=4, plan=False)
    ) == [
        0,
        0,
    ]
    assert (
        fork_group(
            4, lambda rank: run_to(tmp_path / "parts", 6, losses=noting, parts=4, plan=False)
        )
        == [0] * 4
    )
    run_to(tmp_path / "parts", 8, losses=noting, parts=4, plan=False)
    assert sorted(map(int, drawn.read_text().split())) == sorted(
        part_seed(0, number) for number in range(8 * 4)
    )
    parts, whole = groups(tmp_path / "parts"), groups(tmp_path / "whole")
    assert all(torch.allclose(parts[key], whole[key], atol=1e-6) for key in whole)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_on_one_process_touches_no_parameter_on_any(tmp_path, value):
    def spoilt(net, count, generator):
        losses = line_losses(net, count, generator)
        bad = generator.initial_seed() == part_seed(0, 5)  # step 3, the second process
        return Losses(losses.loss * (value if bad else 1), losses.level)

    run_to(tmp_path / "two", 2, parts=2)
    assert fork_group(2, lambda rank: run_to(tmp_path / "three", 3, losses=spoilt, parts=2)) == [
        0,
        0,
    ]
    assert same(tmp_path / "two", tmp_path / "three")
    lines = [
        json.loads(line) for line in (tmp_path / "three" / "log.jsonl").read_text().splitlines()
    ]
    assert [line["skipped"] for line in lines] == [0, 0, 1]


def test_a_signal_to_one_process_ends_all(tmp_path):

    def interrupted(net, count, generator):
        if generator.initial_seed() == part_seed(0, 5):
            os.kill(os.getpid(), signal.SIGTERM)
        return line_losses(net, count, generator)

    assert fork_group(2, lambda rank: run_to(tmp_path, 100, losses=interrupted, parts=2)) == [0, 0]
    assert (tmp_path / "step-3").is_dir()


def test_no_part_of_a_run_is_drawn_twice():
    assert len({part_seed(7, number) for number in range(100_000)}) == 100_000


def sharded_run(folder, steps, shard=True):
    """A convolution as training stores it, and a frozen layer; answers how many numbers of the
    convolution this process holds.
    """
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Unflatten(1, (3, 1, 1)),
        nn.Conv2d(3, 8, 3, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(8, 1),
    )
    net.to(memory_format=torch.channels_last)
    net[4].requires_grad_(False)

    def losses(net, count, generator):
        x = torch.randn(count, 3, generator=generator)
        return Losses((net(x)[:, 0] - x @ TARGET) ** 2, torch.rand(count, generator=generator))

    train(Regression(net=net, draw=losses), config(parts=4, shard=shard), folder, max_steps=steps)
    return sum(
        (value.to_local() if shard else value).numel()
        for value in net.parameters()
        if value.requires_grad
    )


def test_sharded_processes_are_the_run_of_one(tmp_path):
    """FSDP2: each holds a part of what trains; checkpoints are whole, and others resume them."""

    def shares(rank):
        assert sharded_run(tmp_path / "shards", 2) == 112  # of 216 weights and 8 biases

    def goes_on(rank):
        sharded_run(tmp_path / "shards", 4)

    sharded_run(tmp_path / "one", 4, shard=False)
    assert fork_group(2, shares) == [0, 0]
    assert fork_group(2, goes_on) == [0, 0]
    assert fork_group(2, lambda rank: sharded_run(tmp_path / "unbroken", 4)) == [0, 0]
    assert same(tmp_path / "shards", tmp_path / "unbroken")
    shards, one = groups(tmp_path / "shards"), groups(tmp_path / "one")
    assert shards.keys() == one.keys() and all(
        torch.allclose(shards[key], one[key], atol=1e-6) for key in one
    )
    sharded_run(tmp_path / "shards", 6, shard=False)
    sharded_run(tmp_path / "one", 6, shard=False)
    shards, one = groups(tmp_path / "shards"), groups(tmp_path / "one")
    assert all(torch.allclose(shards[key], one[key], atol=1e-6) for key in one)


@pytest.mark.parametrize("kind", [DistributedType.FSDP, DistributedType.DEEPSPEED])
def test_accelerates_own_sharding_is_refused(kind):
    with pytest.raises(
        ValueError,
        match=f"processes: expected plain ones, got {kind.value}, .* give --shard instead",
    ):
        check_processes(SimpleNamespace(distributed_type=kind))


@pytest.mark.long
@pytest.mark.parametrize("number", range(10))
def test_killing_both_processes_at_any_moment_then_going_on_is_the_unbroken_run(tmp_path, number):
    draw = random.Random(number)

    def doomed(rank):
        threading.Timer(draw.uniform(0.1, 1.0), os.kill, (os.getpid(), signal.SIGKILL)).start()
        run_to(tmp_path / "parts", 200, parts=2, save_minutes=0)

    run_to(tmp_path / "whole", 200, parts=2)
    fork_group(2, doomed)
    assert fork_group(2, lambda rank: run_to(tmp_path / "parts", 200, parts=2)) == [0, 0]
    assert differences(tmp_path / "parts", tmp_path / "whole") == []  # says which, and by how much
