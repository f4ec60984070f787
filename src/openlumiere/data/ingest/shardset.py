"""A folder of finished shards: WebDataset tar files, an index, and a manifest, written last.

clips-00000.tar ...  KEY.webp (or .npz), KEY.txt (the caption), KEY.json (where it comes from)
index.parquet        a row a clip: caption, licence, source, time span, measures, place of its bytes
dropped.parquet      a row a clip that was left out, with the reason and a strip of it
problems.json        a line a file that couldn't be read, with the reason
manifest.json        config, counts, sha256 of every file; written last
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from openlumiere.data import index, shards
from openlumiere.data.ingest.config import IngestConfig
from openlumiere.data.ingest.digest import Row
from openlumiere.data.ingest.journal import write_text
from openlumiere.data.ingest.pictures import strip, unpack
from openlumiere.media.digest import sha256_of_file

FORMAT = "openlumiere clips 1"
MANIFEST, INDEX, DROPPED, PROBLEMS = (
    "manifest.json",
    "index.parquet",
    "dropped.parquet",
    "problems.json",
)
CLIP_COLUMNS = {
    "key": str,
    "caption": str,
    "licence": str,
    "source": str,
    "start": float,
    "seconds": float,
    "motion": float,
    "light": float,
    "repeats": float,
    "phash": str,
    "scores": str,
    "flags": str,
    "sha256": str,
    "source_width": int,
    "source_height": int,
    "source_fps": str,
    "interlaced": bool,
    "hdr": bool,
}
PLACE_COLUMNS = {"shard": str, "offset": int, "length": int, "crc32": int}
DROPPED_COLUMNS = {"dropped": str, "strip": str}
TOLD = ("caption", "licence", "source", "start", "seconds", "sha256", "source_fps", "flags")


@dataclass(frozen=True)
class Packed:
    """A clip about to be packed: its row, and the part of its file that holds its frames."""

    row: Row
    part: str


def write_shard(path: str, clips: list[Packed], suffix: str) -> tuple[list[Row], dict]:
    """Write one shard, all or nothing; the rows with their places in it, and the shard's facts."""
    target = Path(path)
    members = (member for clip in clips for member in _members(clip, suffix))
    places = shards.write(target, members)
    size = target.stat().st_size
    facts = {"clips": len(clips), "bytes": size, "sha256": sha256_of_file(target)}
    rows = [_placed(clip.row, target.name, places[f"{clip.row['key']}.{suffix}"]) for clip in clips]
    return rows, facts


def strip_of(clip: Packed, config: IngestConfig) -> str:
    """A small strip of a clip's frames, in base64, for the table of what is left out."""
    part = Path(clip.part)
    data = shards.read(part.parent, _place(clip.row, part.name))
    return base64.b64encode(strip(unpack(data, config))).decode()


def _members(clip: Packed, suffix: str) -> Iterable[tuple[str, bytes]]:
    part, row, key = Path(clip.part), clip.row, clip.row["key"]
    yield f"{key}.{suffix}", shards.read(part.parent, _place(row, part.name))
    yield f"{key}.txt", str(row["caption"]).encode()
    yield f"{key}.json", json.dumps({name: row[name] for name in TOLD}).encode()


def _place(row: Row, shard: str) -> shards.Member:
    return shards.Member(
        shard=shard, offset=row["offset"], length=row["length"], crc32=row["crc32"]
    )


def _placed(row: Row, shard: str, member: shards.Member) -> Row:
    placed = {name: row[name] for name in CLIP_COLUMNS}
    return placed | {
        "shard": shard,
        "offset": member.offset,
        "length": member.length,
        "crc32": member.crc32,
    }


def write_tables(
    folder: Path, kept: list[Row], dropped: list[Row], problems: list[tuple[str, str]]
) -> dict[str, str]:
    """Index, dropped clips and problems; the sha256 of each file."""
    wanted = CLIP_COLUMNS | DROPPED_COLUMNS
    index.write(kept, folder / INDEX)
    index.write([{name: row[name] for name in wanted} for row in dropped], folder / DROPPED)
    lines = [{"file": name, "reason": reason} for name, reason in problems]
    write_text(folder / PROBLEMS, json.dumps(lines, indent=1))
    return {name: sha256_of_file(folder / name) for name in (INDEX, DROPPED, PROBLEMS)}


def write_manifest(folder: Path, config: IngestConfig, facts: dict) -> None:
    """Say that the folder is whole."""
    content = {"format": FORMAT, "config": config.facts(), **facts}
    write_text(folder / MANIFEST, json.dumps(content, indent=1))


class Shards:
    """Finished shards, opened to read: `rows` of kept clips, in a fixed order."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.facts = _manifest(folder)
        self.config = IngestConfig.from_facts(self.facts["config"])
        columns = CLIP_COLUMNS | PLACE_COLUMNS
        self.rows: list[Row] = []
        if self.facts["clips"]:
            self.rows = index.read(folder / INDEX, columns)

    def __len__(self) -> int:
        return len(self.rows)

    def frames(self, number: int) -> np.ndarray:
        """Frames uint8 [f, side, side, 3] of clip `number`. Raises ValueError for damaged ones."""
        row = self.rows[number]
        place = _place(row, str(row["shard"]))
        return unpack(shards.read(self.folder, place), self.config)

    def dropped(self) -> list[Row]:
        """A row a clip that was left out."""
        if not self.facts["dropped"]:
            return []
        return index.read(self.folder / DROPPED, CLIP_COLUMNS | DROPPED_COLUMNS)

    def problems(self) -> list[dict[str, str]]:
        """`file` and `reason` of what couldn't be read."""
        return json.loads((self.folder / PROBLEMS).read_text())

    def damaged(self) -> list[str]:
        """Names of files that are missing or not what was written."""
        hashes = {name: facts["sha256"] for name, facts in self.facts["shards"].items()}
        return [
            name
            for name, known in (hashes | self.facts["tables"]).items()
            if not (self.folder / name).is_file() or sha256_of_file(self.folder / name) != known
        ]


def is_whole(folder: Path) -> bool:
    """Whether an ingestion into `folder` has ended."""
    return (folder / MANIFEST).is_file()


def _manifest(folder: Path) -> dict:
    try:
        facts = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        raise ValueError(
            f"shards: expected a folder that lumiere data ingest finished, got {folder},"
            " ingest into it first"
        ) from None
    if facts.get("format") != FORMAT:
        raise ValueError(
            f"shards: expected {FORMAT!r}, got {facts.get('format')!r} in {folder}, ingest again"
        )
    return facts
