"""The loop: resume to the bit, stop when told, skip what is not finite or a spike."""

import json
import os
import signal
import sys
import time

import pytest
import torch
from torch import nn
from toy import TARGET, Line, Regression, config, fork, groups, line_losses, run_to, same

from openlumiere.train import log
from openlumiere.train.log import Observer
from openlumiere.train.loop import train
from openlumiere.train.step import LEAST, Guard, Losses, PowerEMA, part_seed


def at_step(number, act):
    """The line's losses; `act(losses)` changes those of one step (from 1) of a run in one part."""

    def losses(net, count, generator):
        drawn = line_losses(net, count, generator)
        return act(drawn) if generator.initial_seed() == part_seed(0, number - 1) else drawn

    return losses


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_two_steps_then_four_equal_four(tmp_path):
    run_to(tmp_path / "parts", 2)
    random = torch.get_rng_state()
    run_to(tmp_path / "parts", 4)
    run_to(tmp_path / "whole", 4)
    assert not torch.equal(torch.get_rng_state(), random)
    assert same(tmp_path / "parts", tmp_path / "whole")
    assert [line["loss"] for line in lines(tmp_path / "parts")] == [
        line["loss"] for line in lines(tmp_path / "whole")
    ]


def test_resuming_leaves_the_random_state_of_an_unbroken_run(tmp_path):
    run_to(tmp_path / "whole", 4)
    whole = torch.get_rng_state()
    run_to(tmp_path / "parts", 3)
    run_to(tmp_path / "parts", 4)
    assert torch.equal(torch.get_rng_state(), whole)


def test_it_learns_what_requires_a_gradient_and_nothing_else(tmp_path):
    net = run_to(
        tmp_path, 400, learning_rate=0.05, warmup=1, weight_decay=0.0, dropout=0, log_every=100
    )
    assert torch.allclose(net.weight, TARGET, atol=0.1)
    assert torch.equal(net.frozen, torch.ones(3))
    assert not any("frozen" in name for _, name in groups(tmp_path))


def test_the_learning_rate_warms_up(tmp_path):
    run_to(tmp_path, 6, warmup=4, learning_rate=1.0)
    assert [line["learning_rate"] for line in lines(tmp_path)] == [
        0.5,
        0.75,
        1,
        1,
        1,
        1,
    ]  # of the step to come


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_touches_nothing(tmp_path, value):
    spoilt = at_step(2, lambda losses: Losses(losses.loss * value, losses.level))
    run_to(tmp_path / "one", 1)
    run_to(tmp_path / "two", 2, losses=spoilt)
    assert same(tmp_path / "one", tmp_path / "two")
    assert [line["skipped"] for line in lines(tmp_path / "two")] == [0, 1] and lines(
        tmp_path / "two"
    )[1]["loss"] is None


def test_a_spike_touches_nothing(tmp_path):
    spike = at_step(LEAST + 1, lambda losses: Losses(losses.loss * 1000, losses.level))
    run_to(tmp_path / "calm", LEAST)
    run_to(tmp_path / "spike", LEAST + 1, losses=spike)
    assert same(tmp_path / "calm", tmp_path / "spike")


def test_many_skipped_steps_in_a_row_stop_the_run_saved(tmp_path):
    def sick(net, count, generator):
        losses = line_losses(net, count, generator)
        return Losses(losses.loss * float("nan"), losses.level)

    run_to(tmp_path, 2)
    with pytest.raises(ValueError, match="got 3 skipped steps in a row"):
        run_to(tmp_path, 100, losses=sick, patience=3)
    assert (tmp_path / "step-5").is_dir()
    run_to(tmp_path, 7, patience=3)  # and it can be resumed


def test_the_guard_forgives_after_a_good_step():
    guard = Guard(spike=10, patience=2)
    assert [guard.refuses(loss, 1.0) for loss in (float("nan"), 1.0, float("nan"))] == [
        "not finite",
        None,
        "not finite",
    ]
    assert guard.refuses(1.0, float("inf")) == "not finite" and guard.exhausted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(tmp_path, number):
    def interrupt(losses):
        os.kill(os.getpid(), number)
        return losses

    before = signal.getsignal(number)
    run_to(tmp_path, 100, losses=at_step(3, interrupt))
    assert (tmp_path / "step-3").is_dir()
    assert signal.getsignal(number) is before


def test_a_second_signal_is_at_once(tmp_path):
    def twice(losses):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        return losses

    child = fork(lambda: run_to(tmp_path, 100, losses=at_step(3, twice)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert not (tmp_path / "step-3").exists()


def test_the_clock_stops_a_run(tmp_path):
    net = Line()
    assert train(Regression(net=net), config(), tmp_path, max_minutes=0) == 0
    assert 0 < train(Regression(net=net), config(), tmp_path, max_minutes=0.005) < 10**6


def test_a_net_of_other_parameters_is_refused(tmp_path):
    run_to(tmp_path, 1)
    for other in (
        nn.Linear(3, 1),
        nn.ParameterDict({"weight": torch.zeros(2), "bias": torch.zeros(())}),
    ):
        with pytest.raises(ValueError, match="training state: expected"):
            train(Regression(net=other), config(), tmp_path, max_steps=2)


@pytest.mark.parametrize(
    ("options", "told"), [({"batch": 8, "parts": 3}, "batch: expected a multiple of the 3 parts")]
)
def test_a_batch_that_does_not_divide_is_refused(tmp_path, options, told):
    with pytest.raises(ValueError, match=told):
        run_to(tmp_path, 1, **options)


def test_lines_of_steps_done_again_are_dropped(tmp_path):
    run_to(tmp_path, 2)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 3}\n{"step": 4, "lo')
    run_to(tmp_path, 4)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]


def test_losses_are_told_apart_by_noise_level(tmp_path):
    def losses(net, count, generator):
        level = torch.rand(count, generator=generator)
        return Losses(net(torch.zeros(count, 3)) * 0 + (level * 5).floor(), level)

    run_to(tmp_path, 4, losses=losses, batch=512)
    assert all(line["levels"] == [0, 1, 2, 3, 4] for line in lines(tmp_path))


class Kept(Regression):
    def show(self, average, file):
        file.write_text(str(sorted(average)))

    def export(self, average, run):
        (run / "weights").write_text("")

    def release(self, average, folder):
        folder.write_text("released")


def test_samples_are_shown_and_the_average_exported(tmp_path):
    net = Line()
    train(Kept(net=net), config(show_every=2), tmp_path, max_steps=5, release=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "step-2.png",
        "step-4.png",
    ]
    assert (tmp_path / "samples" / "step-2.png").read_text() == "['bias', 'weight']"
    assert (tmp_path / "weights").exists() and (tmp_path / "out").read_text() == "released"


def test_work_is_counted_without_touching_the_run(tmp_path):
    run_to(tmp_path / "plain", 2)
    run_to(tmp_path / "counted", 2, count_work=True)
    assert same(tmp_path / "plain", tmp_path / "counted")
    assert (
        lines(tmp_path / "counted")[0]["utilisation"] > 0
        and lines(tmp_path / "plain")[0]["utilisation"] is None
    )


def test_the_average_of_a_constant_is_that_constant_and_of_a_ramp_lags():
    value = {"x": torch.zeros(())}
    ema = PowerEMA(value)
    for step in range(1, 1001):
        ema.update({"x": torch.tensor(float(step))}, step)
    # The power function's centre of mass is (gamma + 1) / (gamma + 2) of the way.
    assert ema.average["x"].item() == pytest.approx(
        1000 * (ema.gamma + 1) / (ema.gamma + 2), rel=0.01
    )


def test_board_gets_the_scalars_where_tensorboard_is_installed(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run_to(tmp_path, 3)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(
        [line["loss"] for line in lines(tmp_path)]
    )


def test_a_board_that_is_not_installed_is_done_without(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run_to(tmp_path, 1)
    assert not (tmp_path / "tensorboard").exists() and len(lines(tmp_path)) == 1


@pytest.mark.long
@pytest.mark.filterwarnings("default")  # wandb's own
def test_weights_and_biases_keeps_the_same_numbers_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    monkeypatch.setenv("WANDB_API_KEY", "")
    run_to(tmp_path, 3, wandb="offline")
    (kept,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    losses = [json.dumps(line["loss"]).encode() for line in lines(tmp_path)]
    for _ in range(100):  # its own process writes
        if all(loss in kept.read_bytes() for loss in losses):
            break
        time.sleep(0.1)
    assert [loss in kept.read_bytes() for loss in losses] == [True] * 3
    run_to(tmp_path, 4, wandb="offline")
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2, "a folder a start"


def test_what_is_not_installed_is_refused_before_a_run_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"wandb: expected .*, got none, do: pip install .*wandb"):
        run_to(tmp_path / "run", 1, wandb="offline")
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(ValueError, match=r"optimizer: expected .* got none, do: pip .*eightbit"):
        run_to(tmp_path / "run", 1, optimizer="adamw8bit")
    assert not (tmp_path / "run").exists()


class Wide(nn.Module):
    """Enough numbers for a moment of 8 bits, and a few that stay at 32."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.many = nn.Parameter(torch.randn(3, 2048, generator=generator) / 45)
        self.few = nn.Parameter(torch.zeros(2048))

    def forward(self, x):
        return torch.tanh(x @ self.many) @ self.few


@pytest.mark.filterwarnings("default")  # bitsandbytes' own
def test_moments_of_8_bits_learn_and_are_resumed_exactly(tmp_path):
    pytest.importorskip("bitsandbytes", reason="the extra `eightbit` is not installed")

    def run(folder, *ends, kind="adamw8bit"):
        for end in ends:
            stage = Regression(net=Wide())
            options = config(optimizer=kind, learning_rate=1e-2, warmup=1)
            train(stage, options, tmp_path / folder, max_steps=end)
        return [line["loss"] for line in lines(tmp_path / folder)]

    losses = run("whole", 12)
    assert losses == run("parts", 5, 12) and same(tmp_path / "whole", tmp_path / "parts")
    kept = {name: value.dtype for (group, name), value in groups(tmp_path / "whole").items()}
    moments = [name for name, dtype in kept.items() if dtype == torch.uint8]
    assert len(moments) == 2 and all(name.startswith("many/") for name in moments)
    exact = run("exact", 12, kind="adamw")
    assert losses != exact and losses == pytest.approx(exact, rel=0.05)


def test_one_trainer_at_a_time_is_in_a_run(tmp_path):
    """The lock lasts as long as the run, and a kill lets go of it."""

    def slow(net, count, generator):
        time.sleep(0.05)
        return line_losses(net, count, generator)

    child = fork(lambda: run_to(tmp_path, 10**6, losses=slow))
    while not (tmp_path / "config.json").is_file():
        time.sleep(0.05)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match="run: expected a folder that nobody is training in"):
        run_to(tmp_path, 3, learning_rate=0.5)
    assert (tmp_path / "config.json").read_text() == before
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    run_to(tmp_path, 3, learning_rate=0.5)
    assert json.loads((tmp_path / "config.json").read_text())["loop"]["learning_rate"] == 0.5


def test_another_seed_is_refused_and_changes_nothing(tmp_path):
    run_to(tmp_path, 2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="seed: expected 0, with which this run began, got 9"):
        run_to(tmp_path, 3, seed=9)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_refused_net_leaves_the_configuration_alone(tmp_path):
    run_to(tmp_path, 1)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match="training state: expected"):
        train(Regression(net=nn.Linear(3, 1)), config(batch=16), tmp_path, max_steps=2)
    assert (tmp_path / "config.json").read_text() == before


def test_changed_options_are_said(tmp_path, caplog):
    run_to(tmp_path, 2)
    assert not caplog.records
    run_to(tmp_path, 3, learning_rate=0.5, batch=16)
    said = sorted(record.message for record in caplog.records)
    assert said == [
        "from step 2 on: batch 16 (was 8)",
        "from step 2 on: learning_rate 0.5 (was 0.0008)",
    ]


def test_an_average_that_is_not_finite_is_not_saved(tmp_path):
    def overflow(net, count, generator):
        if generator.initial_seed() == part_seed(0, 2):
            net.bias.data.fill_(float("inf"))
        drawn = line_losses(Line(), count, generator)
        return Losses(drawn.loss + net.weight.sum(), drawn.level)

    run_to(tmp_path, 2)
    with pytest.raises(ValueError, match="weights: expected finite ones, got others in bias"):
        run_to(tmp_path, 5, losses=overflow)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-2"]


def test_an_observer_sees_the_configuration_and_every_line(tmp_path):
    class Notes(Observer):
        def __init__(self):
            self.steps, self.config, self.over = [], None, False

        def started(self, config):
            self.config = config

        def logged(self, line, seconds_left):
            self.steps.append(line["step"])

        def ended(self):
            self.over = True

    notes = Notes()
    stage = Regression(net=Line())
    train(stage, config(), tmp_path, max_steps=3, about={"stage": "toy"}, observer=notes)
    assert notes.steps == [1, 2, 3] and notes.over
    assert notes.config == json.loads((tmp_path / "config.json").read_text())
    assert notes.config["stage"] == "toy" and notes.config["loop"]["batch"] == 8
