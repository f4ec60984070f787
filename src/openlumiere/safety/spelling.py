"""Words that were spelt so as not to be read: apart, with digits, in letters of another script.

What is harmless stays as it is, or becomes something that no rule knows; each spelling is asked
beside the prompt itself, never instead of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

LOOKALIKES = str.maketrans(
    "авекмнорстухіѕјԁӏԛԝьɑıøđαβεηικνορτυχωγ",
    "abekmhopctyxisjdlqwbaiodabenikvoptuxwy",
)
DIGITS = str.maketrans("034578@$+69", "oeastbastbg")
ONE = "1!|"  # either an i or an l
UNITS = "yo|y|yr|yrs|th|st|nd|rd|s|k|d|fps|px|mm|cm|m|km|kg|g|h|x|ml|l|p|mp|x\\d+"
MEASURE = re.compile(rf"\d+({UNITS})?")
TOKEN = re.compile(r"[\w@$+|!]+")
APART = re.compile(r"(?<!\w)(?:\w[\s.\-_*·,/|]{1,2}){3,}\w(?!\w)")
BETWEEN = re.compile(r"[\s.\-_*·,/|]")
INSIDE = re.compile(r"(?<=\w)[.\-_*·'’]+(?=\w)")
MASKED = re.compile(r"\w*[*#]\w[\w*#]*|\w+[*#]+\w*")
REPEATED = re.compile(r"(\w)\1{2,}")
SHORTEST = 4  # letters of a word that is looked for inside a run without blanks


def plain(text: str) -> str:
    """Small letters without accents and invisible signs, one space between words."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    kept = (letter for letter in letters if unicodedata.category(letter) not in ("Mn", "Cf"))
    return " ".join("".join(kept).split())


def spellings(prompt: str, known: Collection[str]) -> list[str]:
    """What a prompt may be meant to say, `plain`, itself first; `known` are single words that are
    looked for where blanks or letters are missing.
    """
    first = plain(prompt)
    one_script = " ".join(_latin(token) for token in first.split())
    joined = _joined(one_script, known)
    shown = MASKED.sub(lambda mask: _unmasked(mask.group(), known), joined)
    digits = [_digits(shown, one) for one in "il"]
    calm = [REPEATED.sub(r"\1", text) for text in digits]
    closed = [INSIDE.sub("", text) for text in calm]
    return list(dict.fromkeys([first, one_script, joined, shown, *digits, *calm, *closed]))


def _latin(token: str) -> str:
    """A word that mixes scripts, or is all lookalikes, in Latin letters; others as they are."""
    changed = token.translate(LOOKALIKES)
    return changed if changed.isascii() else token


def _joined(text: str, known: Collection[str]) -> str:
    """Letters that stand apart, put together; known words in such a run get their blanks back."""
    return APART.sub(lambda run: _divided(BETWEEN.sub("", run.group()), known), text)


def _divided(run: str, known: Collection[str]) -> str:
    words = sorted((word for word in known if len(word) >= SHORTEST), key=len, reverse=True)
    inside = [word for word in words if word in run]
    if not inside:
        return run
    return re.sub("|".join(map(re.escape, inside)), lambda word: f" {word.group()} ", run).strip()


def _unmasked(token: str, known: Collection[str]) -> str:
    """`n*ked` as the first known word that fits."""
    fitting = re.compile(re.escape(token).replace(r"\*", r"\w").replace(r"\#", r"\w"))
    return next((word for word in known if fitting.fullmatch(word)), token)


def _digits(text: str, one: str) -> str:
    """Every word with digits for letters in letters; a 1 is the letter `one`."""
    return TOKEN.sub(lambda token: _letters(token.group(), one), text)


def _letters(token: str, one: str) -> str:
    """A word with digits for letters; sizes, ages and dates stay."""
    mixed = any(letter.isalpha() for letter in token) and not token.isalpha()
    if not mixed or MEASURE.fullmatch(token):
        return token
    inner = token.rstrip("!|")
    letters = inner.translate(DIGITS)
    return "".join(one if letter in ONE else letter for letter in letters)
