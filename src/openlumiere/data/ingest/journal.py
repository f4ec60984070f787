"""What an ingestion that was stopped has done: one note a file, written when its part is whole."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from openlumiere.data.ingest.config import IngestConfig
from openlumiere.data.ingest.listing import Footage
from openlumiere.media.write import write_whole

WORK = "work"
LOCK = "lock"
CONFIG = "config.json"


def write_text(path: Path, text: str) -> None:
    """Write a text file, all or nothing."""

    def fill(made: Path) -> None:
        made.write_text(text, encoding="utf-8")

    write_whole(path, fill)


class Journal:
    """The folder `work` beside the shards: parts of files that are done, and a note of each."""

    def __init__(self, shards: Path, config: IngestConfig):
        self.folder = shards / WORK
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check(config)
        for number in range(256):
            (self.folder / f"{number:02x}").mkdir(exist_ok=True)

    def _check(self, config: IngestConfig) -> None:
        """Begin with a config, or go on with the same. Raises ValueError for another."""
        file, facts = self.folder / CONFIG, json.dumps(config.facts(), sort_keys=True)
        if not file.exists():
            write_text(file, facts)
        begun, asked = json.loads(file.read_text()), json.loads(facts)
        if begun != asked:
            odd = next(name for name in asked if begun.get(name) != asked[name])
            raise ValueError(
                f"{odd}: expected {begun.get(odd)}, with which {self.folder.parent} was begun,"
                f" got {asked[odd]}, resume with that or name a new folder"
            )

    def part(self, footage: Footage) -> Path:
        """Where the kept clips of a file lie."""
        return self._below(footage) / f"{footage.key}.tar"

    def _below(self, footage: Footage) -> Path:
        """One of 256 folders, so that none of them grows too large to list."""
        return self.folder / footage.key[:2]

    def note(self, footage: Footage, outcome: dict) -> None:
        """Keep the outcome of a file."""
        facts = {"size": footage.size, "changed": footage.changed, **outcome}
        write_text(self._below(footage) / f"{footage.key}.json", json.dumps(facts))

    def outcome(self, footage: Footage) -> dict | None:
        """Of a file that is done and has not changed since; None of any other."""
        try:
            facts = json.loads((self._below(footage) / f"{footage.key}.json").read_text())
        except (OSError, ValueError):
            return None
        same = (facts["size"], facts["changed"]) == (footage.size, footage.changed)
        return facts if same else None

    def remove(self) -> None:
        """Once the shards are whole."""
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def alone(shards: Path) -> Iterator[None]:
    """Hold the folder against a second ingestion. Raises ValueError where one runs."""
    with (shards / f".{LOCK}").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"shards: expected a folder that nothing else writes, got {shards},"
                " which another ingestion holds, wait for it"
            ) from None
        yield
