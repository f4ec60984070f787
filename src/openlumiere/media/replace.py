"""What a write may replace: files and folders that we wrote, of the same kind, and nothing else.

A clip's own path is replaced because its user names it. What is written beside it (the record, the
statement, the previews) was named by nobody, so a stranger's file there is refused by its name, and
so is a folder that holds anything but what we write into one.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from openlumiere.media.limits import MediaError

FOLDER_NOTE = "clip.json"
STATEMENT = "provenance.json"
FRAME = re.compile(r"frame_(\d{5,})\.png")
LONGEST_NOTE = 2**24  # bytes of a JSON file that is looked into
SIGNED = b"org.openlumiere.making"  # the label of our assertion in a C2PA manifest
SOFTWARE = b"Software\0openlumiere"  # a text chunk of the PNG files that we write


def frame_name(index: int) -> str:
    """The file of a frame in a folder: frame_00000.png and so on."""
    return f"frame_{index:05d}.png"


def is_record(file: Path) -> bool:
    """Whether a JSON file is a record that we wrote beside a clip."""
    content = _json(file)
    versions = content.get("versions")
    return isinstance(content.get("replay"), dict) and (
        isinstance(versions, dict) and "openlumiere" in versions
    )


def is_statement(file: Path) -> bool:
    """Whether a JSON file is a signed statement of ours."""
    return set(_json(file)) == {"claim", "signature", "chain"}


def is_preview(file: Path) -> bool:
    """Whether a PNG file is one that we wrote."""
    content = file.read_bytes()
    return content.startswith(b"\x89PNG") and (SIGNED in content or SOFTWARE in content)


def frames_noted(file: Path) -> int | None:
    """How many frames the note in a folder of ours names; None where it is not our note."""
    content = _json(file)
    count = content.get("frames")
    ours = set(content) == {"fps", "frames"} and isinstance(content.get("fps"), str)
    return count if ours and isinstance(count, int) else None


def _json(file: Path) -> dict:
    """The table in a JSON file; empty where there is none that can be read."""
    try:
        if file.stat().st_size > LONGEST_NOTE:
            return {}
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


COMPANIONS: dict[str, Callable[[Path], bool]] = {
    ".json": is_record,
    f".{STATEMENT}": is_statement,
}
"""What an origin may write beside a clip, by what is added to its name."""


def check_companions(target: Path, previews: Iterable[str] = (), folder: bool = False) -> None:
    """Raise `MediaError` where something is in the way of what is written beside `target`.

    `previews` are endings of pictures that will lie beside it, each with companions of its own. The
    statement of a `folder` lies inside it.
    """
    _check_name(target)
    for ending, is_ours in COMPANIONS.items():
        if not (folder and ending == f".{STATEMENT}"):
            _check_companion(target.with_name(target.name + ending), is_ours)
    for ending in previews:
        picture = target.with_name(target.name + ending)
        _check_companion(picture, is_preview)
        check_companions(picture)


def _check_companion(file: Path, is_ours: Callable[[Path], bool]) -> None:
    _check_name(file)
    if not os.path.lexists(file):
        return
    if not stat.S_ISREG(file.lstat().st_mode) or not is_ours(file):
        raise MediaError(
            "nothing in the way of what is written beside the output",
            f"{file}, which openlumiere did not write",
            "move it or choose another name",
        )


def _check_name(file: Path) -> None:
    """Raise where the folder can't hold a file of this name."""
    most = os.pathconf(file.parent, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    length = len(os.fsencode(file.name))
    if length > most:
        raise MediaError(
            f"names of at most {most} bytes",
            f"{length} for {file.name[:40]}...",
            "choose a shorter name for the output",
        )


def ours_beside(target: Path) -> dict[Path, int]:
    """What an origin wrote beside a file that is about to be replaced, by inode: it speaks of that
    file and of no other.
    """
    if not os.path.exists(target):
        return {}
    beside = {
        target.with_name(target.name + ending): is_ours for ending, is_ours in COMPANIONS.items()
    }
    return {
        file: file.lstat().st_ino
        for file, is_ours in beside.items()
        if file.is_file() and not file.is_symlink() and is_ours(file)
    }


def check_folder_of_frames(target: Path) -> None:
    """Raise `MediaError` unless a folder of frames may be written at `target`: it is new, or empty,
    or all in it is what we write.
    """
    if target.name in ("", "..") or Path.cwd().is_relative_to(target.resolve()):
        raise MediaError(
            "a folder of its own for the frames",
            f"{target}, in which you are",
            "name a folder inside it, such as frames/",
        )
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise MediaError(
            "a new, empty or earlier folder of frames", str(target), "choose another name"
        )
    if stranger := stranger_in(target):
        raise MediaError(
            "a new, empty or earlier folder of frames",
            f"{target} with {stranger.name!r}, which openlumiere did not write",
            "choose another name",
        )


def stranger_in(folder: Path) -> Path | None:
    """The first entry of a folder that we did not write, if any; all are strangers without our
    note.
    """
    entries = sorted(folder.iterdir())
    count = frames_noted(folder / FOLDER_NOTE)
    strangers = (entry for entry in entries if count is None or not _is_ours_in(entry, count))
    return next(strangers, None)


def _is_ours_in(entry: Path, frames: int) -> bool:
    """Whether an entry is what we write into a folder of so many frames."""
    if not stat.S_ISREG(entry.lstat().st_mode):
        return False
    if entry.name == STATEMENT:
        return is_statement(entry)
    number = FRAME.fullmatch(entry.name)
    if number is None:
        return entry.name == FOLDER_NOTE
    return int(number[1]) < frames and entry.name == frame_name(int(number[1]))


WEIGHTS = re.compile(
    r"(diffusion_pytorch_model|model)(-\d+-of-\d+)?\.safetensors|"
    r"(diffusion_pytorch_model|model)\.safetensors\.index\.json|"
    r"(config|model_index|scheduler_config|checksums|subjects|knows)\.json"
)
MODEL_NOTES = ("model_index.json", "config.json")


def check_folder_of_weights(target: Path) -> None:
    """Raise `MediaError` unless a model may be written at `target`: it is new, or empty, or all in
    it is what an earlier model consists of.
    """
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise MediaError("a new, empty or earlier folder of a model", str(target), "name another")
    inside = sorted(target.rglob("*"))
    known = not inside or any((target / note).is_file() for note in MODEL_NOTES)
    strangers = [file for file in inside if not (known and _is_of_a_model(file))]
    if strangers:
        raise MediaError(
            "a new, empty or earlier folder of a model",
            f"{target} with {str(strangers[0].relative_to(target))!r}, which is none of its files",
            "name another",
        )


def _is_of_a_model(entry: Path) -> bool:
    """Whether an entry is a folder, or a file that a model of ours consists of."""
    mode = entry.lstat().st_mode
    return stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and WEIGHTS.fullmatch(entry.name) is not None)
