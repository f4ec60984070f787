"""Write beside, then rename: a reader never sees half a file.

A write that was killed leaves its hidden folder behind; the next write there removes it.
"""

import contextlib
import os
import re
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import psutil

from openlumiere.media.limits import MediaError

HIDDEN = ".openlumiere-"  # the machine, the process's number and a random one follow
OWNED = re.compile(rf"{re.escape(HIDDEN)}(?P<host>.*)-(?P<pid>\d+)-[^-]{{8}}")
UNNAMED = re.compile(rf"{re.escape(HIDDEN)}[^-]{{8}}")  # of 0.1.0, which did not say whose it is
UNNAMED_AGE = 3600  # seconds after which nobody is taken to be writing there any more
OLDER = "older"


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


def write_beside(path: Path, fill: Callable[[Path], object]) -> Path:
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


def write_whole(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` make a file (or a folder) under a hidden temporary name in `path`'s folder, sync
    it, then give it its name: on the disk it is whole or absent.

    Files that `fill` puts beside it, named after it, get `path`'s name just before (`clip.mp4.json`
    becomes `cat.mp4.json`), so that nobody meets `path` without them. Whatever is raised in
    between, `KeyboardInterrupt` included, the temporary is removed and an older `path` is
    untouched. What a killed process left of a write in that folder is removed. Raises OSError.
    """
    remove_leftovers(path.parent)
    hidden = path.parent / f"{hidden_prefix()}{token_hex(4)}"
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


def hidden_prefix() -> str:
    """How the hidden folder of this process begins: whose it is, for whoever finds it."""
    return f"{HIDDEN}{_host()}-{os.getpid()}-"


def _host() -> str:
    """This machine, and on Linux its numbering of processes: containers have their own."""
    try:
        numbering = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        numbering = 0
    return f"{re.sub(r'[^A-Za-z0-9.]', '', socket.gethostname())[:64]}.{numbering}"


def remove_leftovers(folder: Path) -> None:
    """Remove what writes that were killed left hidden in `folder`; what stepped aside for them is
    put back. A folder that can't be removed is left.
    """
    for hidden in folder.glob(f"{HIDDEN}*"):
        with contextlib.suppress(OSError):
            if hidden.is_dir() and not hidden.is_symlink() and is_abandoned(hidden):
                _put_back(hidden)
                shutil.rmtree(hidden, ignore_errors=True)


def is_abandoned(hidden: Path) -> bool:
    """Whether a hidden folder is of a process of this machine that is gone."""
    owner = OWNED.fullmatch(hidden.name)
    changed = hidden.stat().st_mtime
    if owner is None:
        return bool(UNNAMED.fullmatch(hidden.name)) and time.time() - changed > UNNAMED_AGE
    if owner["host"] != _host():
        return False
    try:
        return psutil.Process(int(owner["pid"])).create_time() > changed
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _put_back(hidden: Path) -> None:
    """An older folder that stepped aside for one that never came."""
    for aside in (hidden / OLDER).glob("*"):
        if not (hidden.parent / aside.name).exists():
            aside.rename(hidden.parent / aside.name)


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
    aside = hidden / OLDER / path.name
    if path.is_dir():
        aside.parent.mkdir()
        path.rename(aside)
    try:
        os.replace(made, path)
    except BaseException:
        if aside.exists() and not path.exists():
            aside.rename(path)
        raise
