"""A run's folder of `step-N` checkpoints: each whole or absent, hashed, read only after its hashes
agree.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

# `sha256  name` a line, as sha256sum writes; the last line is of the lines before
MANIFEST = "manifest.txt"
FACTS = "trainer.json"
PREFIX, BROKEN = "step-", "broken-"

Groups = dict[str, dict[str, Tensor]]


class BrokenCheckpoint(ValueError):
    """A checkpoint whose bytes are not those that were written; names the file."""

    def __init__(self, file: Path, got: str):
        super().__init__(
            f"checkpoint: expected {file} as it was written, got {got}, delete its folder to use an older one"
        )


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that a run needs to go on as if it had not stopped: named groups of tensors on the CPU,
    and plain facts.
    """

    step: int
    groups: Groups
    facts: dict


def write_checkpoint(run: Path, checkpoint: Checkpoint, keep: int) -> None:
    """Write `run/step-N` beside and rename it; only the newest `keep` stay.

    Files and folders are synced, the manifest is written last. Raises OSError, having left the
    older checkpoints alone.
    """
    room = run / ".writing"
    shutil.rmtree(room, ignore_errors=True)
    try:
        room.mkdir(parents=True)
        fill(room, checkpoint)
        sync_folder(room)
        os.replace(room, run / f"{PREFIX}{checkpoint.step}")
        sync_folder(run)
    except OSError:
        shutil.rmtree(room, ignore_errors=True)
        raise
    for older in numbered(run)[keep:]:
        remove(older)


def fill(room: Path, checkpoint: Checkpoint) -> None:
    lines = [
        write(room / f"{name}.safetensors", save(contiguous(group)))
        for name, group in checkpoint.groups.items()
    ]
    lines.append(
        write(
            room / FACTS,
            json.dumps({"step": checkpoint.step, **checkpoint.facts}, indent=1).encode(),
        )
    )
    body = "".join(sorted(lines)).encode()
    write(room / MANIFEST, body + line_of(MANIFEST, body).encode())


def contiguous(group: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in group.items()}


def write(path: Path, data: bytes) -> str:
    """Write and sync; answers the manifest's line for it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return line_of(path.name, data)


def line_of(name: str, data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """Hidden first, so that a checkpoint is never half there under its name."""
    hidden = folder.with_name(".removing")
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        os.replace(folder, hidden)
    except OSError:
        return  # an older checkpoint too many harms nobody
    shutil.rmtree(hidden, ignore_errors=True)


def numbered(run: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    found = [path for path in run.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=lambda path: -int(path.name.removeprefix(PREFIX)))


def newest_checkpoint(run: Path) -> Checkpoint | None:
    """The newest that is whole; a broken one is named on stderr and set aside as `broken-step-N`.
    None in a new run.
    """
    for folder in numbered(run):
        try:
            return read_checkpoint(folder)
        except BrokenCheckpoint as error:
            print(f"lumiere: {error}; set aside, going on from the one before", file=sys.stderr)
            shutil.rmtree(folder.with_name(BROKEN + folder.name), ignore_errors=True)
            os.replace(folder, folder.with_name(BROKEN + folder.name))
    return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Each file is read once: the bytes that are used are those that were hashed. Raises
    BrokenCheckpoint.
    """
    files = {
        name: read(folder / name, digest)
        for name, digest in read_manifest(folder / MANIFEST).items()
    }
    facts = json.loads(files.pop(FACTS))
    groups = {name.removesuffix(".safetensors"): load(data) for name, data in files.items()}
    return Checkpoint(step=facts.pop("step"), groups=groups, facts=facts)


def read_manifest(path: Path) -> dict[str, str]:
    """File name -> sha256. The manifest's own last line vouches for it."""
    text = read(path)
    body = text[: text[:-1].rfind(b"\n") + 1]
    if not body or text != body + line_of(MANIFEST, body).encode():
        raise BrokenCheckpoint(path, "other bytes")
    lines = [line.split("  ", 1) for line in body.decode().splitlines()]
    return {name: digest for digest, name in lines}


def read(path: Path, digest: str | None = None) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BrokenCheckpoint(path, "no file") from None
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise BrokenCheckpoint(path, "other bytes")
    return data
