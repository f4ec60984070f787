"""`Claim`: a worker's hold on one job. Every change names it, so a hold that was lost changes
nothing.
"""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from secrets import token_hex

from openlumiere.apps.cli.files import previews_of
from openlumiere.apps.queue.inputs import Named, sha256_of
from openlumiere.apps.queue.job import Job
from openlumiere.apps.queue.queue import Queue, job_of

LEASE = 30.0  # seconds for which a worker that is silent keeps its job


class LeaseLost(Exception):
    """The job was given to another worker meanwhile: this one writes nothing."""


class Claim:
    """One job in one worker's hands."""

    def __init__(self, queue: Queue, job: Job, token: str, inputs: Named, lease: float):
        self.queue = queue
        self.job = job
        self.token = token
        self.inputs = inputs
        self.lease = lease

    def beat(self, step: int, total: int, preview: str) -> bool:
        """Renew the hold and say how far the job is; whether it is to be cancelled."""
        self._update(
            "step = ?, total = ?, preview = ?, lease = ?",
            step,
            total,
            preview,
            time.time() + self.lease,
        )
        return self.cancelling()

    def cancelling(self) -> bool:
        """Whether somebody cancelled the job. Raises LeaseLost."""
        row = (
            self.queue.store.connection()
            .execute(
                "SELECT cancelling FROM jobs WHERE id = ? AND token = ?", (self.job.id, self.token)
            )
            .fetchone()
        )
        if row is None:
            raise LeaseLost
        return bool(row[0])

    def note(self, made: Path) -> None:
        """Keep the sha256 of a file just before it gets its name: by it a killed job is known to be
        done. Raises LeaseLost, so that the file never gets its name.
        """
        sha256 = sha256_of("result", made)
        self._update("hashes = json_insert(hashes, '$[#]', ?)", sha256)

    def done(self, steps: int) -> None:
        """The results are where they belong, after so many steps: a quick job ends before its
        first beat.
        """
        results = json.dumps(outputs_of(self.job))
        self._update(
            "state = 'done', token = '', step = ?, total = ?, finished = ?, results = ?",
            steps,
            steps,
            time.time(),
            results,
        )

    def failed(self, line: str) -> None:
        """It can't be made, and why."""
        self._update("state = 'failed', token = '', finished = ?, error = ?", time.time(), line)

    def cancelled(self) -> None:
        """It was stopped because somebody asked."""
        self._update("state = 'cancelled', token = '', finished = ?", time.time())

    def given_back(self) -> None:
        """It waits again: the worker was asked to stop, which is not the job's fault."""
        self._update(
            "state = 'pending', token = '', attempts = attempts - 1, step = 0, started = 0"
        )

    def lost(self, attempts: int) -> None:
        """What computed it is gone: it waits again, or has failed after so many starts."""
        with self.queue.store.writing() as connection:
            row = connection.execute(
                "SELECT * FROM jobs WHERE id = ? AND token = ? AND state = 'running'",
                (self.job.id, self.token),
            ).fetchone()
            if row is None:
                raise LeaseLost
            settle(connection, row, attempts)

    def _update(self, changes: str, *values: object) -> None:
        with self.queue.store.writing() as connection:
            done = connection.execute(
                f"UPDATE jobs SET {changes} WHERE id = ? AND token = ? AND state = 'running'",
                (*values, self.job.id, self.token),
            )
        if done.rowcount != 1:
            raise LeaseLost


def claim(queue: Queue, device: str, lease: float = LEASE) -> Claim | None:
    """The next job that waits, now this worker's; None where none does or the queue is paused."""
    if queue.paused:
        return None
    token = token_hex(8)
    with queue.store.writing() as connection:
        row = connection.execute(
            "SELECT id FROM jobs WHERE state = 'pending' AND held = 0"
            " ORDER BY priority DESC, place LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        now = time.time()
        connection.execute(
            "UPDATE jobs SET state = 'running', token = ?, lease = ?, device = ?, started = ?,"
            " attempts = attempts + 1, step = 0, total = 0, preview = '', hashes = '[]',"
            " cancelling = 0 WHERE id = ?",
            (token, now + lease, device, now, row["id"]),
        )
    job = queue.get(row["id"])
    return Claim(queue, job, token, inputs_of(queue, job), lease)


def inputs_of(queue: Queue, job: Job) -> Named:
    """What a job is given, as it was when the job was added."""
    rows = queue.store.connection().execute("SELECT inputs FROM jobs WHERE id = ?", (job.id,))
    found: Named = json.loads(rows.fetchone()["inputs"])
    return found


def recover(queue: Queue, device: str, attempts: int) -> list[Job]:
    """Jobs whose worker is gone, as they are now: done where the results got their names, failed
    after `attempts` starts, else waiting again.

    Called by whoever holds the lock of `device`: what is running there has no worker. On other
    devices a worker is gone when its lease is over.
    """
    with queue.store.writing() as connection:
        rows = connection.execute(
            "SELECT * FROM jobs WHERE state = 'running' AND (device = ? OR lease < ?)",
            (device, time.time()),
        ).fetchall()
        for row in rows:
            settle(connection, row, attempts)
    return [queue.get(row["id"]) for row in rows]


def settle(connection: sqlite3.Connection, row: sqlite3.Row, attempts: int) -> None:
    """Decide what becomes of a job whose worker is gone."""
    job = job_of(row)
    state, error = "pending", ""
    results: list[str] = []
    if is_made(job, json.loads(row["hashes"])):
        state, results = "done", outputs_of(job)
    elif job.cancelling:
        state = "cancelled"
    elif job.attempts >= attempts:
        state = "failed"
        error = (
            f"worker: expected to finish the job, got killed {job.attempts} times, "
            "ask for fewer frames or a smaller size"
        )
    finished = 0.0 if state == "pending" else time.time()
    connection.execute(
        "UPDATE jobs SET state = ?, error = ?, results = ?, finished = ?, token = '' WHERE id = ?",
        (state, error, json.dumps(results), finished, job.id),
    )


def is_made(job: Job, hashes: list[str]) -> bool:
    """Whether every file of a job has its name, with the content that was noted before."""
    paths = [Path(path) for path in outputs_of(job)]
    if not hashes or not all(path.exists() for path in paths):
        return False
    return all(sha256_of("result", path) in hashes for path in paths)


def outputs_of(job: Job) -> list[str]:
    """The paths that a job writes, the clip first."""
    output = job.written.output
    previews = previews_of(job.task.kind, job.written.preview)
    return [output, *(f"{output.rstrip('/')}{end}" for end in previews)]
