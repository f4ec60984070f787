"""A verb's words become a frozen dataclass; a mistake becomes one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from difflib import get_close_matches
from itertools import groupby
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import tyro

from openlumiere.tasks import KINDS
from openlumiere.tasks.base import nearest

Arguments = TypeVar("Arguments")
INVALID = r"invalid choice '(.*?)' for argument '(.*?)'. Expected one of \((.*)\)"  # tyro's words
MISSING = r"Missing from [^:]*: ((?:-[\w-]+ (?:\{.*?\}|\S+) ?)+|\S+) (.*?)\.?(?: \(required\)|$)"
NO_VALUE = r"Missing value for argument '(.*?)'"
NO_NUMBER = (
    (r"Error parsing (\S+): .*invalid literal for int\(\) with base 10: ('.*')", "a whole number"),
    (r"Error parsing (\S+): .*could not convert string to float: ('.*')", "a number"),
)


def parse(
    kind: type[Arguments],
    words: list[str],
    verb: str,
    default: Arguments | None = None,
    description: str | None = None,
) -> Arguments:
    """Read `words` into `kind` by tyro; `--help` prints and exits 0, a mistake is a ValueError of
    one line. What is not given is as in `default`, where there is one. With a `description` flags
    that are on have a `--no-` form beside.
    """
    config = (tyro.conf.FlagCreatePairsOff,) if description is None else ()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                args=words,
                prog=f"lumiere {verb}",
                description=description,
                default=tyro.MISSING_NONPROP if default is None else default,
                config=config,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        sentence = first_sentence(said.getvalue())
        raise ValueError(f"{verb}: {mistake(sentence, words, verb, options_of(kind))}") from None


def mistake(sentence: str, words: list[str], verb: str, options: list[str]) -> str:
    """What tyro says, in three parts, with the nearest option where there is one."""
    unknown = re.match(r"Unrecognized options: (.*?)(?:, |$)", sentence)
    if unknown:
        do = advice(unknown[1], verb, options)
        return f"expected options of this verb, got {unknown[1][:100]}, {do}"
    choice = re.match(INVALID, sentence)
    if choice:
        choices = [name for name in re.findall(r"'(.*?)'", choice[3]) if name != "None"]
        do = nearest(choice[1], choices, f"see lumiere {verb} --help")
        return f"{choice[2]}: expected one of {', '.join(choices)}, got {choice[1][:100]!r}, {do}"
    dashed = [word for word in words if re.match(r"-[^-oh\d.]|--.*\s", word)]
    do = hint(dashed[0], verb) if dashed else f"see lumiere {verb} --help"
    return f"{expected(sentence)}, {do}"


def expected(sentence: str) -> str:
    """What a verb expected and what came, from what tyro says of a missing or unreadable value."""
    missing = re.match(MISSING, sentence)
    if missing:
        return f"expected {missing[1].strip()} ({missing[2]}), got none"
    alone = re.match(NO_VALUE, sentence)
    if alone:
        return f"{alone[1]}: expected a value, got none"
    for pattern, kind in NO_NUMBER:
        unread = re.match(pattern, sentence)
        if unread:
            return f"{unread[1]}: expected {kind}, got {unread[2][:100]}"
    return f"expected arguments that can be read, got others ({sentence})"


def advice(word: str, verb: str, options: list[str]) -> str:
    """What to do about an option that a verb does not have: to leave it out where it is another
    verb's (then it is no slip of the fingers), else the nearest that this one has.
    """
    name = word.partition("=")[0]
    others = verbs_with(name) if verb.split()[-1] in KINDS else []
    if others:
        return f"leave it out (it is an option of {', '.join(others)})"
    close = get_close_matches(name, options, n=1)
    return f"perhaps you meant {close[0]}" if close else hint(word, verb)


def verbs_with(option: str) -> list[str]:
    """The verbs that make something and have this option."""
    from openlumiere.apps.cli.forms import form_of

    return [kind for kind in KINDS if option in options_of(form_of(kind))]


def hint(word: str, verb: str) -> str:
    """What to do about a word that is no option."""
    if word.startswith("-") and not re.fullmatch(r"--[\w-]+(=.*)?", word):
        return "write -- before a prompt or a path that begins with a dash"
    if not word.startswith("-"):
        return f'quote a prompt as "...", or see lumiere {verb} --help'
    return f"see lumiere {verb} --help"


def options_of(kind: Any) -> list[str]:
    """The names of all options, groups included."""
    plain = group_of(kind)
    hints = get_type_hints(plain, include_extras=True) if plain else {}
    found = []
    for name, hint_of_field in hints.items():
        inner = options_of(hint_of_field)
        found += inner or [f"--{name.replace('_', '-')}"]
    return found


def group_of(kind: Any) -> type | None:
    """The dataclass of a group of options, whatever marks it wears."""
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return plain if isinstance(plain, type) and dataclasses.is_dataclass(plain) else None


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
    said = paragraphs if "╭" in plain else paragraphs[1:]
    return said[0].rstrip(".")[:300] if said else "the arguments can't be read"
