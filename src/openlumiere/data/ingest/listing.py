"""What lies in a folder of footage: files in a fixed order, each with its caption and licence."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

BESIDE = (".txt", ".json")
TABLES = (".csv", ".parquet")
IGNORED = (*BESIDE, *TABLES, ".md", ".srt", ".vtt", ".nfo", ".log")
FILE_COLUMNS = ("file", "path", "video", "file_name")
CAPTION_COLUMNS = ("caption", "text", "prompt")
LICENCE_COLUMNS = ("licence", "license")
FOLDER_NOTE = "clip.json"  # a folder of frames with this file is one clip (`Clip.save("x/")`)
LONGEST = 2000  # characters of a caption
JOINERS = "\u200c\u200d"  # control characters that scripts and emoji need
LARGEST = 64 * 2**20  # bytes of a caption file


@dataclass(frozen=True, kw_only=True)
class Footage:
    """One file (or folder of frames) below the folder that is ingested."""

    name: str  # its path below that folder, with forward slashes
    caption: str
    licence: str
    size: int  # bytes
    changed: int  # its time of change, in nanoseconds

    @property
    def key(self) -> str:
        """What its clips' names begin with: fixed by `name` alone."""
        return hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass
class Listing:
    """All footage in order of name, and what is wrong with the rest: (name, reason) each."""

    footage: list[Footage] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Caption:
    """What a caption file says of one clip."""

    text: str
    licence: str = ""


def list_footage(folder: Path, licence: str = "", captions: Path | None = None) -> Listing:
    """Find every file below `folder`, nested folders included.

    Links are not followed. Captions come from `captions` or any CSV or Parquet table in the folder
    (columns file, caption and perhaps licence), else from a .txt or .json beside the file, else
    from its name. Raises ValueError where `folder` or `captions` can't be read.
    """
    check_folder_of_footage(folder)
    listing = Listing()
    paths = list(_walk(folder, folder, listing.problems))
    said = _tables(folder, paths, captions, listing.problems)
    names = {_name(folder, path) for path in paths}
    for name in sorted(names):
        path = folder / name
        if path.suffix.lower() in IGNORED:
            continue
        caption = said.pop(name, None) or _beside(path, listing.problems, name)
        caption = caption or Caption(from_name(path.stem))
        listing.footage.append(_footage(path, name, caption, licence))
    for name in sorted(said):
        listing.problems.append((name, "a caption for a file that is not there"))
    return listing


def check_folder_of_footage(folder: Path) -> None:
    """Raise ValueError where there is no such folder."""
    if not folder.is_dir():
        raise ValueError(f"footage: expected a folder, got {str(folder)!r}, name one that exists")


def _footage(path: Path, name: str, caption: Caption, licence: str) -> Footage:
    status = path.stat()
    return Footage(
        name=name,
        caption=caption.text,
        licence=caption.licence or licence,
        size=status.st_size,
        changed=status.st_mtime_ns,
    )


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _walk(folder: Path, below: Path, problems: list[tuple[str, str]]) -> Iterator[Path]:
    """Regular files and folders of frames below `below`; everything else is a problem."""
    try:
        entries = sorted(os.scandir(below), key=lambda entry: entry.name)
    except OSError as error:
        problems.append((_name(folder, below), f"a folder that can't be read ({error.strerror})"))
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            problems.append((_name(folder, path), "a link: links are not followed"))
        elif entry.is_dir():
            if (path / FOLDER_NOTE).is_file():
                yield path
            else:
                yield from _walk(folder, path, problems)
        elif entry.is_file():
            yield path
        else:
            problems.append((_name(folder, path), "not a regular file"))


def _tables(
    folder: Path, paths: list[Path], captions: Path | None, problems: list[tuple[str, str]]
) -> dict[str, Caption]:
    """Captions of all tables by the name of their file; the named table has the last word."""
    said: dict[str, Caption] = {}
    for path in paths:
        if path.suffix.lower() in TABLES and path.is_file():
            try:
                said |= read_table(path, _name(folder, path.parent))
            except ValueError as error:
                problems.append((_name(folder, path), str(error)))
    if captions is not None:
        said |= read_table(captions, ".")
    return said


def read_table(path: Path, below: str = ".") -> dict[str, Caption]:
    """Captions of a CSV or Parquet file, by the name of their file below folder `below`.

    Raises ValueError where there is no such table or it lacks the columns.
    """
    try:
        rows = _rows(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:80]
        raise ValueError(
            f"captions: expected a CSV or Parquet table, got {reason!r} in {str(path)!r},"
            " save it again"
        ) from None
    said = {}
    for row in rows:
        file = _column(row, FILE_COLUMNS)
        text = _column(row, CAPTION_COLUMNS)
        if file is None or text is None:
            raise ValueError(
                f"captions: expected columns file and caption in {str(path)!r},"
                f" got {', '.join(map(str, row))[:80]}, name them so"
            )
        said[os.path.normpath(os.path.join(below, file))] = Caption(
            clean(text), clean(_column(row, LICENCE_COLUMNS) or "")
        )
    return said


def _rows(path: Path) -> Iterable[dict]:
    import pyarrow
    from pyarrow import csv, parquet

    try:
        if path.suffix.lower() == ".csv":
            table = csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True))
        else:
            table = parquet.ParquetFile(path).read()
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from None
    return table.to_pylist()


def _column(row: dict, names: tuple[str, ...]) -> str | None:
    return next((str(row[name]) for name in names if row.get(name) is not None), None)


def _beside(path: Path, problems: list[tuple[str, str]], name: str) -> Caption | None:
    """The caption in `clip.txt` or `clip.json` beside `clip.mp4` (or in `clip.mp4.json`)."""
    for suffix in BESIDE:
        for file in (path.with_suffix(suffix), path.with_name(path.name + suffix)):
            if not file.is_file() or file.is_symlink():
                continue
            try:
                if caption := _read_beside(file):
                    return caption
            except (ValueError, OSError) as error:
                problems.append((name, f"a caption that can't be read ({str(error)[:80]})"))
    return None


def _read_beside(file: Path) -> Caption | None:
    if file.stat().st_size > LARGEST:
        raise ValueError("a caption file of more than 64 MiB")
    text = file.read_text("utf-8", "replace")
    if file.suffix.lower() == ".txt":
        return Caption(clean(text)) if clean(text) else None
    said = json.loads(text)
    if not isinstance(said, dict):
        raise ValueError(f"expected an object, got {type(said).__name__}")
    caption = clean(_column(said, CAPTION_COLUMNS) or "")
    return Caption(caption, clean(_column(said, LICENCE_COLUMNS) or "")) if caption else None


def clean(text: str) -> str:
    """One line without control characters, at most 2000 characters long."""
    kept = (letter if _prints(letter) else " " for letter in text[:20_000])
    return " ".join("".join(kept).split())[:LONGEST]


def _prints(letter: str) -> bool:
    return letter in JOINERS or unicodedata.category(letter)[0] != "C"


def from_name(stem: str) -> str:
    """`a_red-kite_01` is "a red kite": a name's words, without the number at its end."""
    words = re.sub(r"[_\-.\s]+", " ", clean(stem)).strip()
    return re.sub(r" \d+$", "", words)
