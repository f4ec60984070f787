"""What happens to a job, as server-sent events, while a client listens."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator

from sse_starlette import ServerSentEvent

from openlumiere.apps.queue import Job, Queue
from openlumiere.apps.server.shown import shown_job

EVERY = 0.1  # seconds between looks

NAMES = {"done": "done", "failed": "error", "cancelled": "cancelled"}
"""The last event of a job that ended so."""


async def events(queue: Queue, name: str) -> AsyncIterator[ServerSentEvent]:
    """`step`, `preview` and `state` of a job as they change, then `done`, `error` or `cancelled`.

    What holds when the client comes is sent at once, so one that was cut off just comes again.
    """
    before = ("", 0, 0.0)
    while True:
        job = queue.get(name)
        now = (job.state, job.step, shown_at(job))
        if job.ended:
            yield event(queue, job, NAMES[job.state])
            return
        if now[0] != before[0]:
            yield event(queue, job, "state")
        if now[1] != before[1]:
            yield event(queue, job, "step")
        if now[2] != before[2]:
            yield event(queue, job, "preview")
        before = now
        await asyncio.sleep(EVERY)


def event(queue: Queue, job: Job, name: str) -> ServerSentEvent:
    """One event: the job as it is now."""
    return ServerSentEvent(event=name, data=json.dumps(shown_job(job, queue.folder).model_dump()))


def shown_at(job: Job) -> float:
    """When the newest preview was written; 0 where there is none."""
    try:
        return os.stat(job.preview).st_mtime if job.preview else 0.0
    except OSError:
        return 0.0
