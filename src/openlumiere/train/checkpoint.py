"""A run's folder: its lock, its configuration, and `step-N` checkpoints, each whole or absent,
hashed, read only after its hashes agree.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from openlumiere.media.write import write_whole

# `sha256  name` a line, as sha256sum writes; the last line is of the lines before
MANIFEST = "manifest.txt"
FACTS = "trainer.json"
PREFIX = "step-"
BROKEN = "broken-"
CONFIG = "config.json"
LOCK = ".lock"

logger = logging.getLogger("openlumiere")

Groups = dict[str, dict[str, Tensor]]


class BrokenCheckpoint(ValueError):
    """A checkpoint whose bytes are not those that were written; names the file."""

    def __init__(self, file: Path, got: str):
        super().__init__(
            f"checkpoint: expected {file} as it was written, got {got}, delete its folder to use an"
            " older one"
        )


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that a run needs to resume as if it had not stopped: named groups of tensors on the CPU,
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
    run.mkdir(parents=True, exist_ok=True)
    write_whole(run / f"{PREFIX}{checkpoint.step}", partial(fill, checkpoint=checkpoint))
    for older in numbered(run)[keep:]:
        remove(older)


def fill(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the files of a checkpoint, then what their hashes are."""
    folder.mkdir()
    facts = json.dumps({"step": checkpoint.step, **checkpoint.facts}, indent=1).encode()
    lines = [write(folder / FACTS, facts)]
    for name, group in checkpoint.groups.items():
        lines.append(write(folder / f"{name}.safetensors", save(contiguous(group))))
    body = "".join(sorted(lines)).encode()
    write(folder / MANIFEST, body + line_of(MANIFEST, body).encode())


def contiguous(group: dict[str, Tensor]) -> dict[str, Tensor]:
    """As safetensors takes them."""
    return {name: value.detach().cpu().contiguous() for name, value in group.items()}


def write(path: Path, data: bytes) -> str:
    """Write a file; answers the manifest's line for it."""
    with path.open("wb") as file:
        file.write(data)
    return line_of(path.name, data)


def line_of(name: str, data: bytes) -> str:
    """As sha256sum writes it."""
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n"


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
    """The newest that is whole; a broken one is logged and set aside as `broken-step-N`. None in a
    new run.
    """
    for folder in numbered(run):
        try:
            return read_checkpoint(folder)
        except BrokenCheckpoint as error:
            logger.warning("%s; set aside, the one before is used", error)
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
    """The bytes of a file. Raises BrokenCheckpoint for none, and for others than `digest` is of."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BrokenCheckpoint(path, "no file") from None
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise BrokenCheckpoint(path, "other bytes")
    return data


class FolderLock:
    """One process at a time in a folder, for as long as it lives: a kill lets go of it, too."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.handle: int | None = None

    def acquire(self) -> None:
        """Make the folder, if need be, and lock it. Raises ValueError where another process has."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.handle = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ValueError(
                f"run: expected a folder that can be made and written, got {error.strerror} for"
                f" {self.folder}, choose another one"
            ) from None
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise ValueError(
                f"run: expected a folder that nobody is training in, got {self.folder}, which"
                " another process has, wait for it or name another folder"
            ) from None

    def release(self) -> None:
        """Let others in."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


def write_config(run: Path, config: dict[str, object]) -> None:
    """Write `run/config.json`, whole. Raises OSError."""
    text = json.dumps(config, indent=1) + "\n"
    write_whole(run / CONFIG, lambda file: file.write_text(text))


def read_config(run: Path) -> dict[str, object]:
    """What `run/config.json` says; nothing where there is none that can be read."""
    try:
        return json.loads((run / CONFIG).read_text())
    except (OSError, ValueError):
        return {}


def changes(before: dict[str, object], after: dict[str, object]) -> Iterator[str]:
    """Each option that differs, in words; those that only one of them knows are left out."""
    for name in before.keys() & after.keys():
        old = before[name]
        new = after[name]
        if isinstance(old, dict) and isinstance(new, dict):
            yield from changes(old, new)
        elif json.dumps(old) != json.dumps(new):
            yield f"{name} {new} (was {old})"


def require_finite(weights: dict[str, Tensor]) -> None:
    """Raise ValueError, naming the first, where a weight to be saved is infinite or no number."""
    for name, value in weights.items():
        if not bool(value.isfinite().all()):
            raise ValueError(
                f"weights: expected finite ones, got others in {name}, lower the learning rate and"
                " train again"
            )
