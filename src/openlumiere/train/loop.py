"""The training loop of every stage: resume, step, log, save, stop."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from openlumiere.train.budget import Budget, budget_of
from openlumiere.train.checkpoint import (
    FolderLock,
    changes,
    newest_checkpoint,
    read_config,
    require_finite,
    write_checkpoint,
    write_config,
)
from openlumiere.train.config import LoopConfig
from openlumiere.train.log import Log, Observer, check_account
from openlumiere.train.step import Stage, Trainer
from openlumiere.train.work import Work, count_flops, matrix_rate

SAMPLES = "samples"
logger = logging.getLogger("openlumiere")


def train(
    stage: Stage,
    config: LoopConfig,
    run: Path,
    *,
    max_minutes: float = float("inf"),
    max_steps: int = 10**9,
    release: Path | None = None,
    about: Mapping[str, object] | None = None,
    observer: Observer | None = None,
) -> int:
    """Train in the folder `run`, from its newest checkpoint on, until the time, the steps or a
    signal ends it, and save, also to `release`; answers the last step.

    Alike on one process and several (`accelerate launch`, `torchrun`). `about` is kept in the run's
    configuration beside the stage's; `observer` is shown that configuration, what the run will take
    and every line of the log. Raises ValueError when another trainer is in the folder, when what is
    in it is of another net or seed, when a step does not fit in memory, when a package that is
    asked for is missing, when too many steps in a row were skipped (the run is saved) or when the
    last state could not be written.
    """
    check_account(config)
    trainer = Trainer(stage, config)
    observer = observer or Observer()
    with Keeper(trainer, run) as keeper:
        keeper.resume()
        budget = plan(trainer)
        written = keeper.write_config(about or {})
        if keeper.writes:
            announce(observer, written, budget, stage.frames)
        with Stop(max_minutes) as stop, Log(run, trainer, measure(trainer), observer) as log:
            steps(trainer, keeper, stop, log, min(max_steps, config.fall_to))
            keeper.save(release)
    trainer.guard.check()
    return trainer.step


def announce(
    observer: Observer, config: dict[str, object], budget: Budget | None, frames: int
) -> None:
    """Show an observer what is about to run."""
    observer.started(config)
    if budget is not None:
        observer.planned(budget, frames)


def plan(trainer: Trainer) -> Budget | None:
    """What the run will take, where that is asked for. Raises ValueError where it does not fit."""
    if not trainer.config.plan:
        return None
    budget = budget_of(trainer)
    budget.check()
    return budget


def steps(trainer: Trainer, keeper: Keeper, stop: Stop, log: Log, max_steps: int) -> None:
    """Take steps until something ends the run, and do what is due after each."""
    config = trainer.config
    while trainer.step < max_steps and not trainer.agree(stop.wished):
        if trainer.guard.exhausted:
            return
        log.note(trainer.take_step())
        if trainer.step % config.log_every == 0:
            log.write(trainer.take_levels(), stop.left, max_steps)
        keeper.save_if_due()
        if config.show_every and trainer.step % config.show_every == 0:
            keeper.show()


class Keeper:
    """Keeps a run's folder: its lock, checkpoints, the averaged weights, pictures of samples. All
    processes gather, the first writes.

    Use as a context, for the run's life.
    """

    def __init__(self, trainer: Trainer, run: Path):
        self.trainer = trainer
        self.run = run
        self.writes = trainer.accelerator.is_main_process
        self.lock = FolderLock(run)
        self.saved_at = time.monotonic()
        self.saved_step = 0

    def __enter__(self) -> Keeper:
        if self.writes:
            self.lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    def resume(self) -> None:
        """Go on from the newest checkpoint, if there is one.

        The first process looks first: it sets broken checkpoints aside. Raises ValueError for a
        checkpoint of another net or seed.
        """
        with self.trainer.accelerator.main_process_first():
            checkpoint = newest_checkpoint(self.run)
        if checkpoint is not None:
            self.trainer.restore(checkpoint)
            self.saved_step = checkpoint.step

    def write_config(self, about: Mapping[str, object]) -> dict[str, object]:
        """Keep the configuration of a run that was accepted, and say which options changed.

        Raises ValueError where it can't be written.
        """
        stage = self.trainer.stage.config
        config = {**about, **({} if stage is None else asdict(stage))}
        config["loop"] = asdict(self.trainer.config)
        if self.writes:
            if self.saved_step:
                for change in changes(read_config(self.run), config):
                    logger.warning("from step %d on: %s", self.trainer.step, change)
            try:
                write_config(self.run, config)
            except OSError as error:
                raise self.full(error) from error
        return config

    def full(self, error: OSError) -> ValueError:
        """The error where the run's folder can't be written."""
        return ValueError(
            f"run: expected space and permission to write {self.run}, got"
            f" {error.strerror or error}, free some and resume"
        )

    def save_if_due(self) -> None:
        """A save that fails while the run goes on is said, not raised: the checkpoints of before
        stay.
        """
        minutes = (time.monotonic() - self.saved_at) / 60
        due = self.writes and minutes >= self.trainer.config.save_minutes
        if not self.trainer.agree(due):
            return
        try:
            self._save()
        except OSError as error:
            reason = error.strerror or error
            step = self.trainer.step
            logger.warning("step %d could not be saved (%s); training continues", step, reason)
        self.saved_at = time.monotonic()

    def save(self, release: Path | None) -> None:
        """At the end; where no step was taken since the last save, only what is released is
        written. Raises ValueError.
        """
        try:
            if self.trainer.agree(self.writes and self.saved_step != self.trainer.step):
                self._save()
            average = self.trainer.average()
            if self.writes and release is not None:
                require_finite(average)
                self.trainer.stage.release(average, release)
        except OSError as error:
            raise self.full(error) from error

    def _save(self) -> None:
        checkpoint = self.trainer.checkpoint()
        if not self.writes:
            return
        average = checkpoint.groups["average"]
        require_finite(average)
        write_checkpoint(self.run, checkpoint, self.trainer.config.keep)
        self.saved_step = self.trainer.step
        self.trainer.stage.export(average, self.run)

    def show(self) -> None:
        """Save a picture of samples."""
        average = self.trainer.average()
        if self.writes:
            (self.run / SAMPLES).mkdir(exist_ok=True)
            file = self.run / SAMPLES / f"step-{self.trainer.step}.png"
            self.trainer.stage.show(average, file)


class Stop:
    """`wished` after SIGTERM, SIGINT or `max_minutes`. A second signal ends the process at once,
    unsaved.

    Use as a context; the handlers of before come back at its end.
    """

    def __init__(self, max_minutes: float):
        self.start = time.monotonic()
        self.seconds = 60 * max_minutes
        self.received: int | None = None

    @property
    def wished(self) -> bool:
        """Whether the run is to end."""
        return self.received is not None or self.left <= 0

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return self.seconds - (time.monotonic() - self.start)

    def __enter__(self) -> Stop:
        self._before = {
            number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        for either in self._before:
            signal.signal(either, signal.SIG_DFL)


def measure(trainer: Trainer) -> Work:
    """The arithmetic of a step by one part's, computed once and thrown away, and the rate of the
    devices; unknown of a sharded net.
    """
    if trainer.sharded or not (trainer.config.count_work and trainer.accelerator.is_main_process):
        return Work()
    flops = count_flops(lambda: trainer.part_losses(trainer.stage.net, 0).loss.mean().backward())
    trainer.optimizer.zero_grad()
    processes = trainer.accelerator.num_processes
    return Work(
        flops=flops * trainer.parts,
        rate=processes * matrix_rate(trainer.accelerator.device, trainer.dtype),
    )
