"""A verb's words become a frozen dataclass; a mistake becomes one line."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TypeVar

import tyro

Arguments = TypeVar("Arguments")


def parse(kind: type[Arguments], words: list[str], verb: str) -> Arguments:
    """Read `words` into `kind` by tyro; `--help` prints and exits 0, a mistake is a ValueError of one line."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.cli(kind, args=words, prog=f"lumiere {verb}", config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(f"{verb}: {first_sentence(told.getvalue())}, see lumiere {verb} --help") from None


def first_sentence(box: str) -> str:
    """tyro frames its errors: drop the frame, the colours and everything after the first rule."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    rows = [row.strip("│ ").strip() for row in plain.splitlines()]
    body: list[str] = []
    for row in rows:
        if row.startswith(("╭", "╰")) or not row:
            continue
        if set(row) <= set("─"):
            break
        body.append(row)
    return " ".join(body).rstrip(".") or "the arguments can't be read"
