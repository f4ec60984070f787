"""A verb's words become a frozen dataclass; a mistake becomes one line."""

from __future__ import annotations

import contextlib
import io
import re
from itertools import groupby
from typing import TypeVar

import tyro

Arguments = TypeVar("Arguments")


def parse(
    kind: type[Arguments], words: list[str], verb: str, default: Arguments | None = None
) -> Arguments:
    """Read `words` into `kind` by tyro; `--help` prints and exits 0, a mistake is a ValueError of
    one line. What is not given is as in `default`, where there is one.
    """
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.cli(
                kind,
                args=words,
                prog=f"lumiere {verb}",
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(
            f"{verb}: {first_sentence(told.getvalue())}, see lumiere {verb} --help"
        ) from None


def first_sentence(box: str) -> str:
    """What tyro says in its box: without frame, title and colours, up to the first rule, at most
    300 characters.

    A frame has the title in its upper edge; where the terminal is ASCII there is none, and the
    title is a paragraph.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    rows = [row.strip("│ ") for row in plain.splitlines() if not row.startswith(("╭", "╰"))]
    paragraphs = [
        " ".join(inside)
        for rule, inside in groupby(filter(None, rows), key=lambda row: set(row) <= {"─", "-"})
        if not rule
    ]
    told = paragraphs if "╭" in plain else paragraphs[1:]
    return told[0].rstrip(".")[:300] if told else "the arguments can't be read"
