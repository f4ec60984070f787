"""`Job`: a task that waits, runs or has ended, as the queue's database holds it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from openlumiere.tasks import AnyTask
from openlumiere.tasks.base import Value

State = Literal["pending", "running", "done", "failed", "cancelled"]
STATES: tuple[State, ...] = ("pending", "running", "done", "failed", "cancelled")
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
MOST_PRIORITY = 1000


class Written(Value):
    """How a job's result is written, as the command's options say it."""

    output: str = Field("", max_length=4096, description="Where: a path, by its extension.")
    preview: bool = Field(False, description="Also a sheet of frames and a slice through time.")
    lossless: bool = Field(False, description="Keep every pixel.")
    strict: bool = Field(False, description="Fail where the result strobes, jumps or is blank.")
    allow_partial: bool = Field(False, description="Take what there is of a broken file.")


class Line(Value):
    """A job as a line of JSON: what `export` writes and `import` reads."""

    id: str = Field("", pattern="^[0-9a-f]{0,32}$", description="Of the job that was exported.")
    task: AnyTask
    written: Written = Written()
    priority: int = Field(0, ge=-MOST_PRIORITY, le=MOST_PRIORITY)
    key: str = Field("", max_length=200, description="Idempotency key.")


class Job(Value):
    """A job as it is now.

    Times are in seconds since 1970, 0 for what has not happened. `step` of `total` denoising steps
    are done; `preview` is a picture of the clean estimate at one of them. `results` are paths, the
    clip first. `place` orders jobs of one `priority`, of which higher ones come first. `attempts`
    counts starts; `error` is the line of a failed job.
    """

    id: str
    task: AnyTask
    written: Written
    state: State = "pending"
    held: bool = False
    cancelling: bool = False
    priority: int = 0
    place: int = 0
    key: str = ""
    error: str = ""
    step: int = 0
    total: int = 0
    preview: str = ""
    results: tuple[str, ...] = ()
    attempts: int = 0
    device: str = ""
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    pruned: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in ENDED

    def line(self) -> Line:
        """What makes the same job in another queue."""
        return Line(
            id=self.id,
            task=self.task,
            written=self.written,
            priority=self.priority,
            key=self.key,
        )
