"""Where jobs lie: one SQLite database, readable while it is written (write-ahead log)."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

log = logging.getLogger("openlumiere")

DATABASE = "queue.sqlite3"
BESIDE = ("", "-wal", "-shm")  # what SQLite writes beside a database
VERSION = 1
PATIENCE = 30.0  # seconds to wait for another process that writes
SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    task TEXT NOT NULL,
    written TEXT NOT NULL,
    inputs TEXT NOT NULL,
    request TEXT NOT NULL,
    output TEXT NOT NULL,
    key TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'pending',
    held INTEGER NOT NULL DEFAULT 0,
    cancelling INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 0,
    place INTEGER NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    step INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    preview TEXT NOT NULL DEFAULT '',
    results TEXT NOT NULL DEFAULT '[]',
    hashes TEXT NOT NULL DEFAULT '[]',
    attempts INTEGER NOT NULL DEFAULT 0,
    device TEXT NOT NULL DEFAULT '',
    token TEXT NOT NULL DEFAULT '',
    lease REAL NOT NULL DEFAULT 0,
    created REAL NOT NULL DEFAULT 0,
    started REAL NOT NULL DEFAULT 0,
    finished REAL NOT NULL DEFAULT 0,
    pruned REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON jobs (state, priority DESC, place);
CREATE UNIQUE INDEX IF NOT EXISTS keys ON jobs (key) WHERE key != '';
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """The database in a folder; a connection a thread.

    One that is damaged is moved aside, which is logged, and an empty one takes its place. Raises
    ValueError where the folder can't be written, or holds the database of a later version.
    """

    def __init__(self, folder: Path):
        self.file = folder / DATABASE
        self.local = threading.local()
        with opening(folder):
            self._open()

    def _open(self) -> None:
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                raise ValueError(
                    f"queue: expected a database that can be opened, got {self.file} ({error}), "
                    "free some space or name another folder"
                ) from None
            self.close()
            set_aside(self.file, str(error))
            self._prepare()

    def _prepare(self) -> None:
        """Tables that are whole. Raises sqlite3.DatabaseError for a damaged database."""
        connection = self.connection()
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found.partition("\n")[0])
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise ValueError(
                f"queue: expected a database of version {VERSION}, got version {version} "
                f"({self.file}), install a later openlumiere or name another folder"
            )
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA user_version = {VERSION}")

    def connection(self) -> sqlite3.Connection:
        """This thread's connection. A commit is on the disk when it returns."""
        if getattr(self.local, "process", None) != os.getpid():
            self.local.connection = connected(self.file)
            self.local.process = os.getpid()
        found: sqlite3.Connection = self.local.connection
        return found

    def close(self) -> None:
        """Close this thread's connection."""
        if getattr(self.local, "process", None) == os.getpid():
            self.local.connection.close()
            del self.local.process

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction of one writer; whatever is raised in it undoes it."""
        connection = self.connection()
        if connection.in_transaction:  # what an interrupt left
            connection.rollback()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


def connected(file: Path) -> sqlite3.Connection:
    """A connection with a write-ahead log, synced at every commit."""
    connection = sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """One process at a time looks whether the database is whole. Raises ValueError for a folder
    that can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(folder / "opening.lock", timeout=PATIENCE)
        with lock:
            yield
    except OSError as error:
        raise ValueError(
            f"queue: expected a folder that can be written, got {folder} "
            f"({error.strerror or error}), name another with --folder"
        ) from None


def set_aside(file: Path, reason: str) -> None:
    """Rename a damaged database and what belongs to it, and say so."""
    moment = time.strftime("%Y%m%d-%H%M%S")
    kept = file.with_name(f"{file.name}.damaged-{moment}-{os.getpid()}")
    for end in BESIDE:
        part = file.with_name(file.name + end)
        if part.exists():
            part.rename(kept.with_name(kept.name + end))
    log.warning(
        "queue: expected a whole database, got %s (%s), kept as %s: begins with an empty queue",
        file,
        reason,
        kept.name,
    )
