"""Write beside, then rename: a reader never sees half a file."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

from openlumiere.media.limits import MediaError

HIDDEN = ".openlumiere-"  # the process's number and a random one follow


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
    """`write_whole` into a folder that exists and can be written, with errors that say what to do.

    Raises MediaError.
    """
    if "\0" in str(path):
        raise MediaError("a path without NUL", repr(str(path)), "choose another name")
    check_folder(path.parent)
    try:
        write_whole(path, fill)
    except OSError as error:
        raise MediaError(
            f"room and leave to write {path}",
            error.strerror or str(error),
            "free some space or save elsewhere",
        ) from error
    return path


def write_whole(path: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` make a file (or a folder) under a hidden temporary name in `path`'s folder, sync
    it, then give it its name: on the disk it is whole or absent.

    Files that `fill` puts beside it, named after it, get `path`'s name just before (`clip.mp4.json`
    becomes `cat.mp4.json`), so that nobody meets `path` without them. Whatever is raised in
    between, `KeyboardInterrupt` included, the temporary is removed and an older `path` is
    untouched. What a killed process left of a write in that folder is removed. Raises OSError.
    """
    remove_leftovers(path.parent)
    hidden = path.parent / f"{HIDDEN}{os.getpid()}-{token_hex(4)}"
    hidden.mkdir()
    try:
        made = hidden / f"clip{path.suffix.lower()}"
        fill(made)
        companions = [file for file in hidden.iterdir() if file != made]
        for file in (made, *companions):
            sync(file)
        for companion in companions:
            name = path.name + companion.name.removeprefix(made.name)
            os.replace(companion, path.with_name(name))
        _move(made, path, hidden)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporaries of processes that are gone."""
    for hidden in folder.glob(f"{HIDDEN}*-*"):
        number = hidden.name.removeprefix(HIDDEN).partition("-")[0]
        if number.isdigit() and not is_running(int(number)):
            shutil.rmtree(hidden, ignore_errors=True)


def is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def sync(path: Path) -> None:
    """Make the content of a file, or of all files in a folder, last."""
    inside = [path, *path.rglob("*")] if path.is_dir() else [path]
    for file in inside:
        if file.is_file():
            with open(file, "rb+") as handle:
                os.fsync(handle.fileno())
        else:
            sync_folder(file)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move(made: Path, path: Path, hidden: Path) -> None:
    """Rename `made` to `path`; an older folder steps aside first, since a folder can't be renamed
    over.
    """
    if path.is_dir():
        path.rename(hidden / "older")
    try:
        os.replace(made, path)
    except BaseException:
        if (hidden / "older").exists() and not path.exists():
            (hidden / "older").rename(path)
        raise
