"""What a model makes of clips before it is trained on them: latents of its codec and states of its
text encoder, kept beside the shards, one folder a model.

coded/ID/clips-00000.tar   KEY.safetensors for each clip of the shard of that name
coded/ID/empty.safetensors what the empty prompt conditions
coded/ID/index.parquet     a row a clip: its key and the place of its bytes
coded/ID/manifest.json     the model, its fingerprint, sha256 of every file; written last

ID is the first 16 digits of the fingerprint. Keys and names of shards are those of the shards, so
WebDataset reads both side by side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from openlumiere.data import index, shards
from openlumiere.data.ingest.journal import write_text
from openlumiere.data.ingest.shardset import INDEX, MANIFEST, PLACE_COLUMNS, Shards
from openlumiere.media.digest import sha256_of_file
from openlumiere.media.write import write_whole

FORMAT = "openlumiere latents 1"
FOLDER, EMPTY, SUFFIX = "coded", "empty.safetensors", "safetensors"
Tensors = dict[str, Tensor]


def coded_folder(folder: Path, fingerprint: str) -> Path:
    """Where what the model of that fingerprint makes of the shards in `folder` lies."""
    return folder / FOLDER / fingerprint[:16]


def write_coded(path: Path, clips: Iterable[tuple[str, Tensors]]) -> dict[str, shards.Member]:
    """Write the coded clips of one shard, all or nothing; where each of them lies, by its key. A
    file that is there already is read through instead, and stays.
    """
    if path.is_file():
        places = shards.places(path)
    else:
        places = shards.write(path, ((f"{key}.{SUFFIX}", save(each)) for key, each in clips))
    return {name.removesuffix(f".{SUFFIX}"): member for name, member in places.items()}


def finish_coded(
    place: Path, about: dict[str, object], empty: Tensors, places: dict[str, shards.Member]
) -> None:
    """Write what belongs to all clips, the index, and last the manifest with what is said `about`
    the model.
    """
    write_whole(place / EMPTY, lambda made: made.write_bytes(save(empty)))
    rows: list[index.Row] = [
        {
            "key": key,
            "shard": member.shard,
            "offset": member.offset,
            "length": member.length,
            "crc32": member.crc32,
        }
        for key, member in places.items()
    ]
    index.write(rows, place / INDEX)
    names = sorted(file.name for file in place.iterdir() if file.name[0] != ".")
    hashes = {name: sha256_of_file(place / name) for name in names if name != MANIFEST}
    content = {"format": FORMAT, **about, "clips": len(rows), "files": hashes}
    write_text(place / MANIFEST, json.dumps(content, indent=1))


def is_coded(folder: Path, fingerprint: str) -> bool:
    """Whether all clips of the shards in `folder` are coded by the model of that fingerprint."""
    return fingerprint in {about["fingerprint"] for about in coders(folder)}


def coders(folder: Path) -> list[dict[str, str]]:
    """`model` and `fingerprint` of each model that has coded the shards in `folder`."""
    found = []
    for file in sorted((folder / FOLDER).glob(f"*/{MANIFEST}")):
        facts = json.loads(file.read_text())
        if facts.get("format") == FORMAT:
            found.append({name: str(facts[name]) for name in ("model", "fingerprint")})
    return found


class Coded:
    """Coded clips of shards, opened to read. Raises ValueError where the index lacks a clip."""

    def __init__(self, opened: Shards, fingerprint: str):
        self.folder = coded_folder(opened.folder, fingerprint)
        rows = index.read(self.folder / INDEX, {"key": str} | PLACE_COLUMNS)
        places = {row.pop("key"): shards.Member(**row) for row in rows}  # type: ignore[arg-type]
        missing = [row["key"] for row in opened.rows if row["key"] not in places]
        if missing:
            raise ValueError(
                f"latents: expected all clips of {opened.folder} in {self.folder}, got none of"
                f" {missing[0]}, delete that folder and code them again"
            )
        self.places = [places[row["key"]] for row in opened.rows]

    def clip(self, number: int) -> Tensors:
        """What was made of clip `number`. Raises ValueError where it is damaged."""
        return load(shards.read(self.folder, self.places[number]))

    def empty(self) -> Tensors:
        """What was made of the empty prompt."""
        return load((self.folder / EMPTY).read_bytes())
