"""Files that a measure writes: figures as .json, a sheet of pictures as .png."""

from __future__ import annotations

import json
from pathlib import Path

from openlumiere.engine.finish import check_keys
from openlumiere.media.write import check_folder, write_beside


def check_report(out: Path | None, sheet: Path | None) -> None:
    """Raise ValueError, before the long work, for what can't be written or signed after it."""
    for path, suffix in ((out, ".json"), (sheet, ".png")):
        if path is not None:
            check_file(path, suffix)
    if sheet is not None:
        check_keys()


def check_file(path: Path, suffix: str) -> None:
    if path.suffix != suffix or path.is_dir() or not path.parent.is_dir():
        raise ValueError(
            f"output: expected a {suffix} file in a folder that exists, got {path}, choose another path"
        )
    check_folder(path.parent)


def write_json(path: Path, report: dict) -> None:
    write_text(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    write_beside(path, lambda made: made.write_text(text, encoding="utf-8"))
