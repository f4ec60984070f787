from dataclasses import dataclass

import pytest
from tyro.conf import Positional

from openlumiere.apps.cli.arguments import first_sentence, parse


@dataclass(frozen=True, kw_only=True)
class Sing:
    """Sing a song."""

    song: Positional[str]
    """Which."""
    loud: int = 3
    """How loud."""


def test_words_become_a_dataclass():
    assert parse(Sing, ["yesterday", "--loud", "-7"], "sing") == Sing(song="yesterday", loud=-7)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["yesterday", "--shrill"],
            "sing: Unrecognized options: --shrill, see lumiere sing --help",
        ),
        (
            ["yesterday", "--loud", "much"],
            "sing: Error parsing --loud: .*'much', see lumiere sing --help",
        ),
        (
            ["yesterday", "--loud"],
            "sing: Missing value for argument '--loud'. Expected 1 values, see lumiere sing --help",
        ),
        ([], "sing: .* SONG|STR .*, see lumiere sing --help"),
        (
            ["yesterday", "--loud", "9" * 5000],
            "sing: Error parsing --loud: .{50,300}, see lumiere sing --help",
        ),
    ],
)
def test_mistakes_are_one_sentence(words, told):
    with pytest.raises(ValueError, match=told) as caught:
        parse(Sing, words, "sing")
    assert "\n" not in str(caught.value) and "──" not in str(caught.value)


FRAMED = """\x1b[31m╭─ Value error ───╮
│ Error parsing x │
│ in two rows.    │
│ ─────────────── │
│ For full help   │
╰─────────────────╯"""
ASCII = """
 Value error
 ---------------
  Error parsing x
  in two rows.
  -------------
  For full help
"""


@pytest.mark.parametrize("box", [FRAMED, ASCII], ids=["framed", "ascii"])
def test_the_sentence_in_a_box(box):
    assert first_sentence(box) == "Error parsing x in two rows"


def test_an_empty_box():
    assert first_sentence("") == "the arguments can't be read"


def test_help_ends_well(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(Sing, ["--help"], "sing")
    assert stopped.value.code == 0 and "How loud." in capsys.readouterr().out
