"""The training loop of every stage: resume, step, log, save, stop."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from openlumiere.train.checkpoint import newest_checkpoint, write_checkpoint
from openlumiere.train.config import LoopConfig
from openlumiere.train.log import Log
from openlumiere.train.step import Stage, Trainer
from openlumiere.train.stop import Stop
from openlumiere.train.work import Work, count_flops, matrix_rate

SHOWN = "samples"


def train(
    stage: Stage,
    config: LoopConfig,
    run: Path,
    *,
    max_minutes: float = float("inf"),
    max_steps: int = 10**9,
    release: Path | None = None,
) -> int:
    """Go on from `run` until the time, the steps or a signal ends it, and save, also to `release`;
    answers the last step.

    Alike on one process and several (`accelerate launch`, `torchrun`). Raises ValueError when too
    many steps in a row were skipped (the run is saved) or when the last state could not be written.
    """
    trainer = Trainer(stage, config)
    keeper = Keeper(trainer, run)
    keeper.resume()
    with Stop(max_minutes) as stop, Log(run, trainer, measure(trainer)) as log:
        while (
            trainer.step < max_steps
            and not trainer.agree(stop.wished)
            and not trainer.guard.exhausted
        ):
            log.note(trainer.take_step())
            if trainer.step % config.log_every == 0:
                log.write(trainer.take_levels(), stop.left, max_steps)
            keeper.save_if_due()
            if config.show_every and trainer.step % config.show_every == 0:
                keeper.show()
        keeper.save(release)
    trainer.guard.check()
    return trainer.step


class Keeper:
    """Keeps a run's folder: checkpoints, the averaged weights, pictures of samples. All processes
    gather, the first writes.
    """

    def __init__(self, trainer: Trainer, run: Path):
        self.trainer, self.run, self.saved_at = trainer, run, time.monotonic()
        self.writes = trainer.accelerator.is_main_process
        self.saved_step = 0

    def resume(self) -> None:
        """The first process looks first: it sets broken checkpoints aside."""
        with self.trainer.accelerator.main_process_first():
            checkpoint = newest_checkpoint(self.run)
        if checkpoint is not None:
            self.trainer.restore(checkpoint)
            self.saved_step = checkpoint.step

    def save_if_due(self) -> None:
        """A save that fails while the run goes on is said, not raised: the checkpoints of before
        stay.
        """
        if not self.trainer.agree(
            self.writes
            and time.monotonic() - self.saved_at >= 60 * self.trainer.config.save_minutes
        ):
            return
        try:
            self._save()
        except OSError as error:
            print(
                f"lumiere: step {self.trainer.step} could not be saved ({error.strerror or error}); going on",
                file=sys.stderr,
            )
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
                self.trainer.stage.release(average, release)
        except OSError as error:
            raise ValueError(
                f"run: expected room and leave to write {self.run}, got {error.strerror or error}, free some and go on"
            ) from error

    def _save(self) -> None:
        checkpoint = self.trainer.checkpoint()
        if not self.writes:
            return
        write_checkpoint(self.run, checkpoint, self.trainer.config.keep)
        self.saved_step = self.trainer.step
        if self.trainer.stage.export is not None:
            self.trainer.stage.export(checkpoint.groups["average"], self.run)

    def show(self) -> None:
        average = self.trainer.average()
        if self.writes and self.trainer.stage.show is not None:
            (self.run / SHOWN).mkdir(exist_ok=True)
            self.trainer.stage.show(average, self.run / SHOWN / f"step-{self.trainer.step}.png")


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
