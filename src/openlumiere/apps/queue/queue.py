"""`Queue`: what a person, the page or the server asks of the jobs in a folder."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

from openlumiere.apps.cli.files import SUFFIXES, check_name, previews_of
from openlumiere.apps.queue.inputs import MEDIA, Named, hashes_of, kept
from openlumiere.apps.queue.job import ENDED, STATES, Job, Line, State, Written
from openlumiere.apps.queue.store import Store
from openlumiere.settings import data_folder
from openlumiere.tasks import Task, read_task
from openlumiere.tasks.base import shown

log = logging.getLogger("openlumiere")

RESULTS = "results"
SHOWN = "previews"
KEPT_DAYS = 30.0
DAY = 86_400.0  # seconds
FRESH = DAY  # for which media that no job uses yet are kept
ORDER = "priority DESC, place"
Jobs = list[Job]
Rows = list[sqlite3.Row]
COLUMNS = ", ".join(name for name in Job.model_fields)


def queue_folder() -> Path:
    """Where the queue lies unless another folder is named: `queue` in the user's data folder."""
    return data_folder(os.environ) / "queue"


class Queue:
    """The jobs in a folder. Processes and threads may share it; nothing in it is lost by a kill.

    Raises ValueError, in one line of three parts, for what can't be.
    """

    def __init__(self, folder: str | Path | None = None):
        self.folder = Path(os.path.abspath(folder or queue_folder()))
        self.store = Store(self.folder)

    def add(
        self,
        task: Task | Mapping[str, Any],
        *,
        output: str = "",
        suffix: str = "",
        preview: bool = False,
        lossless: bool = False,
        strict: bool = False,
        allow_partial: bool = False,
        priority: int = 0,
        key: str = "",
        copy: bool = False,
    ) -> Job:
        """A new job at the end of its priority.

        Its result goes to `output`; without one to a file that ends in `suffix` (.mp4, or what the
        task makes) in the queue's folder. Files are referred to by path, or with `copy` copied;
        content in memory is written into the queue's folder. The same `key` again is the same job,
        and refused for anything else.
        """
        written = Written(
            output=os.path.abspath(output) + "/" * output.endswith("/") if output else "",
            preview=preview,
            lossless=lossless,
            strict=strict,
            allow_partial=allow_partial,
        )
        line = Line(task=read(task), written=written, priority=priority, key=key)
        return self._added(line, suffix or suffix_of(line.task), copy)

    def _added(self, line: Line, suffix: str, copy: bool, name: str = "") -> Job:
        name = name or token_hex(6)
        output = line.written.output or str(self.folder / RESULTS / name / f"clip{suffix}")
        check_name(output, line.task.kind, *previews_of(line.task.kind, line.written.preview))
        task, inputs = kept(line.task, self.folder, copy)
        request = request_of(line, task, inputs, suffix)
        with self.store.writing() as connection:
            before = self._of_key(line.key)
            if before is not None:
                return same(before, request)
            self._check_free(output)
            connection.execute(
                "INSERT INTO jobs (id, task, written, inputs, request, output, key, priority,"
                " place, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?,"
                " (SELECT COALESCE(MAX(place), 0) + 1 FROM jobs), ?)",
                (
                    name,
                    task.model_dump_json(),
                    line.written.model_copy(update={"output": output}).model_dump_json(),
                    json.dumps(inputs),
                    request,
                    output.rstrip("/"),
                    line.key,
                    line.priority,
                    time.time(),
                ),
            )
        return self.get(name)

    def of_key(self, key: str) -> Job | None:
        """The job that was added with this key."""
        row = self._of_key(key)
        return None if row is None else job_of(row)

    def _of_key(self, key: str) -> sqlite3.Row | None:
        found = self._rows("key = ? AND key != ''", key)
        return found[0] if found else None

    def _check_free(self, output: str) -> None:
        """Raise ValueError where another job that has not ended writes to the same path."""
        taken = self._rows("output = ? AND state IN ('pending', 'running')", output.rstrip("/"))
        if taken:
            raise ValueError(
                f"output: expected a path that no other job writes, got {output} of job "
                f"{taken[0]['id']}, choose another name"
            )

    def get(self, name: str) -> Job:
        """The job of this id, or of the only one that begins so. Raises ValueError."""
        found = self._rows("id = ?", name) or (
            self._rows("substr(id, 1, ?) = ?", len(name), name) if name else []
        )
        if len(found) != 1:
            got = "several" if found else "none"
            raise ValueError(
                f"job: expected the id of a job, got {shown(name)} of {got}, see lumiere queue list"
            )
        return job_of(found[0])

    def list(self, *states: State) -> Jobs:
        """Jobs in these states (all without), those that wait in the order in which they will
        start.
        """
        for state in states:
            if state not in STATES:
                raise ValueError(
                    f"state: expected one of {', '.join(STATES)}, got {shown(state)}, name one"
                )
        wanted = states or STATES
        marks = ", ".join("?" * len(wanted))
        return [job_of(row) for row in self._rows(f"state IN ({marks})", *wanted)]

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state."""
        rows = self.store.connection().execute("SELECT state, COUNT(*) FROM jobs GROUP BY state")
        found = dict(rows.fetchall())
        return {state: found.get(state, 0) for state in STATES}

    def edit(self, name: str, task: Task | Mapping[str, Any] | None = None, **written: Any) -> Job:
        """Another task, or other ways to write its result (`Written`), for a job that has not
        started.
        """
        job = self.get(name)
        new = job.task if task is None else read(task)
        how = Written(**{**job.written.model_dump(), **written})
        check_name(how.output, new.kind, *previews_of(new.kind, how.preview))
        new, inputs = kept(new, self.folder, copy=False)
        line = Line(task=new, written=how, priority=job.priority, key=job.key)
        with self.store.writing() as connection:
            self._expect(job.id, "pending", "edit")
            if how.output != job.written.output:
                self._check_free(how.output)
            connection.execute(
                "UPDATE jobs SET task = ?, written = ?, inputs = ?, output = ?, request = ?"
                " WHERE id = ?",
                (
                    new.model_dump_json(),
                    how.model_dump_json(),
                    json.dumps(inputs),
                    how.output.rstrip("/"),
                    request_of(line, new, inputs, Path(how.output).suffix),
                    job.id,
                ),
            )
        return self.get(job.id)

    def duplicate(self, name: str) -> Job:
        """The same task as a new job, whose result lies in the queue's folder."""
        job = self.get(name)
        written = job.written.model_copy(update={"output": ""})
        line = Line(task=job.task, written=written, priority=job.priority)
        suffix = "/" if job.written.output.endswith("/") else Path(job.written.output).suffix
        return self._added(line, suffix, copy=False)

    def move(self, name: str, place: int) -> Job:
        """To a place among the jobs that wait, 0 first, with the priority that this needs."""
        job = self.get(name)
        with self.store.writing() as connection:
            self._expect(job.id, "pending", "move")
            waiting = [each for each in self.list("pending") if each.id != job.id]
            place = max(0, min(place, len(waiting)))
            beside = waiting[place : place + 1] or waiting[-1:]
            priority = beside[0].priority if beside else job.priority
            order = [each.id for each in waiting[:place]]
            order += [job.id, *(each.id for each in waiting[place:])]
            connection.execute("UPDATE jobs SET priority = ? WHERE id = ?", (priority, job.id))
            places = sorted(each.place for each in (*waiting, job))
            connection.executemany(
                "UPDATE jobs SET place = ? WHERE id = ?", zip(places, order, strict=True)
            )
        return self.get(job.id)

    def prioritise(self, name: str, priority: int) -> Job:
        """Higher priorities start first."""
        job = self.get(name)
        line = job.line().model_dump() | {"priority": priority}
        with self.store.writing() as connection:
            self._expect(job.id, "pending", "prioritise")
            connection.execute(
                "UPDATE jobs SET priority = ? WHERE id = ?", (Line(**line).priority, job.id)
            )
        return self.get(job.id)

    def pause(self, name: str | None = None) -> None:
        """Start no more jobs until `resume`, or not this one; what runs goes on."""
        self._hold(name, True)

    def resume(self, name: str | None = None) -> None:
        """Start jobs again, or this one."""
        self._hold(name, False)

    def _hold(self, name: str | None, held: bool) -> None:
        job = None if name is None else self.get(name)
        with self.store.writing() as connection:
            if job is None:
                connection.execute("INSERT OR REPLACE INTO settings VALUES ('paused', ?)", (held,))
                return
            self._expect(job.id, "pending", "pause" if held else "resume")
            connection.execute("UPDATE jobs SET held = ? WHERE id = ?", (held, job.id))

    @property
    def paused(self) -> bool:
        """Whether no job starts."""
        rows = self.store.connection().execute("SELECT value FROM settings WHERE name = 'paused'")
        found = rows.fetchone()
        return found is not None and found[0] == "1"

    def cancel(self, name: str) -> Job:
        """A job that waits is cancelled; one that runs stops within a step. One that has ended
        stays as it is.
        """
        job = self.get(name)
        with self.store.writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state ="
                " 'pending'",
                (time.time(), job.id),
            )
            connection.execute(
                "UPDATE jobs SET cancelling = 1 WHERE id = ? AND state = 'running'", (job.id,)
            )
        return self.get(job.id)

    def retry(self, name: str) -> Job:
        """A job that failed or was cancelled waits again, at its place."""
        job = self.get(name)
        with self.store.writing() as connection:
            self._expect(job.id, ("failed", "cancelled"), "retry")
            self._check_free(job.written.output)
            connection.execute(
                "UPDATE jobs SET state = 'pending', error = '', attempts = 0, step = 0, total = 0,"
                " cancelling = 0, held = 0, started = 0, finished = 0, hashes = '[]',"
                " results = '[]' WHERE id = ?",
                (job.id,),
            )
        return self.get(job.id)

    def export(self, *states: State) -> Iterator[str]:
        """Jobs in these states (all without) as lines of JSON."""
        for job in self.list(*states):
            yield job.line().model_dump_json()

    def import_lines(self, lines: Iterable[str]) -> Jobs:
        """Jobs of exported lines. A line that was imported, or is of a job here, is that job.

        Raises ValueError that names the line; the lines before it are added.
        """
        found = []
        for number, line in enumerate(lines, 1):
            if line.strip():
                found.append(self._imported(number, line))
        return found

    def _imported(self, number: int, text: str) -> Job:
        try:
            line = Line(**decoded(text))
            known = self._rows("id = ? AND id != ''", line.id)
            if known:
                return job_of(known[0])
            return self._added(line, suffix_of(line.task), copy=False, name=line.id)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None

    def prune(self, days: float = KEPT_DAYS, dry_run: bool = False) -> Jobs:
        """Remove what lies in the queue's folder of jobs that ended more than `days` days ago, and
        media that no job needs; the jobs that this touches. Files that a user named stay, and so do
        the jobs' entries, with the time.
        """
        before = time.time() - days * DAY
        rows = self._rows("finished < ? AND pruned = 0 AND state IN (?, ?, ?)", before, *ENDED)
        found = [job_of(row) for row in rows]
        if dry_run:
            return found
        for job in found:
            self._remove_files(job)
        self._remove_media(before)
        return found

    def _remove_files(self, job: Job) -> None:
        """What a job left in the queue's folder."""
        own = self.folder / RESULTS / job.id
        results = [path for path in job.results if not Path(path).is_relative_to(own)]
        shutil.rmtree(own, ignore_errors=True)
        for file in (self.folder / SHOWN).glob(f"{job.id}.*"):
            file.unlink(missing_ok=True)
        with self.store.writing() as connection:
            connection.execute(
                "UPDATE jobs SET pruned = ?, preview = '', results = ? WHERE id = ?",
                (time.time(), json.dumps(results), job.id),
            )
        log.info("queue: removed the files of job %s, which ended long ago", job.id)

    def _remove_media(self, before: float) -> None:
        """Copies and uploads that no job uses that is there to be started or started again."""
        used = {
            Path(given["path"]).parent
            for row in self._rows("pruned = 0")
            for given in json.loads(row["inputs"]).values()
        }
        for folder in (self.folder / MEDIA).glob("*"):
            old = folder.stat().st_mtime < min(before, time.time() - FRESH)
            if old and folder not in used:
                shutil.rmtree(folder, ignore_errors=True)
                log.info("queue: removed the media %s, which no job uses", folder.name)

    def _expect(self, name: str, states: State | tuple[State, ...], what: str) -> None:
        """Raise ValueError unless a job is in one of these states."""
        wanted = (states,) if isinstance(states, str) else states
        state = self.get(name).state
        if state not in wanted:
            raise ValueError(
                f"{what}: expected a job that is {' or '.join(wanted)}, got one that is {state}, "
                "duplicate it instead"
            )

    def _rows(self, where: str, *values: Any) -> Rows:
        sql = f"SELECT {COLUMNS}, request, inputs FROM jobs WHERE {where} ORDER BY {ORDER}"
        return self.store.connection().execute(sql, values).fetchall()


def same(row: sqlite3.Row, request: str) -> Job:
    """The job of a row. Raises ValueError where it was asked for in other words."""
    if row["request"] != request:
        raise ValueError(
            f"idempotency key: expected the request that {shown(row['key'])} was first sent with, "
            "got another, use a new key"
        )
    return job_of(row)


def read(task: Task | Mapping[str, Any]) -> Task:
    """A task, or the words of one."""
    return task if isinstance(task, Task) else read_task(task)


def decoded(text: str) -> dict[str, Any]:
    """A line of JSON that is a table."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"job: expected JSON, got {shown(text)} ({error}), export it again"
        ) from None
    if not isinstance(found, dict):
        raise ValueError(f"job: expected a table, got {shown(found)}, export it again")
    return found


def job_of(row: sqlite3.Row) -> Job:
    """A job of a row."""
    found = {name: row[name] for name in Job.model_fields}
    for name in ("task", "written", "results"):
        found[name] = json.loads(found[name])
    return Job(**found)


def request_of(line: Line, task: Task, inputs: Named, suffix: str) -> str:
    """What a job was asked with, the same for the same request: files by what they contain."""
    asked = {
        "task": task.model_dump(mode="json"),
        "written": line.written.model_dump(mode="json"),
        "inputs": hashes_of(inputs),
        "suffix": suffix,
    }
    return json.dumps(asked, sort_keys=True)


def suffix_of(task: Task) -> str:
    """What a result is called by, where nobody says."""
    return SUFFIXES.get(task.kind, (".mp4",))[0]
