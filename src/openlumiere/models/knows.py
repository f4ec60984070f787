"""What a model was trained to draw, in words, and what of a prompt lies beyond it.

A model's folder says it in `knows.json`: subjects, actions, speeds, colours, grounds and styles,
each by the words that name it in every language of its captions; or of subjects alone, in
`subjects.json`. A prompt is read in the language
of which it has most words; nouns of subjects count in every language. Our choice throughout.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from openlumiere.models.e5 import bundled_encoder
from openlumiere.models.folder import ModelError, read_json

KNOWS = "knows.json"
SUBJECTS = "subjects.json"
PARTS = ("subjects", "actions", "speeds", "colours", "grounds", "styles")
NEAR = 0.3  # cosine of two words that mean alike; of unlike ones it is mostly below (measured)
SPELT_ALIKE = 0.8  # of difflib's ratio
WORD = re.compile(r"[^\W_]+")
ADJECTIVE_FIRST = ("en", "de")  # languages in which a colour stands before its noun

Words = dict[str, list[str]]  # language -> words or phrases, first the one that names it
Names = dict[str, Words]
Phrase = tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """A word of a prompt, as it is written, as it is compared, and where it stands."""

    text: str
    folded: str
    start: int
    end: int


@dataclass(frozen=True)
class Beyond:
    """What of some prompts a model does not know: the words, those that it knows and that come
    nearest, and whether it knows any subject among them.
    """

    words: tuple[str, ...]
    nearest: dict[str, str]
    names_subject: bool


class Knows(BaseModel):
    """The words of everything that a model was trained on. `small` are words that name nothing;
    where there are none, only subjects are known, and other words are not judged.
    `plain_grounds`: its pictures stand before one colour.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    subjects: Names
    actions: Names = {}
    speeds: Names = {}
    colours: Names = {}
    grounds: Names = {}
    styles: Names = {}
    small: Words = {}
    plain_grounds: bool = False

    def beyond(self, prompts: Iterable[str]) -> Beyond:
        """What these prompts, of one task, ask for and the model does not know."""
        lines = [words_of(prompt) for prompt in prompts]
        languages = self.languages_of([word for line in lines for word in line])
        says_all = bool(self.small)
        unknown = [word for line in lines if says_all for word in self.unknown(line, languages)]
        words = tuple(dict.fromkeys(unknown))
        nearest = self.nearest(words, languages[0]) if words else {}
        named = any(self.subjects_in(line) for line in lines)
        return Beyond(words=words, nearest=nearest, names_subject=named)

    def names_subject(self, prompt: str) -> bool:
        """Whether a prompt names a subject that the model knows."""
        return bool(self.subjects_in(words_of(prompt)))

    def languages_of(self, line: list[Said]) -> list[str]:
        """The languages that have most of these words: one, or all that have as many."""
        counts = {
            language: sum(word.folded in known for word in line)
            for language, known in self.vocabulary.items()
        }
        most = max(counts.values(), default=0)
        return [language for language, count in counts.items() if count == most]

    def unknown(self, line: list[Said], languages: list[str]) -> list[str]:
        """The words of a prompt that nothing names in these languages, in their order."""
        known = set.union(set(), *(self.vocabulary[language] for language in languages))
        subjects = self.subjects_in(line)
        taken = {at for start, end in subjects for at in range(start, end)}
        found = {
            at: word.text
            for at, word in enumerate(line)
            if at not in taken and word.folded not in known and not word.text.isdigit()
        }
        for start, end in subjects:
            found |= self.coloured(line, start, end, languages)
        return [found[at] for at in sorted(found)]

    def coloured(
        self, line: list[Said], start: int, end: int, languages: list[str]
    ) -> dict[int, str]:
        """A subject in a colour of its own, such as `green cat`: colours are of grounds."""
        first = any(language in ADJECTIVE_FIRST for language in languages)
        at = start - 1 if first else end
        if not 0 <= at < len(line) or line[at].folded not in self.colour_words:
            return {}
        pair = sorted((line[start if first else end - 1], line[at]), key=lambda word: word.start)
        apart = pair[1].start - pair[0].end != 1
        named = self.subject_phrases[tuple(word.folded for word in line[start:end])]
        if apart or self.colour_words[line[at].folded] in self.colours_of(named):
            return {}
        return {at: f"{pair[0].text} {pair[1].text}"}

    def colours_of(self, subject: str) -> set[str]:
        """Colours that are in a subject's own name, such as black in black cat."""
        words = {
            folded for phrase in phrases({subject: self.subjects[subject]}) for folded in phrase
        }
        return {self.colour_words[word] for word in words if word in self.colour_words}

    def subjects_in(self, line: list[Said]) -> list[tuple[int, int]]:
        """Where a prompt names subjects, longest names first: index of the first word, and of the
        word behind the last.
        """
        found: list[tuple[int, int]] = []
        at = 0
        while at < len(line):
            ends = range(min(len(line), at + self.longest), at, -1)
            folded = [word.folded for word in line]
            end = next((end for end in ends if tuple(folded[at:end]) in self.subject_phrases), at)
            if end > at:
                found.append((at, end))
            at = max(end, at + 1)
        return found

    def nearest(self, words: tuple[str, ...], language: str) -> dict[str, str]:
        """For each of these words the known one that is spelt or means nearly the same, if any."""
        names = self.names_in(language)
        spelt = {word: get_close_matches(word.casefold(), names, 1, SPELT_ALIKE) for word in words}
        found = {word: close[0] for word, close in spelt.items() if close}
        others = [word for word in words if word not in found]
        return found | meant_alike(others, self.names_in(language, ("subjects", "actions")))

    def names_in(self, language: str, parts: tuple[str, ...] = PARTS) -> list[str]:
        """What the model knows, each by the word that names it in a language."""
        found: list[Words] = [words for part in parts for words in getattr(self, part).values()]
        words = [word[language][0] for word in found if language in word]
        return list(dict.fromkeys(words))

    @cached_property
    def vocabulary(self) -> dict[str, set[str]]:
        """By language every word that is known, compared as `words_of` folds them."""
        known: dict[str, set[str]] = {}
        for names in (
            *(name for part in PARTS for name in getattr(self, part).values()),
            self.small,
        ):
            for language, words in names.items():
                known.setdefault(language, set()).update(
                    said.folded for word in words for said in words_of(word)
                )
        return known

    @cached_property
    def subject_phrases(self) -> dict[Phrase, str]:
        """Every name of a subject in every language, and whose it is."""
        return {
            phrase: subject
            for subject, words in self.subjects.items()
            for phrase in phrases({subject: words})
        }

    @cached_property
    def longest(self) -> int:
        """Words of the longest name of a subject."""
        return max(map(len, self.subject_phrases), default=0)

    @cached_property
    def colour_words(self) -> dict[str, str]:
        """Every word for a colour in every language, and the colour."""
        return {
            folded: colour
            for colour, words in self.colours.items()
            for phrase in phrases({colour: words})
            for folded in phrase
        }


def read_knows(folder: Path) -> Knows | None:
    """What a model's folder says of its training; None where it says nothing. Raises `ModelError`
    for anything else there.
    """
    name = KNOWS if (folder / KNOWS).is_file() else SUBJECTS
    if not (folder / name).is_file():
        return None
    written = read_json(folder / name)
    if name == SUBJECTS:
        written = {"subjects": {subject: {"any": words} for subject, words in written.items()}}
    try:
        return Knows.model_validate(written)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its table"
        expected = f"words by language in {name}"
        raise ModelError(expected, f"{where}: {first['msg']}", "write it again") from None


def as_lines(table: dict[str, Any]) -> str:
    """The text of `knows.json`, a line for each thing and language."""
    text = json.dumps(table, ensure_ascii=False, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda match: " ".join(match.group().split()), text) + "\n"


def words_of(text: str) -> list[Said]:
    """The words of a text, folded: small letters without accents."""
    return [
        Said(text=match.group(), folded=fold(match.group()), start=match.start(), end=match.end())
        for match in WORD.finditer(unicodedata.normalize("NFC", text))
    ]


def fold(word: str) -> str:
    """Small letters without accents."""
    if word.isascii():
        return word.casefold()
    letters = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")


def fold_text(text: str) -> str:
    """A text to look for phrases in: folded, with straight apostrophes and single spaces."""
    return " ".join(fold(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")).split())


def phrases(names: Names) -> list[Phrase]:
    """Every name as folded words."""
    texts = [text for words in names.values() for language in words.values() for text in language]
    return [tuple(said.folded for said in words_of(text)) for text in texts]


def meant_alike(words: list[str], names: list[str]) -> dict[str, str]:
    """For each word the name of nearest meaning, by the bundled text encoder, if it is near."""
    if not words or not names:
        return {}
    means = sentence_vectors([*names, *words])
    away = torch.nn.functional.normalize(means - means[: len(names)].mean(0), dim=1)
    cosines = away[len(names) :] @ away[: len(names)].T
    best = cosines.max(1)
    return {
        word: names[index]
        for word, cosine, index in zip(
            words, best.values.tolist(), best.indices.tolist(), strict=True
        )
        if cosine > NEAR
    }


def sentence_vectors(texts: list[str]) -> Float[Tensor, "n d"]:
    """The mean state of each text's tokens."""
    return torch.stack([bundled_encoder().hidden(text).mean(0) for text in texts])
