"""A job as clients see it: no path of this machine's is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from openlumiere.apps.queue import Job
from openlumiere.apps.queue.job import State
from openlumiere.apps.server.uploads import as_uploads


class ShownJob(BaseModel):
    """A job. Times are in seconds since 1970, 0 for what has not happened."""

    id: str
    state: State
    task: dict[str, Any] = Field(description="As it was sent, with all defaults.")
    error: str = Field("", description="Why it failed, in one line.")
    step: int = Field(0, description="Denoising steps that are done.")
    total: int = Field(0, description="Denoising steps in all; 0 until it samples.")
    cancelling: bool = False
    priority: int = 0
    created: float
    started: float
    finished: float
    pruned: float = Field(0, description="When its files were removed, by the rule for old ones.")
    preview: str = Field("", description="Where the picture of the clean estimate is.")
    result: str = Field("", description="Where the result is, once it is done.")


class Problem(BaseModel):
    """What is wrong, in three parts: what was expected, what came, what to do."""

    error: str


def shown_job(job: Job, folder: Path) -> ShownJob:
    """A job of the queue in `folder`."""
    here = f"/v1/jobs/{job.id}"
    alike = ("state", "step", "total", "cancelling", "priority")
    times = ("created", "started", "finished", "pruned")
    return ShownJob(
        id=job.id,
        task=as_uploads(job.task, folder).model_dump(mode="json"),
        error=without_paths(job, folder),
        preview=f"{here}/preview" if job.preview else "",
        result=f"{here}/result" if job.results else "",
        **{name: getattr(job, name) for name in (*alike, *times)},
    )


def without_paths(job: Job, folder: Path) -> str:
    """A job's error, uploads and results by their names."""
    line = job.error
    for role, each in job.task.media().items():
        line = line.replace(each.path, role)
    return line.replace(f"{job.written.output}", "the result").replace(f"{folder}/", "")
