"""The page's words in English and Italian."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

LANGUAGES = {"en": "English", "it": "Italiano"}
Say = Callable[[str], str]


def words(language: str) -> Say:
    """What turns an English text into one of the language; what is not in the table stays."""
    return partial(said, language)


def said(language: str, text: str) -> str:
    """See `words`."""
    return italian().get(text, text) if language == "it" else text


@cache
def italian() -> dict[str, str]:
    """English text -> Italian."""
    file = Path(__file__).with_name("italian.json")
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found
