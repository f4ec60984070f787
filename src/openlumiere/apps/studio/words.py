"""The page's words in English and Italian."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

LANGUAGES = {"en": "English", "it": "Italiano"}
Say = Callable[[str], str]


def words(language: str) -> Say:
    """What turns an English text into one of the language; what is not in the table stays."""
    return partial(said, language)


def said(language: str, text: str) -> str:
    """See `words`."""
    return ITALIAN.get(text, text) if language == "it" else text


ITALIAN: dict[str, str] = {}
