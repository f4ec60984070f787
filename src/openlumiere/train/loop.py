"""The training loop of every stage: step, average, log, save, stop."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

from openlumiere.train.checkpoint import load_state, save_state
from openlumiere.train.ema import PowerEMA

DrawLoss: TypeAlias = Callable[[torch.Generator, int], Tensor]
Export: TypeAlias = Callable[[dict[str, Tensor]], None]


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """Our choices, all of them: the paper discloses no optimiser."""

    learning_rate: float = 8e-4
    warmup: int = 100  # steps
    clip_norm: float = 1.0
    weight_decay: float = 0.01
    save_minutes: float = 3.0
    log_every: int = 20  # steps
    seed: int = 0


def train(
    parameters: dict[str, Tensor], draw_loss: DrawLoss, config: LoopConfig, run: Path,
    max_minutes: float, max_steps: int = 10**9, export: Export | None = None,
) -> int:  # fmt: skip
    """Go on from `run` until the time, the steps or a SIGTERM ends it; answers the last step.

    `draw_loss(generator, step)` draws a batch and answers one scalar; `export(average)` writes the averaged weights.
    """
    optimizer = torch.optim.AdamW(parameters.values(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, foreach=True)
    generator = torch.Generator().manual_seed(config.seed)
    ema = PowerEMA(parameters)
    step = load_state(run, parameters, ema.average, optimizer, generator)
    stop, handlers = stop_on_signals()
    start = saved = time.monotonic()
    losses: list[float] = []
    while step < max_steps and not stop and time.monotonic() - start < 60 * max_minutes:
        step += 1
        losses.append(train_step(parameters, draw_loss, optimizer, generator, config, step))
        ema.update(parameters, step)
        if step % config.log_every == 0:
            log(run, step, losses[-config.log_every :], time.monotonic() - start)
        if time.monotonic() - saved > 60 * config.save_minutes:
            saved = save(run, step, parameters, ema, optimizer, generator, export)
    save(run, step, parameters, ema, optimizer, generator, export)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return step


def train_step(
    parameters: dict[str, Tensor], draw_loss: DrawLoss, optimizer: Optimizer, generator: torch.Generator, config: LoopConfig, step: int
) -> float:
    """One update; a loss that is not finite touches no parameter."""
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * min(1.0, step / config.warmup)
    loss = draw_loss(generator, step)
    if not torch.isfinite(loss):
        return float("nan")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters.values(), config.clip_norm)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def stop_on_signals() -> tuple[list[int], dict[int, Any]]:
    """A list that SIGTERM and SIGINT append to (empty: go on), and the handlers they had. A second signal ends the process at once."""
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    return received, {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}


def log(run: Path, step: int, losses: list[float], seconds: float) -> None:
    """A line of JSON a log step; losses that were not finite are counted, not averaged."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    mean = sum(finite) / len(finite) if finite else None
    line = {"step": step, "loss": mean, "skipped": len(losses) - len(finite), "seconds": round(seconds, 1)}
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(f"step {step}  loss {'none' if mean is None else f'{mean:.4f}'}  {seconds:.0f} s", flush=True)


def save(
    run: Path, step: int, parameters: dict[str, Tensor], ema: PowerEMA, optimizer: Optimizer, generator: torch.Generator, export: Export | None
) -> float:
    """Write the state and the averaged weights; answers the time."""
    save_state(run, step, parameters, ema.average, optimizer, generator)
    if export is not None:
        export(ema.average)
    return time.monotonic()
