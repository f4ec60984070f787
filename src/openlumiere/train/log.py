"""What a run writes down: a line of JSON now and then, TensorBoard where it is installed, Weights &
Biases where it is asked for.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from openlumiere.media.write import write_whole
from openlumiere.train.budget import Budget
from openlumiere.train.config import LoopConfig
from openlumiere.train.step import Outcome, Trainer
from openlumiere.train.work import Work

LOG = "log.jsonl"
logger = logging.getLogger("openlumiere")

Line = dict[str, Any]


class Observer:
    """Watches a run, on its first process. This one does nothing; commands have one that prints."""

    def started(self, config: dict[str, object]) -> None:
        """Called once, with the configuration of a run that was accepted."""

    def planned(self, budget: Budget, frames: int) -> None:
        """Called once before the first step, with what the run will take and the frames of a
        sample.
        """

    def logged(self, line: Line, seconds_left: float) -> None:
        """Called with each line of the log, and how long the run will take yet."""

    def ended(self) -> None:
        """Called once, when no more lines will come."""


class Log:
    """Gathers steps and writes their means, on the first process. Losses of skipped steps are
    counted, not averaged.

    Use as a context.
    """

    def __init__(self, run: Path, trainer: Trainer, work: Work, observer: Observer):
        self.file = run / LOG
        self.trainer = trainer
        self.work = work
        self.observer = observer
        self.writes = trainer.accelerator.is_main_process
        self.board = self.account = None
        self.outcomes: list[Outcome] = []
        if self.writes:
            forget_after(self.file, trainer.step)
            self.board = open_board(run)
            self.account = open_account(run, trainer)
        self.start = self.since = time.monotonic()

    def note(self, outcome: Outcome) -> None:
        """Add a step."""
        self.outcomes.append(outcome)

    def write(self, levels: list[float | None], seconds_left: float, max_steps: int) -> None:
        """Write the means of the steps since the last line.

        `levels` are mean losses by noise level, nearly clean first.
        """
        if not self.writes:
            return
        now = time.monotonic()
        speed = len(self.outcomes) / max(now - self.since, 1e-9)
        line = self._line(levels, speed, now - self.start)
        self._append(json.dumps(line) + "\n")
        self._draw(line)
        steps_left = max_steps - self.trainer.step
        self.observer.logged(line, min(seconds_left, steps_left / speed))
        self.outcomes = []
        self.since = now

    def _append(self, line: str) -> None:
        """A log that can't be written is no reason to stop training."""
        try:
            with self.file.open("a") as file:
                file.write(line)
        except OSError as error:
            reason = error.strerror or error
            logger.warning("the log could not be written (%s); training continues", reason)

    def _line(self, levels: list[float | None], speed: float, seconds: float) -> Line:
        trainer = self.trainer
        return {
            "step": trainer.step,
            **means(self.outcomes),
            "levels": levels,
            "learning_rate": trainer.learning_rate,
            "steps_a_second": speed,
            "frames_a_second": speed * trainer.config.batch * trainer.stage.frames,
            "utilisation": self.work.utilisation(speed),
            "seconds": round(seconds, 1),
        }

    def _draw(self, line: Line) -> None:
        scalars = {name: value for name, value in line.items() if name not in ("levels", "step")}
        scalars |= {f"level/{number}": value for number, value in enumerate(line["levels"])}
        known = {name: value for name, value in scalars.items() if value is not None}
        if self.board is not None:
            for name, value in known.items():
                self.board.add_scalar(name, value, line["step"])
        if self.account is not None:
            self.account.log(known, step=line["step"])

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writes:
            self.observer.ended()
        if self.board is not None:
            self.board.close()
        if self.account is not None:
            self.account.finish()


def means(outcomes: list[Outcome]) -> Line:
    """Mean loss and gradient norm of the steps taken, and how many were skipped."""
    taken = [outcome for outcome in outcomes if outcome.skipped is None]
    count = len(taken)
    return {
        "loss": sum(outcome.loss for outcome in taken) / count if count else None,
        "norm": sum(outcome.norm for outcome in taken) / count if count else None,
        "skipped": len(outcomes) - count,
    }


def forget_after(file: Path, step: int) -> None:
    """Drop the lines of steps that are done again: those a killed run logged after its last
    checkpoint.
    """
    if not file.is_file():
        return
    kept = [line for line in file.read_text().splitlines() if is_of_step(line, step)]
    write_whole(file, lambda made: made.write_text("".join(f"{line}\n" for line in kept)))


def is_of_step(line: str, last: int) -> bool:
    """Whether a line was written in one piece, at step `last` or before."""
    complete = line.startswith("{") and line.endswith("}")
    return complete and json.loads(line)["step"] <= last


def open_board(run: Path) -> Any:
    """A TensorBoard writer in the run's folder, or None: TensorBoard is an extra."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(run / "tensorboard")


def check_account(config: LoopConfig) -> None:
    """Raise ValueError where Weights & Biases is asked for and not there."""
    if config.wandb != "no" and find_spec("wandb") is None:
        raise ValueError(
            "wandb: expected the package wandb, got none, do: pip install 'openlumiere[wandb]'"
        )


def open_account(run: Path, trainer: Trainer) -> Any:
    """Accelerate's tracker of Weights & Biases, or None where it is not asked for.

    Offline it writes below `run/wandb`, a folder each time that the run is begun or resumed, and
    `wandb sync` uploads those. Neither code nor what is printed is kept.
    """
    config = trainer.config
    if config.wandb == "no":
        return None
    from accelerate.tracking import WandBTracker

    stage = trainer.stage.config
    tracker = WandBTracker(
        "openlumiere",
        dir=str(run),
        name=run.name,
        group=run.name,
        mode=config.wandb,
        config=asdict(config if stage is None else stage),
        settings={"console": "off", "disable_git": True, "save_code": False, "silent": True},
    )
    tracker.start()
    return tracker
