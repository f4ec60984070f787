"""What a run says: a line on the terminal, a line of JSON, TensorBoard where it is installed."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from openlumiere.train.step import Outcome, Trainer
from openlumiere.train.work import Work

LOG = "log.jsonl"


class Log:
    """Gathers steps and writes their means, on the first process. Losses of skipped steps are
    counted, not averaged.
    """

    def __init__(self, run: Path, trainer: Trainer, work: Work):
        self.file, self.trainer, self.work = run / LOG, trainer, work
        self.writes, self.board = trainer.accelerator.is_main_process, None
        self.outcomes: list[Outcome] = []
        if self.writes:
            run.mkdir(parents=True, exist_ok=True)
            forget_after(self.file, trainer.step)
            self.board = open_board(run)
        self.start = self.since = time.monotonic()

    def note(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def write(self, levels: list[float | None], seconds_left: float, max_steps: int) -> None:
        """`levels` are mean losses by noise level, nearly clean first."""
        if not self.writes:
            return
        now = time.monotonic()
        speed = len(self.outcomes) / max(now - self.since, 1e-9)
        line = self._line(levels, speed, now - self.start)
        self._append(json.dumps(line) + "\n")
        show(line, min(seconds_left, (max_steps - self.trainer.step) / speed))
        self._draw(line)
        self.outcomes, self.since = [], now

    def _append(self, line: str) -> None:
        """A log that can't be written is no reason to stop training."""
        try:
            with self.file.open("a") as file:
                file.write(line)
        except OSError as error:
            print(
                f"lumiere: the log could not be written ({error.strerror or error}); going on",
                file=sys.stderr,
            )

    def _line(self, levels: list[float | None], speed: float, seconds: float) -> dict:
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

    def _draw(self, line: dict) -> None:
        if self.board is None:
            return
        scalars = {name: value for name, value in line.items() if name != "levels"}
        scalars |= {f"level/{number}": value for number, value in enumerate(line["levels"])}
        for name, value in scalars.items():
            if value is not None and name != "step":
                self.board.add_scalar(name, value, line["step"])

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writes and sys.stdout.isatty():
            print()
        if self.board is not None:
            self.board.close()


def means(outcomes: list[Outcome]) -> dict:
    """Mean loss and gradient norm of the steps taken, and how many were skipped."""
    taken = [outcome for outcome in outcomes if outcome.skipped is None]
    loss, norm = (
        sum(values) / len(taken) if taken else None
        for values in ([o.loss for o in taken], [o.norm for o in taken])
    )
    return {"loss": loss, "norm": norm, "skipped": len(outcomes) - len(taken)}


def show(line: dict, to_go: float) -> None:
    """One line that replaces the last on a terminal, and follows it elsewhere."""
    parts = [
        f"step {line['step']}",
        "loss none" if line["loss"] is None else f"loss {line['loss']:.4f}",
        f"{line['steps_a_second']:.2f} steps/s",
        f"{line['frames_a_second']:.1f} frames/s",
    ]
    parts += (
        [f"{100 * line['utilisation']:.0f} % of the matrix rate"] if line["utilisation"] else []
    )
    parts += [f"{line['skipped']} skipped"] if line["skipped"] else []
    parts += [f"{clock(to_go)} to go"]
    text = "  ".join(parts)
    print(
        f"\r{text:<100}" if sys.stdout.isatty() else text,
        end="" if sys.stdout.isatty() else "\n",
        flush=True,
    )


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(max(seconds, 0)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def forget_after(file: Path, step: int) -> None:
    """Drop the lines of steps that are done again: those a killed run logged after its last
    checkpoint.
    """
    if file.is_file():
        lines = [
            line
            for line in file.read_text().splitlines()
            if whole(line) and json.loads(line)["step"] <= step
        ]
        file.write_text("".join(f"{line}\n" for line in lines))


def whole(line: str) -> bool:
    """Whether a kill left the line complete."""
    return line.startswith("{") and line.endswith("}")


def open_board(run: Path):
    """A TensorBoard writer in the run's folder, or None: TensorBoard is an extra."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(run / "tensorboard")
