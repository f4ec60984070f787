"""What jobs are given: files referred to by path or copied, and looked at again at the start."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

from openlumiere.media.digest import sha256_of_file
from openlumiere.tasks import Media, Task

MEDIA = "media"

Named = dict[str, dict[str, str]]
"""By role: the `path` of a file or folder, and the `sha256` of its bytes."""


def kept(task: Task, folder: Path, copy: bool) -> tuple[Task, Named]:
    """The task with its media by absolute paths, and what they are.

    Content from memory, and with `copy` every file, is written below `folder`. Raises ValueError
    for a file that can't be read.
    """
    media = {role: placed(role, each, folder, copy) for role, each in task.media().items()}
    named = {
        role: {"path": each.path, "sha256": sha256_of(role, Path(each.path))}
        for role, each in media.items()
    }
    return task.with_media(media), named


def placed(role: str, media: Media, folder: Path, copy: bool) -> Media:
    """One thing that is given, in a file."""
    if media.content is not None:
        return Media(path=str(written(role, media.content, folder)))
    if not media.path:
        raise ValueError(f"{role}: expected a file, got a sha256 alone, name the file")
    path = Path(os.path.abspath(media.path))
    if copy:
        path = copied(role, path, folder)
    return Media(path=str(path), sha256=media.sha256)


def sha256_of(role: str, path: Path) -> str:
    """Of a file's bytes, or of the names and bytes in a folder. Raises ValueError."""
    try:
        if not path.is_dir():
            return sha256_of_file(path)
        digest = hashlib.sha256()
        for file in sorted(each for each in path.rglob("*") if each.is_file()):
            digest.update(f"{file.relative_to(path)}\0{sha256_of_file(file)}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        raise ValueError(
            f"{role}: expected a file that can be read, got {path} ({error.strerror or error}), "
            "check the path"
        ) from None


def check_unchanged(inputs: Named) -> None:
    """Raise ValueError for an input that is gone, or is not what it was when the job was added."""
    for role, given in inputs.items():
        if sha256_of(role, Path(given["path"])) != given["sha256"]:
            raise ValueError(
                f"{role}: expected the file that was there when the job was added, "
                f"got another in {given['path']}, add the job again"
            )


def copied(role: str, path: Path, folder: Path) -> Path:
    """A copy of a file or folder below `folder`, by its content, with its own name."""
    if not path.exists():
        raise ValueError(f"{role}: expected a file that can be read, got {path}, check the path")
    copy = shutil.copytree if path.is_dir() else shutil.copyfile
    return stored(folder, path.name, lambda new: copy(path, new))


def written(role: str, content: Any, folder: Path) -> Path:
    """Content from memory in a file that keeps every pixel."""
    from openlumiere.media import Clip, picture_from, save_image
    from openlumiere.media.mask import black_and_white, mask_of

    if hasattr(content, "save") and hasattr(content, "sha256"):  # a style
        return stored(folder, "style.safetensors", content.save)
    if role == "region":
        content = black_and_white(mask_of(content))
    if isinstance(content, Clip):
        if content.audio is not None:
            return stored(folder, "clip.mov", lambda new: content.save(new, lossless=True))
        return stored(folder, "clip", lambda new: content.save(f"{new}/", lossless=True))
    name = f"{role.split()[0]}.png"
    return stored(folder, name, lambda new: save_image(picture_from(content), new))


def stored(folder: Path, name: str, fill: Callable[[Path], object]) -> Path:
    """What `fill` writes, as `media/SHA256/NAME`, with what it writes beside; what is there already
    stays.
    """
    draft = folder / MEDIA / f".{token_hex(8)}"
    draft.mkdir(parents=True)
    try:
        fill(draft / name)
        place = folder / MEDIA / sha256_of(name, draft / name)
        if not (place / name).exists():
            place.mkdir(exist_ok=True)
            for file in sorted(draft.iterdir(), key=lambda each: each.name == name):
                os.replace(file, place / file.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return place / name


def hashes_of(inputs: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """By role, what the inputs contain."""
    return {role: given["sha256"] for role, given in inputs.items()}
