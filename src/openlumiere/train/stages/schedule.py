"""The loop of the chain's stages: a learning rate that falls to nothing at the end, and Muon.

A run is told when its fall begins and ends. Until then it may go on as long as there is time, and
another run may go on from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openlumiere.train.config import LoopConfig
from openlumiere.train.log import Log
from openlumiere.train.loop import Keeper, measure
from openlumiere.train.muon import Muon
from openlumiere.train.step import Stage, Trainer
from openlumiere.train.stop import Stop

NEVER = 10**9


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """A constant rate up to step `fall_from`, then a straight line to nothing at `fall_to` (our
    choice).
    """

    fall_from: int = NEVER
    fall_to: int = NEVER
    muon: bool = True

    def share(self, step: int) -> float:
        """Of the learning rate that is left at this step."""
        if step < self.fall_from:
            return 1.0
        left = self.fall_to - step
        return max(0.0, left / max(self.fall_to - self.fall_from, 1))


class ScheduledTrainer(Trainer):
    """A trainer whose rate falls at the end, by Muon where it is asked for."""

    def __init__(self, stage: Stage, config: LoopConfig, schedule: ScheduleConfig):
        super().__init__(stage, config)
        self.schedule = schedule
        if schedule.muon:
            muon = Muon(
                self.parameters.values(), config.learning_rate, weight_decay=config.weight_decay
            )
            self.optimizer = self.accelerator.prepare_optimizer(muon)

    @property
    def learning_rate(self) -> float:
        return super().learning_rate * self.schedule.share(self.step)


def fit(
    stage: Stage,
    loop: LoopConfig,
    schedule: ScheduleConfig,
    run: Path,
    *,
    max_minutes: float = float("inf"),
) -> int:
    """Go on from `run` until the rate has fallen, the time is over or a signal comes, and save;
    answers the last step.

    Raises ValueError when too many steps in a row were skipped (the run is saved) or the last state
    could not be written.
    """
    trainer = ScheduledTrainer(stage, loop, schedule)
    keeper = Keeper(trainer, run)
    keeper.resume()
    with Stop(max_minutes) as stop, Log(run, trainer, measure(trainer)) as log:
        while (
            trainer.step < schedule.fall_to
            and not trainer.agree(stop.wished)
            and not trainer.guard.exhausted
        ):
            advance(trainer, keeper, log, stop)
        keeper.save(None)
    trainer.guard.check()
    return trainer.step


def advance(trainer: ScheduledTrainer, keeper: Keeper, log: Log, stop: Stop) -> None:
    """One step, and what is due after it."""
    log.note(trainer.take_step())
    if trainer.step % trainer.config.log_every == 0:
        log.write(trainer.take_levels(), stop.left, trainer.schedule.fall_to)
    keeper.save_if_due()
    if trainer.config.show_every and trainer.step % trainer.config.show_every == 0:
        keeper.show()
