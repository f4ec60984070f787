"""Who is in the toy world: toys by their table of actions, emoji by the code points below, and what
they are called.

Names are those of Unicode in five languages (`emojibase-data`) and of the toys' own table. Faces
and hands are those that people send most; families, flags, signs, weapons and skin tones are left
out (our choice).
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from openlumiere_world.names import caption_rows

LANGUAGES = ("en", "it", "es", "fr", "de")
EVERYDAY = "everyday.csv"  # names with their articles, written for this project

FACES = """
    1f600 1f602 1f923 1f60a 1f607 1f642 1f609 1f60d 1f970 1f618 1f60b 1f61c 1f92a 1f60e 1f913
    1f973 1f914 1f928 1f610 1f644 1f60f 1f62c 1f634 1f924 1f637 1f912 1f922 1f927 1f975 1f976
    1f635 1f92f 1f920 1f62e 1f633 1f97a 1f622 1f62d 1f631 1f629 1f624 1f620 1f621 1f608 1f480
    1f4a9 1f921 1f47b 1f47d 1f916 1f63a 1f63b 1f648 1f917 1f92b 1f92d 1f911 1f925
""".split()
HEARTS = "2764 1f495 1f494 1f496 1f49d 1f525 2728 2b50 1f31f 1f4af 1f4a5".split()
HANDS = "1f44d 1f44e 1f44b 1f44f 1f64f 1f44c 270c 1f91e 1f4aa 1f919 1faf6".split()
ANIMALS = """
    1f435 1f436 1f429 1f43a 1f98a 1f99d 1f431 1f981 1f42f 1f405 1f406 1f434 1f98c 1f9ac 1f42e
    1f402 1f404 1f437 1f416 1f411 1f410 1f42a 1f999 1f992 1f418 1f98f 1f42d 1f439 1f430 1f43f
    1f994 1f987 1f43b 1f428 1f43c 1f9a5 1f9a6 1f998 1f983 1f413 1f423 1f426 1f427 1f54a 1f985
    1f986 1f9a2 1f989 1f9a9 1f99a 1f99c 1f438 1f40a 1f422 1f98e 1f40d 1f432 1f995 1f996 1f433
    1f42c 1f9ad 1f41f 1f420 1f421 1f988 1f419 1f40c 1f98b 1f41b 1f41c 1f41d 1f41e 1f997 1f577
    1f982 1f980 1f984 1f436 1f415 1f408
""".split()
PLANTS = "1f490 1f338 1f339 1f33b 1f337 1f331 1f332 1f334 1f335 1f340 1f341 1f342 1f344".split()
SKY = "1f308 1f30a 2600 1f31e 1f319 26c5 2601 26c8 2744 2603 26a1 1f4a7 1f30d".split()
FOOD = """
    1f347 1f349 1f34a 1f34b 1f34c 1f34d 1f34e 1f353 1f352 1f951 1f955 1f33d 1f344 1f35e 1f9c0
    1f354 1f35f 1f355 1f32d 1f32e 1f363 1f366 1f369 1f36a 1f382 1f9c1 1f36b 1f36d 2615 1f37a 1f37b
    1f942 1f37e 1f379
""".split()
THINGS = """
    1f680 1f6f8 2708 1f681 1f697 1f68c 1f695 1f692 1f69c 1f6b2 1f682 26f5 1f6f6 1f388 1f389 1f381
    26bd 1f3c0 1f3b8 1f3bb 1f3ba 1f941 1f3b5 1f3a8 1f4f7 1f4a1 1f4da 1f511 1f514 23f0 2602 1f9f8
    1f451 1f48e 1f4a3 1f52e 1f383 1f384 1f3c6 1f5ff 1f3a1 1f6fc
""".split()
EMOJI = tuple(dict.fromkeys([*FACES, *HEARTS, *HANDS, *ANIMALS, *PLANTS, *SKY, *FOOD, *THINGS]))
FAULTY_NOTO = {"1f601", "1fac6", "2651", "1fa8f"}  # blank frames at the end, a missing part


@dataclass(frozen=True, kw_only=True)
class Subject:
    """`key` is a code point, or the toy's English name with hyphens; `names` are by language. Of
    `shared` name is a toy that is called as a sticker is: captions always say that it is a toy.
    """

    key: str
    names: dict[str, str]
    kind: str  # toy, face, animal, plant, sky, food, thing, heart, hand
    shared: bool = False


GROUPS = {
    "face": FACES,
    "heart": HEARTS,
    "hand": HANDS,
    "animal": ANIMALS,
    "plant": PLANTS,
    "sky": SKY,
    "food": FOOD,
    "thing": THINGS,
}


def slug(text: str) -> str:
    """A text in small letters, digits and hyphens."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")


def plain_code(points: str) -> str:
    """'2764-FE0F' or '2764_fe0f' -> '2764': code points without the selector, lower case."""
    return "-".join(
        point for point in points.lower().replace("_", "-").split("-") if point != "fe0f"
    )


def emoji_subjects(package: Path) -> dict[str, Subject]:
    """Those of `EMOJI`, named by the unpacked `emojibase-data`."""
    tables = {language: labels(package / language / "data.json") for language in LANGUAGES}
    return {
        code: Subject(key=code, names=names_of(code, tables), kind=kind_of(code))
        for code in EMOJI
        if code in tables["en"]
    }


def labels(file: Path) -> dict[str, str]:
    """Code points and labels of a file of emojibase."""
    return {plain_code(entry["hexcode"]): entry["label"] for entry in json.loads(file.read_text())}


def names_of(code: str, tables: dict[str, dict[str, str]]) -> dict[str, str]:
    """A code point's name in each language that has one."""
    return {language: table[code] for language, table in tables.items() if code in table}


def kind_of(code: str) -> str:
    """The group that a code point is in."""
    return next(kind for kind, codes in GROUPS.items() if code in codes)


@cache
def everyday_names() -> dict[str, dict[str, tuple[str, ...]]]:
    """Key of a subject -> by language what people would type for it, with an article."""
    text = files(__package__).joinpath(EVERYDAY).read_text(encoding="utf-8")
    return {
        row["key"]: {language: tuple(row[language].split("|")) for language in LANGUAGES}
        for row in csv.DictReader(text.splitlines())
    }


def told_apart(subjects: dict[str, Subject]) -> dict[str, Subject]:
    """With the toys marked whose English name a sticker has, too, or one that people would type."""
    stickers = [key for key, subject in subjects.items() if subject.kind != "toy"]
    taken = {subjects[key].names["en"] for key in stickers}
    for key in stickers:
        taken |= {typed.split(" ", 1)[-1] for typed in everyday_names().get(key, {}).get("en", ())}
    plain = {slug(name) for name in taken}
    return {
        key: replace(subject, shared=subject.kind == "toy" and slug(subject.names["en"]) in plain)
        for key, subject in subjects.items()
    }


@dataclass(frozen=True, kw_only=True)
class Action:
    """One named animation of a toy's file."""

    file: str
    subject: Subject
    animation: str
    verbs: dict[str, str]  # third person

    @property
    def name(self) -> str:
        """Of its folder of frames."""
        return slug(f"{Path(self.file).stem} {self.verbs['en']}")


def toy_actions(table: Path) -> list[Action]:
    """The rows of a table with `file`, `animation`, and `subject_xx` and `action_xx` in five
    languages.
    """
    with table.open(encoding="utf-8", newline="") as file:
        return [toy_action(row) for row in csv.DictReader(file)]


def toy_action(row: dict[str, str]) -> Action:
    """A row of the table of actions."""
    names = {language: row[f"subject_{language}"] for language in LANGUAGES}
    subject = Subject(key=slug(names["en"]), names=names, kind="toy")
    return Action(
        file=row["file"],
        subject=subject,
        animation=row["animation"],
        verbs={language: row[f"action_{language}"] for language in LANGUAGES},
    )


def written_motions(source: str) -> dict[str, dict[str, str]]:
    """Code point -> what its animation does, in English and Italian, as somebody saw it; `source`
    is "fluent" or "noto".
    """
    return {
        plain_code(row["codepoint"]): motion_of(row)
        for row in caption_rows(source)
        if published(row)
    }


def published(row: dict[str, str]) -> bool:
    """Whether an animation is in its maker's own repository; only the table of 3D ones asks."""
    return row.get("in_microsoft_repo", "1") == "1"


def motion_of(row: dict[str, str]) -> dict[str, str]:
    """What a row says of a sticker's motion, by language."""
    return {"en": row["motion_en"], "it": row["motion_it"]}
