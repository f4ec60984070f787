"""`ingest`: a folder of footage to shards of clips, resumable, by processes or a Ray cluster."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from openlumiere.data.ingest.config import IngestConfig
from openlumiere.data.ingest.digest import Row, job
from openlumiere.data.ingest.duplicates import Seen
from openlumiere.data.ingest.journal import WORK, Journal, alone
from openlumiere.data.ingest.listing import Listing, list_footage
from openlumiere.data.ingest.pictures import extension
from openlumiere.data.ingest.rules import plug_in
from openlumiere.data.ingest.shardset import (
    MANIFEST,
    Packed,
    Shards,
    is_whole,
    strip_of,
    write_manifest,
    write_shard,
    write_tables,
)
from openlumiere.data.ingest.workers import Machine, Workers

OnFile = Callable[[int, int, str, str], None]  # done, of, name, reason ("" where it was read)
logger = logging.getLogger("openlumiere")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an ingestion made. `seconds` are those of the kept clips."""

    files: int
    clips: int
    dropped: int
    seconds: float
    problems: tuple[tuple[str, str], ...]  # each bad file once, with its reason


def ingest(
    folder: Path,
    shards: Path,
    config: IngestConfig,
    *,
    captions: Path | None = None,
    workers: Workers | None = None,
    on_file: OnFile | None = None,
) -> Report:
    """Bring all footage below `folder` into `shards`, a new folder or one that was begun.

    What is made depends on the footage and `config` alone, not on the workers (by default one
    process of this machine) nor on where an earlier try was stopped: files that are done are not
    read again. A broken file is listed with its reason and stops nothing. Raises ValueError for
    what the user can mend: no footage, another config than the one begun with, a full disk.
    """
    for score in config.scores:
        plug_in(score.function)
    check_folders(folder, shards)
    listing = list_footage(folder, config.licence, captions)
    if not listing.footage:
        raise ValueError(f"footage: expected videos below {folder}, got none, check the folder")
    shards.mkdir(parents=True, exist_ok=True)
    workers = workers or Machine(1)
    try:
        with alone(shards):
            return _ingest(folder, shards, config, listing, workers, on_file)
    except OSError as error:
        raise ValueError(unwritable(shards, error.strerror or str(error))) from error
    finally:
        workers.close()


def _ingest(
    folder: Path,
    shards: Path,
    config: IngestConfig,
    listing: Listing,
    workers: Workers,
    on_file: OnFile | None,
) -> Report:
    if not is_whole(shards):
        journal = Journal(shards, config)
        digest_all(folder, journal, config, listing, workers, on_file)
        pack_all(shards, journal, config, listing, workers)
    else:
        logger.info("%s is finished already; name a new folder for new footage", shards)
    if (shards / WORK).exists():
        Journal(shards, Shards(shards).config).remove()
    return report(shards)


def check_folders(folder: Path, shards: Path) -> None:
    """Refuse shards inside the footage, and a folder that holds other things. Raises ValueError."""
    if shards.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"shards: expected a folder outside {folder}, got {shards}, name another one"
        )
    if shards.exists() and not shards.is_dir():
        raise ValueError(f"shards: expected a folder, got the file {shards}, name another one")
    begun = (shards / WORK).exists() or (shards / MANIFEST).exists()
    if shards.is_dir() and not begun and any(file.name[0] != "." for file in shards.iterdir()):
        raise ValueError(
            f"shards: expected a new or empty folder, got {shards} with other files,"
            " name another one"
        )


def digest_all(
    folder: Path,
    journal: Journal,
    config: IngestConfig,
    listing: Listing,
    workers: Workers,
    on_file: OnFile | None = None,
) -> None:
    """Read every file that isn't done; each leaves its part and then its note in the journal."""
    left = [footage for footage in listing.footage if journal.outcome(footage) is None]
    done, of = len(listing.footage) - len(left), len(listing.footage)
    jobs = ((each, job(folder / each.name, each.key, journal.part(each), config)) for each in left)
    for footage, outcome in workers.digest(jobs):
        if "stop" in outcome:
            raise ValueError(unwritable(journal.folder.parent, outcome["stop"]))
        journal.note(footage, outcome)
        done += 1
        reason = outcome.get("error", "")
        if reason:
            logger.warning("%s: %s", shown(footage.name), reason)
        if on_file is not None:
            on_file(done, of, shown(footage.name), reason)


def unwritable(shards: Path, reason: str) -> str:
    """The error where shards can't be written."""
    return (
        f"shards: expected room and leave to write {shards}, got '{reason}',"
        " free some space and start again: what is done is kept"
    )


def pack_all(
    shards: Path, journal: Journal, config: IngestConfig, listing: Listing, workers: Workers
) -> None:
    """Leave out duplicates, write shards, index and, last of all, the manifest."""
    kept, dropped = sorted_out(list(rows_of(journal, listing)), config)
    parts = {footage.key: str(journal.part(footage)) for footage in listing.footage}
    packed = [Packed(row, parts[file_key(row)]) for row in shuffled(kept)]
    for row in dropped:
        if row["dropped"].startswith("duplicate"):
            row["strip"] = strip_of(Packed(row, parts[file_key(row)]), config)
    size = config.clips_a_shard
    groups = [packed[start : start + size] for start in range(0, len(packed), size)]
    names = [f"clips-{number:05d}.tar" for number in range(len(groups))]
    jobs = [(str(shards / name), group, extension(config)) for name, group in zip(names, groups)]
    made = list(workers.run(write_shard, jobs))
    rows = [row for rows, _ in made for row in rows]
    problems = sorted({(shown(name), why) for name, why in problems_of(journal, listing)})
    facts = {
        "files": len(listing.footage),
        "clips": len(rows),
        "dropped": len(dropped),
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "shards": {name: facts for name, (_, facts) in zip(names, made)},
        "tables": write_tables(shards, rows, dropped, problems),
    }
    write_manifest(shards, config, facts)


def file_key(row: Row) -> str:
    """The key of the file that a clip was cut from."""
    return str(row["key"]).rpartition("-")[0]


def rows_of(journal: Journal, listing: Listing) -> Iterator[Row]:
    """The rows of all clips, in the order of their files, with what the listing says of those."""
    for footage in listing.footage:
        said = {
            "source": shown(footage.name),
            "caption": footage.caption,
            "licence": footage.licence,
        }
        for row in (journal.outcome(footage) or {}).get("rows", ()):
            yield row | said


def problems_of(journal: Journal, listing: Listing) -> Iterator[tuple[str, str]]:
    """What the listing found wrong, and the files that couldn't be read."""
    yield from listing.problems
    for footage in listing.footage:
        outcome = journal.outcome(footage) or {"error": "it changed while it was ingested"}
        if "error" in outcome:
            yield footage.name, outcome["error"]


def sorted_out(rows: list[Row], config: IngestConfig) -> tuple[list[Row], list[Row]]:
    """Kept and dropped rows: of clips that look the same the first is kept."""
    seen, kept, dropped = Seen(config.duplicate), [], []
    for row in rows:
        twin = None if row["dropped"] else seen.find(row["phash"])
        if twin is not None:
            row["flags"] = ",".join(filter(None, [row["flags"], "duplicate"]))
        if twin is not None and "duplicate" in config.drop:
            row["dropped"] = f"duplicate of {twin}"
        if row["dropped"]:
            dropped.append(row)
            continue
        kept.append(row)
        if twin is None:
            seen.keep(row["key"], row["phash"])
    return kept, dropped


def shuffled(rows: list[Row]) -> list[Row]:
    """In the order of their keys' hashes, so that neighbours in a shard come from anywhere."""
    return sorted(rows, key=lambda row: hashlib.sha256(str(row["key"]).encode()).digest())


def shown(name: str) -> str:
    """A file's name as text that can be printed and stored, on one line."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def report(shards: Path) -> Report:
    """What lies in a finished folder."""
    opened = Shards(shards)
    return Report(
        files=opened.facts["files"],
        clips=len(opened),
        dropped=opened.facts["dropped"],
        seconds=opened.facts["seconds"],
        problems=tuple((line["file"], line["reason"]) for line in opened.problems()),
    )
