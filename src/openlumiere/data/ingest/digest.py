"""One file to clips: what a reading process does, from the first byte to the part it leaves."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from openlumiere.data import shards
from openlumiere.data.ingest.clips import Window, windows
from openlumiere.data.ingest.config import IngestConfig
from openlumiere.data.ingest.pictures import extension, pack, strip
from openlumiere.data.ingest.reading import Facts, Reader
from openlumiere.data.ingest.rules import broken_rules, flags, measure, reason

Row = dict[str, Any]  # column of the index -> value


def digest(
    path: Path, key: str, part: Path, config: IngestConfig, on_frame: Callable[[], None]
) -> list[Row]:
    """Write the kept clips of the file at `path` to the tar file `part`, all or nothing.

    Returns one row a clip, dropped ones included: where it was cut, what was measured, and for
    those dropped the reason and a small strip. Raises `MediaError` for a broken file.
    """
    rows: list[Row] = []
    places = shards.write(part, _members(path, key, config, on_frame, rows))
    for row in rows:
        if not row["dropped"]:
            member = places[f"{row['key']}.{extension(config)}"]
            row |= {"offset": member.offset, "length": member.length, "crc32": member.crc32}
    return rows


def _members(
    path: Path, key: str, config: IngestConfig, on_frame: Callable[[], None], rows: list[Row]
) -> Iterator[tuple[str, bytes]]:
    """The pictures of kept clips; every clip's row is appended to `rows`."""
    reader = Reader(path, config, on_frame)
    for number, window in enumerate(windows(reader, config)):
        name = f"{key}-{number:05d}"
        frames = window.stacked()
        assert reader.facts is not None  # known since the first frame
        found = described(window, config) | about(reader.facts)
        rows.append({"key": name} | found)
        if found["dropped"]:
            rows[-1]["strip"] = base64.b64encode(strip(frames)).decode()
        else:
            yield f"{name}.{extension(config)}", pack(frames, config)


def described(window: Window, config: IngestConfig) -> Row:
    """Where a clip lies in its file, what was measured of it, and why it is dropped ("": kept)."""
    frames = window.stacked()
    found = measure(frames, window.fresh, config)
    rules = broken_rules(found, config)
    why = reason(rules, found, config)
    if len(frames) < config.frames:
        rules = ["short", *rules]
        why = f"short: a scene of {len(frames)} frames, {config.frames} are needed"
    return {
        "start": round(window.start, 6),
        "seconds": float(len(frames) / config.fps),
        "motion": found.motion,
        "light": found.light,
        "repeats": found.repeats,
        "phash": found.phash,
        "scores": flags(found),
        "flags": ",".join(rules),
        "dropped": why,
    }


def about(facts: Facts) -> Row:
    """What every clip's row says of the file it was cut from."""
    return {
        "sha256": facts.sha256,
        "source_width": facts.width,
        "source_height": facts.height,
        "source_fps": facts.fps,
        "interlaced": facts.interlaced,
        "hdr": facts.hdr,
    }


def job(path: Path, key: str, part: Path, config: IngestConfig) -> dict:
    """What a reading process is asked for, as JSON values (`worker.py`)."""
    return {"path": str(path), "key": key, "part": str(part), "config": config.facts()}
