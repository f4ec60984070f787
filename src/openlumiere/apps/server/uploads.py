"""Media that clients send: stored by their content, and named in tasks as `upload:ID`.

No path of a client's reaches the disk: what a task names is an upload or it is refused.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

from starlette.concurrency import run_in_threadpool

from openlumiere.apps.queue.inputs import MEDIA, stored
from openlumiere.apps.server.guards import Refused
from openlumiere.media.decode import HEAD, KNOWN, kind_of
from openlumiere.tasks import Media, Region, Task, read_task
from openlumiere.tasks.base import shown
from openlumiere.tasks.region import read_polygons

PREFIX = "upload:"
NAME = "upload"
ID = re.compile(r"[0-9a-f]{64}")
SUFFIXES = {
    "matroska": ".mkv",
    "ogg": ".ogg",
    "avi": ".avi",
    "webp": ".webp",
    "gif": ".gif",
    "png": ".png",
    "jpeg": ".jpg",
    "bmp": ".bmp",
    "tiff": ".tiff",
    "ppm": ".ppm",
    "avif": ".avif",
    "mov": ".mp4",
    "mpegts": ".ts",
}
"""How a file of each kind is called here."""
SPARE = 2**28  # bytes that stay free on the disk

Finder = Callable[[str], Path]


class Uploads:
    """The uploads in a queue's folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    async def take(self, pieces: AsyncIterator[bytes]) -> str:
        """Store what comes in pieces; its id. Raises Refused for what is no media, and where the
        disk is nearly full.
        """
        draft = self.folder / MEDIA / f".{token_hex(8)}"
        draft.mkdir(parents=True)
        try:
            with open(draft / NAME, "wb") as file:
                async for piece in pieces:
                    await run_in_threadpool(self.write, file, piece)
            return await run_in_threadpool(self.keep, draft / NAME)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def write(self, file: Any, piece: bytes) -> None:
        """One piece, where the disk has room."""
        free = shutil.disk_usage(self.folder).free
        if free < SPARE + len(piece):
            raise Refused(507, "upload: expected room on the disk, got none, try again later")
        file.write(piece)

    def keep(self, draft: Path) -> str:
        """What was sent whole, under its content's sha256."""
        with open(draft, "rb") as file:
            name = NAME + suffix_of(file.read(HEAD))
        return stored(self.folder, name, lambda new: os.replace(draft, new)).parent.name

    def find(self, name: str) -> Path:
        """The file of an upload. Raises ValueError."""
        if ID.fullmatch(name):
            for file in sorted((self.folder / MEDIA / name).glob(f"{NAME}*")):
                return file
        raise ValueError(
            f"upload: expected the id of an upload, got {shown(name)}, POST the file to /v1/uploads"
        )


def suffix_of(head: bytes) -> str:
    """By the first bytes of a file. Raises Refused for what nothing here reads."""
    kind = kind_of(head)
    if kind in SUFFIXES:
        return SUFFIXES[kind]
    if head[8:10] == b'{"':  # after the length of its header
        return ".safetensors"
    raise Refused(
        415, f"upload: expected {KNOWN}, or a style, got something else, convert it first"
    )


def task_of(asked: Mapping[str, Any], find: Finder) -> Task:
    """The task that a client asks for, with files for its uploads. Raises ValueError for one that
    names anything but uploads.
    """
    values = dict(asked)
    if isinstance(values.get("region"), str):
        values["region"] = region_of(values["region"])
    task = read_task(values)
    return task.with_media({role: placed(role, each, find) for role, each in task.media().items()})


def region_of(text: str) -> Any:
    """A region that is written as text: an upload, or numbers. It is never taken for a path."""
    if text.startswith(PREFIX):
        return {"mask": {"path": text}}
    return Region(polygons=read_polygons(text))


def placed(role: str, media: Media, find: Finder) -> Media:
    """The file that stands for an upload."""
    if not media.path.startswith(PREFIX):
        raise ValueError(
            f"{role}: expected {PREFIX}ID, got {shown(str(media))}, POST the file to /v1/uploads"
        )
    return Media(path=str(find(media.path.removeprefix(PREFIX))), sha256=media.sha256)


def as_uploads(task: Task, folder: Path) -> Task:
    """The task as clients know it: uploads by their ids, other files by their names alone."""
    media = folder / MEDIA

    def named(path: Path) -> str:
        return f"{PREFIX}{path.parent.name}" if path.is_relative_to(media) else path.name

    return task.with_media(
        {
            role: Media(path=named(Path(each.path)), sha256=each.sha256)
            for role, each in task.media().items()
        }
    )
