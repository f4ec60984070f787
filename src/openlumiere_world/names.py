"""What each drawing shows: Unicode emoji, their names in five languages, and icon names matched to
them.
"""

import csv
import io
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

LANGUAGES = ("en", "it", "es", "fr", "de")
TONES = ("1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One emoji: `subject` is its code points, lower case, joined by '-', without the selector
    fe0f.
    """

    subject: str
    base: str  # the same without skin tone
    group: str
    names: dict[str, str]  # language -> name
    tags: tuple[str, ...]
    formal: str  # Unicode's own name, or empty


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a person saw in an animation: how it looks, what moves. Empty where nobody has written
    it.
    """

    appearance_en: str = ""
    motion_en: str = ""
    motion_it: str = ""


def code(points: str) -> str:
    """'2764_FE0F' or '2764-fe0f' -> '2764'."""
    return "-".join(point for point in re.split("[-_]", points.lower()) if point != "fe0f")


def concepts(package: Path) -> dict[str, Concept]:
    """Every emoji of the unpacked `emojibase-data`, by subject."""
    formal = {
        code(points): name
        for points, name in json.loads((package / "meta/unicode-names.json").read_text()).items()
    }
    groups = json.loads((package / "meta/groups.json").read_text())["groups"]
    tables = {
        language: _flat(json.loads((package / language / "data.json").read_text()))
        for language in LANGUAGES
    }
    english = tables["en"]
    return {
        subject: _concept(subject, english[subject], tables, groups, formal.get(subject, ""))
        for subject in english
    }


def icon_subjects(
    package: Path, emoji: dict[str, Concept], neighbours: tuple[Path, ...]
) -> dict[str, str]:
    """Icon name -> subject for one unpacked Iconify package.

    A package's own table of characters is used where there is one; else names are matched with
    those of `neighbours` (packages that have a table), with emoji names and with Unicode's own
    names.
    """
    icons = json.loads((package / "icons.json").read_text())
    own = _characters(package, emoji)
    spelled = {} if own else _spelled(emoji, neighbours)
    found = {name: own.get(name) or spelled.get(_squashed(name)) for name in icons["icons"]}
    for alias, target in icons.get("aliases", {}).items():
        found[target["parent"]] = (
            found.get(target["parent"]) or own.get(alias) or spelled.get(_squashed(alias))
        )
    return _one_icon_each(
        {name: subject for name, subject in found.items() if subject and name in icons["icons"]}
    )


@cache
def written(source: str) -> dict[str, Written]:
    """The captions that ship with the project, by subject: `source` is 'fluent' or 'noto'."""
    return {code(row["codepoint"]): _written(row) for row in caption_rows(source)}


@cache
def unpublished() -> frozenset[str]:
    """Subjects among the 3D animations that are not in their maker's own repository: left out of
    the world.
    """
    return frozenset(
        code(row["codepoint"]) for row in caption_rows("fluent") if row["in_microsoft_repo"] == "0"
    )


def without_tone(subject: str) -> str:
    """The same emoji in its plain tone."""
    return "-".join(point for point in subject.split("-") if point not in TONES)


def caption_rows(source: str) -> list[dict[str, str]]:
    """The table of captions that ships with the project: `source` is 'fluent' or 'noto'."""
    table = files(__package__).joinpath(f"captions_{source}.csv").read_bytes().decode()
    return list(csv.DictReader(io.StringIO(table, newline="")))


def _written(row: dict[str, str]) -> Written:
    return Written(
        appearance_en=row["appearance_en"], motion_en=row["motion_en"], motion_it=row["motion_it"]
    )


def _flat(entries: list[dict]) -> dict[str, dict]:
    flat = {}
    for entry in entries:
        for shape in (entry, *entry.get("skins", ())):
            flat[code(shape["hexcode"])] = entry | {"label": shape["label"]}
    return flat


def _concept(
    subject: str, entry: dict, tables: dict, groups: dict[str, str], formal: str
) -> Concept:
    return Concept(
        subject=subject,
        base=without_tone(subject),
        group=groups.get(str(entry.get("group")), "none"),
        names={
            language: table[subject]["label"]
            for language, table in tables.items()
            if subject in table
        },
        tags=tuple(entry.get("tags", ())),
        formal=formal,
    )


def _characters(package: Path, emoji: dict[str, Concept]) -> dict[str, str]:
    table = json.loads((package / "chars.json").read_text())
    return {name: code(points) for points, name in table.items() if code(points) in emoji}


def _spelled(emoji: dict[str, Concept], neighbours: tuple[Path, ...]) -> dict[str, str]:
    spelled = {
        _squashed(concept.formal): subject for subject, concept in emoji.items() if concept.formal
    }
    spelled |= {_squashed(concept.names["en"]): subject for subject, concept in emoji.items()}
    for package in neighbours:
        spelled |= {
            _squashed(name): subject for name, subject in _characters(package, emoji).items()
        }
    return spelled


def _squashed(name: str) -> str:
    """Names compare by their letters and digits: 'Flag for Italy' and 'flag: Italy' are one."""
    return re.sub(r"[^a-z0-9]|\bfor\b", "", name.lower())


def _one_icon_each(found: dict[str, str]) -> dict[str, str]:
    """The first icon of each subject, in the order of names."""
    first: dict[str, str] = {}
    for name in sorted(found):
        first.setdefault(found[name], name)
    return {name: subject for subject, name in first.items()}
