"""What a model learns of a part of the world, in words: the file `knows.json` of its folder.

The words of captions, as the grammar has them, and their synonyms (`synonyms.csv`), which no
caption has: the text encoder places them near the words of captions. How well a model draws each
has not been measured.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from importlib.resources import files

from openlumiere.models.knows import Knows
from openlumiere_world.backgrounds import COLOURS, SCENES
from openlumiere_world.grammar import GRAMMARS, NOUNS, Language
from openlumiere_world.motions import MOTIONS
from openlumiere_world.names import LANGUAGES, without_tone
from openlumiere_world.scope import SPEEDS, STYLES, Scope, within

SYNONYMS = "synonyms.csv"
SMALL = "small"
Words = dict[str, list[str]]  # language -> words, first the one that names it


def known_words(scope: Scope) -> Knows:
    """What captions of this part of the world say, and its synonyms."""
    return Knows(
        subjects={NOUNS[each]["en"].one: subject_words(each) for each in nouns_of(scope)},
        actions={each: action_words(each) for each in within(scope.motions, MOTIONS)},
        speeds={each: speed_words(each) for each in spoken_speeds(scope)},
        colours={each: colour_words(each) for each in within(scope.backgrounds, COLOURS)},
        grounds={each: ground_words(each) for each in within(scope.backgrounds, SCENES)},
        styles={each: style_words(each) for each in within(scope.styles, STYLES)},
        small=small_words(),
        plain_grounds=not within(scope.backgrounds, ("gradient", *SCENES)),
    )


def nouns_of(scope: Scope) -> tuple[str, ...]:
    """The everyday subjects of a scope that have nouns."""
    return within(scope.subjects, NOUNS)


def subject_words(subject: str) -> Words:
    """Nouns of a subject; a black cat is a cat, too."""
    kinds = dict.fromkeys((subject, subject.partition("-")[0], without_tone(subject)))
    nouns = [NOUNS[each] for each in kinds if each in NOUNS]
    return {
        language: [
            *(word for noun in nouns for word in (noun[language].one, noun[language].many)),
            *synonyms("subject", subject, language),
        ]
        for language in LANGUAGES
    }


def action_words(motion: str) -> Words:
    """Verbs of a motion, of one and of several."""
    return {
        language: [
            *without_partner(grammar.motions[motion].one + grammar.motions[motion].many),
            *synonyms("action", motion, language),
        ]
        for language, grammar in GRAMMARS.items()
    }


def without_partner(verbs: Iterable[str]) -> list[str]:
    """Verb phrases without the place of a second subject."""
    return [" ".join(verb.replace("{b}", "").split()) for verb in verbs]


def spoken_speeds(scope: Scope) -> tuple[str, ...]:
    """Speeds that captions speak of."""
    return tuple(each for each in within(scope.speeds, SPEEDS) if each in GRAMMARS["en"].speeds)


def speed_words(speed: str) -> Words:
    """Adverbs of a speed."""
    return {
        language: [*grammar.speeds[speed], *synonyms("speed", speed, language)]
        for language, grammar in GRAMMARS.items()
    }


def colour_words(colour: str) -> Words:
    """A colour as adjective and noun, in its forms."""
    return {
        language: [
            grammar.colours[colour],
            grammar.colour_names.get(colour, grammar.colours[colour]),
            *synonyms("colour", colour, language),
        ]
        for language, grammar in GRAMMARS.items()
    }


def ground_words(ground: str) -> Words:
    """Phrases for a scene."""
    return {
        language: [*grammar.scenes[ground], *synonyms("ground", ground, language)]
        for language, grammar in GRAMMARS.items()
    }


def style_words(style: str) -> Words:
    """Phrases for a style."""
    return {
        language: [grammar.styles[style], *synonyms("style", style, language)]
        for language, grammar in GRAMMARS.items()
    }


def small_words() -> Words:
    """By language: words that name nothing that is drawn, and those of plain backgrounds."""
    return {
        language: [*synonyms(SMALL, "", language), *plain_words(grammar)]
        for language, grammar in GRAMMARS.items()
    }


def plain_words(grammar: Language) -> list[str]:
    """The words around a colour in `on a {colour} background`."""
    phrases = [*grammar.plain, *grammar.picture_orders]
    slots = {name: "" for name in ("colour", "subject", "behind")}
    return [word for phrase in phrases for word in phrase.format(**slots).split()]


def synonyms(part: str, what: str, language: str) -> list[str]:
    """What stands in the table."""
    return [
        word
        for row in rows()
        if (row["part"], row["what"], row["language"]) == (part, what, language)
        for word in row["words"].split("|")
    ]


def rows() -> list[dict[str, str]]:
    """The table of synonyms."""
    text = files(__package__).joinpath(SYNONYMS).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))
