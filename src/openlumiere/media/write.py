"""Write beside, then rename: a reader never sees half a file."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from openlumiere.media.limits import MediaError


def check_folder(folder: Path) -> None:
    """Raise unless `folder` exists and can be written."""
    if not folder.is_dir():
        raise MediaError("a folder that exists", str(folder), "create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MediaError(
            "a folder that can be written",
            str(folder),
            "choose another one or change its permissions",
        )


def write_beside(path: Path, fill: Callable[[Path], None]) -> Path:
    """Let `fill` make a file (or a folder) under a hidden temporary name in `path`'s folder, then
    give it its name.

    Files that `fill` puts beside it, named after it, get `path`'s name just before (`clip.mp4.json`
    becomes `cat.mp4.json`), so that nobody meets `path` without them. Whatever is raised in
    between, `KeyboardInterrupt` included, the temporary is removed and an older `path` is
    untouched.
    """
    if "\0" in str(path):
        raise MediaError("a path without NUL", repr(str(path)), "choose another name")
    check_folder(path.parent)
    try:
        room = Path(tempfile.mkdtemp(prefix=".openlumiere-", dir=path.parent))
        try:
            made = room / f"clip{path.suffix.lower()}"
            fill(made)
            companions = [file for file in room.iterdir() if file != made]
            for file in (made, *companions):
                _sync(file)
            for companion in companions:
                os.replace(
                    companion, path.with_name(path.name + companion.name.removeprefix(made.name))
                )
            _move(made, path, room)
        finally:
            shutil.rmtree(room, ignore_errors=True)
    except OSError as error:
        raise MediaError(
            f"room and leave to write {path}",
            error.strerror or str(error),
            "free some space or save elsewhere",
        ) from error
    return path


def _sync(path: Path) -> None:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        with open(file, "rb+") as handle:
            os.fsync(handle.fileno())


def _move(made: Path, path: Path, room: Path) -> None:
    """Rename `made` to `path`; an older folder steps aside into `room` first, since a folder can't
    be renamed over.
    """
    if path.is_dir():
        path.rename(room / "older")
    try:
        os.replace(made, path)
    except BaseException:
        if (room / "older").exists() and not path.exists():
            (room / "older").rename(path)
        raise
