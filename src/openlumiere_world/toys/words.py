"""What a model that learns the toy world knows, in words: the file `knows.json` of its folder.

The words of captions, the tags that Unicode's tables give few of the subjects
(`emojibase-data`), and the words that name nothing (`synonyms.csv` of the sticker world).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from openlumiere.models.knows import Knows, words_of
from openlumiere.tasks.values import WAYS
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.captions import WORDS
from openlumiere_world.toys.grounds import COLOURS, SCENES
from openlumiere_world.toys.moved import SAYS
from openlumiere_world.toys.pack import Item
from openlumiere_world.toys.scene import MOVES, kind_of
from openlumiere_world.toys.subjects import LANGUAGES, Subject, everyday_names, plain_code
from openlumiere_world.vocabulary import Words, small_words

SHARED = 3  # emoji that a tag may stand for
SHORTEST = 3  # letters of a tag
OWN = "own motion"
ARTICLES = frozenset("a an the un uno una il lo la une des dei ein eine".split())
FILLERS = {  # words of captions about view, camera and what falls
    "en": "seen side front camera pans pan zooms zoom follows left right up down out as falls",
    "it": "visto lato fronte telecamera panoramica zoom segue sinistra destra alto basso mentre",
    "es": "visto lado frente cámara panorámica zoom sigue izquierda derecha arriba abajo mientras",
    "fr": "vu côté face caméra panoramique zoom suit gauche droite haut bas pendant",
    "de": "gesehen Seite vorn Kamera schwenkt zoomt folgt links rechts oben unten heran heraus",
}


def known_words(cache: Cache, emojibase: Path) -> Knows:
    """What captions of a cache say, and tags of its subjects."""
    return Knows(
        subjects=named_subjects(cache, emojibase),
        actions={OWN: own_words(item for item in cache.items if kind_of(item) != "toy")}
        | toy_words(cache)
        | {move: move_words(move) for move in MOVES}
        | {picture_move(move): picture_words(move) for move in SAYS["en"].motions},
        colours={colour: colour_words(colour) for colour in COLOURS},
        grounds={ground: ground_words(ground) for ground in ("transparent", *SCENES)},
        styles=style_words(cache),
        small=fillers(),
    )


def named_subjects(cache: Cache, emojibase: Path) -> dict[str, Words]:
    """By English names; a toy and a sticker of one name are one subject."""
    tags = {language: rare_tags(cache, emojibase, language) for language in LANGUAGES}
    found: dict[str, Words] = {}
    for subject in cache.subjects.values():
        add_words(found.setdefault(subject.names["en"], {}), subject_words(subject, tags))
    return found


def add_words(known: Words, more: Words) -> None:
    """Those of each language that are not there yet."""
    for language, words in more.items():
        known[language] = list(dict.fromkeys([*known.get(language, ()), *words]))


def subject_words(subject: Subject, tags: dict[str, dict[str, list[str]]]) -> Words:
    """Its everyday names, then Unicode's, then tags, without articles."""
    everyday = everyday_names().get(subject.key, {})
    return {
        language: [
            *(bare(name) for name in everyday.get(language, ())),
            *filter(None, [subject.names.get(language)]),
            *tags[language].get(subject.key, ()),
        ]
        for language in LANGUAGES
    }


def bare(name: str) -> str:
    """A name without its article."""
    first, _, others = name.replace("un'", "un ").partition(" ")
    return others if first in ARTICLES and others else name


def rare_tags(cache: Cache, emojibase: Path, language: str) -> dict[str, list[str]]:
    """Key of a subject -> tags in a language that at most `SHARED` of Unicode's emoji have."""
    entries = json.loads((emojibase / language / "data.json").read_text(encoding="utf-8"))
    tags = {plain_code(entry["hexcode"]): entry.get("tags", []) for entry in entries}
    count = Counter(tag for each in tags.values() for tag in each)
    other = other_words(language)
    return {
        code: [tag for tag in tags.get(code, []) if count[tag] <= SHARED and names(tag, other)]
        for code in cache.subjects
    }


def names(tag: str, other: set[str]) -> bool:
    """Whether a tag can name a subject: it is a word, and stands for nothing else."""
    folded = [word.folded for word in words_of(tag)]
    return len(tag) >= SHORTEST and tag[0].isalpha() and not other.issuperset(folded)


def other_words(language: str) -> set[str]:
    """Words, folded, of colours, grounds, motions and of what names nothing."""
    words = WORDS[language]
    texts = [
        *words.colours.values(),
        *(ground for grounds in words.grounds.values() for ground in grounds),
        *(verb for verbs in words.moves.values() for verb in verbs),
        *fillers()[language],
    ]
    return {said.folded for text in texts for said in words_of(text)}


def own_words(items: Iterable[Item]) -> Words:
    """Phrases of the items' own motions."""
    found: Words = {}
    for item in items:
        add_words(found, {language: [text] for language, text in item.motion.items()})
    return found


def toy_words(cache: Cache) -> dict[str, Words]:
    """Verbs of the toys, by the English one."""
    found: dict[str, Words] = {}
    for item in cache.items:
        if kind_of(item) == "toy":
            add_words(found.setdefault(item.motion["en"], {}), own_words([item]))
    return dict(sorted(found.items()))


def move_words(move: str) -> Words:
    """Verbs of a motion."""
    return {language: list(words.moves[move]) for language, words in WORDS.items()}


def picture_move(move: str) -> str:
    """The name of what a part of a picture does."""
    return f"flow {move}" if move in WAYS else "nothing moves" if move == "still" else move


def picture_words(move: str) -> Words:
    """What is said of it."""
    return {language: list(says.motions[move]) for language, says in SAYS.items()}


def colour_words(colour: str) -> Words:
    """A colour's name."""
    return {language: [words.colours[colour]] for language, words in WORDS.items()}


def ground_words(ground: str) -> Words:
    """Phrases for a ground."""
    return {language: list(words.grounds[ground]) for language, words in WORDS.items()}


def style_words(cache: Cache) -> dict[str, Words]:
    """Phrases for the styles that a cache has."""
    styles = sorted({item.style for item in cache.items})
    return {
        style: {language: [words.styles[style]] for language, words in WORDS.items()}
        for style in styles
    }


def fillers() -> Words:
    """By language: words that name nothing that is drawn, those of cameras and of what falls."""
    small = small_words()
    return {
        language: [
            *small[language],
            *FILLERS[language].split(),
            *" ".join([*SAYS[language].pictures, *SAYS[language].before]).split(),
            *" ".join([words.gradient, *words.plain]).replace("{", " ").replace("}", " ").split(),
            *(word for text in words.effects.values() for word in text.split()),
        ]
        for language, words in WORDS.items()
    }
