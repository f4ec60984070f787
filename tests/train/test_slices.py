"""A long training as a chain of slices on empty machines: only the averaged weights in half
precision go from one to the next.
"""

from dataclasses import replace

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from toy import Regression, config

from openlumiere.train.loop import train
from openlumiere.train.step import Losses

SLICES, STEPS = 6, 60


def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1)
    )


def truth(x):
    return torch.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:3]


def losses(net, count, generator):
    x = torch.rand(count, 4, generator=generator) * 2 - 1
    target = truth(x) + 0.3 * torch.randn(count, 1, generator=generator)
    return Losses((net(x) - target).square()[:, 0], torch.zeros(count))


@torch.no_grad()
def error(weights):
    net = build()
    net.load_state_dict({name: value.float() for name, value in weights.items()})
    x = torch.rand(2000, 4, generator=torch.Generator().manual_seed(99)) * 2 - 1
    return float((net(x) - truth(x)).square().mean())


class Sliced(Regression):
    def release(self, average, file):
        save_file({name: value.half() for name, value in average.items()}, file)


def run_slice(folder, seed, steps, warmup, start=None):
    """One slice in an empty folder; answers the file that leaves it."""
    net, out = build(), folder / "out.safetensors"
    if start is not None:
        net.load_state_dict({name: value.float() for name, value in load_file(start).items()})

    loop = replace(config(learning_rate=5e-3, batch=32, warmup=warmup, log_every=1000), seed=seed)
    train(Sliced(net=net, draw=losses), loop, folder, max_steps=steps, release=out)
    return out


def test_a_chain_of_slices_ends_close_to_one_long_run(tmp_path):
    for name in ("whole", *map(str, range(SLICES))):
        (tmp_path / name).mkdir()
    whole = error(load_file(run_slice(tmp_path / "whole", 0, SLICES * STEPS, warmup=20)))
    start = None
    for number in range(SLICES):
        start = run_slice(tmp_path / str(number), number, STEPS, warmup=10, start=start)
    chain, untrained = error(load_file(start)), error(build().state_dict())
    print(f"error untrained {untrained:.4f}, one run {whole:.4f}, {SLICES} slices {chain:.4f}")
    assert whole < untrained / 3
    assert chain - whole < 0.05 * (untrained - whole)  # measured: 0.007


def test_slices_of_other_seeds_see_other_data(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    a, b = (
        load_file(run_slice(tmp_path / name, seed, 2, 1)) for name, seed in (("a", 0), ("b", 1))
    )
    assert any(not torch.equal(a[name], b[name]) for name in a)
