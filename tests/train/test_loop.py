"""The loop: resume to the bit, stop when told, skip what is not finite."""

import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from openlumiere.train import checkpoint
from openlumiere.train.ema import PowerEMA
from openlumiere.train.loop import LoopConfig, train

TARGET = torch.tensor([1.0, -2.0, 3.0])


def start():
    return {"weight": torch.nn.Parameter(torch.zeros(3)), "bias": torch.nn.Parameter(torch.zeros(()))}


def loss_of(parameters):
    def draw_loss(generator, step):
        x = torch.randn(8, 3, generator=generator)
        return ((x @ parameters["weight"] + parameters["bias"] - x @ TARGET) ** 2).mean()

    return draw_loss


def run_to(folder, steps, draw=loss_of, **config):
    folder.mkdir(exist_ok=True)
    parameters = start()
    train(parameters, draw(parameters), LoopConfig(log_every=1, **config), folder, max_minutes=1, max_steps=steps)
    return parameters


def states(folder):
    files = ("parameters", "average", "optimizer", "random")
    return {(name, key): value for name in files for key, value in load_file(folder / "state" / f"{name}.safetensors").items()}


def test_two_steps_then_four_equal_four(tmp_path):
    run_to(tmp_path / "parts", 2)
    run_to(tmp_path / "parts", 4)
    run_to(tmp_path / "whole", 4)
    parts, whole = states(tmp_path / "parts"), states(tmp_path / "whole")
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[key], whole[key]) for key in whole)


def test_it_learns(tmp_path):
    parameters = run_to(tmp_path, 400, learning_rate=0.05, warmup=1, weight_decay=0.0)
    assert torch.allclose(parameters["weight"], TARGET, atol=0.1)


def test_a_loss_that_is_not_finite_touches_nothing(tmp_path):
    def spoilt(parameters):
        good = loss_of(parameters)
        return lambda generator, step: good(generator, step) * (float("nan") if step == 2 else 1.0)

    one = run_to(tmp_path / "one", 1)
    two = run_to(tmp_path / "two", 2, draw=spoilt)
    assert all(torch.equal(one[name], two[name]) for name in one)
    lines = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    assert [line["skipped"] for line in lines] == [0, 1] and lines[1]["loss"] is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(tmp_path, number):
    def interrupted(parameters):
        good = loss_of(parameters)

        def draw_loss(generator, step):
            if step == 3:
                os.kill(os.getpid(), number)
            return good(generator, step)

        return draw_loss

    before = signal.getsignal(number)
    run_to(tmp_path, 100, draw=interrupted)
    assert json.loads((tmp_path / "state" / "step.json").read_text()) == {"step": 3}
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("moment", ["older", "final"])
def test_a_kill_while_renaming_loses_no_state(tmp_path, monkeypatch, moment):
    run_to(tmp_path, 2)
    rename = os.replace

    def killed(source, target):
        if moment == "older" or str(target).endswith(checkpoint.STATE):
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run_to(tmp_path, 3)
    parameters = start()
    optimizer = torch.optim.AdamW(parameters.values())
    average = {name: value.detach().clone() for name, value in parameters.items()}
    assert checkpoint.load_state(tmp_path, parameters, average, optimizer, torch.Generator()) == 2


def test_state_of_another_net_is_refused(tmp_path):
    run_to(tmp_path, 1)
    with pytest.raises(ValueError, match="expected the parameters of this net"):
        train({"other": torch.nn.Parameter(torch.zeros(3))}, lambda *_: torch.zeros(()), LoopConfig(), tmp_path, 1, 2)


def test_the_average_of_a_constant_is_that_constant_and_of_a_ramp_lags():
    value = {"x": torch.zeros(())}
    ema = PowerEMA(value)
    for step in range(1, 1001):
        ema.update({"x": torch.tensor(float(step))}, step)
    # The power function's centre of mass is (gamma + 1) / (gamma + 2) of the way.
    assert ema.average["x"].item() == pytest.approx(1000 * (ema.gamma + 1) / (ema.gamma + 2), rel=0.01)
