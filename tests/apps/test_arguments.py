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
        (["yesterday", "--lou", "3"], "sing: expected .*, got --lou, perhaps you meant --loud"),
        (["yesterday", "--shrill"], "sing: expected .*, got --shrill, see lumiere sing --help"),
        (["yesterday", "today"], 'sing: expected .*, got today, quote a prompt as "...", or see'),
        (["yesterday", "-x today"], "sing: expected .*, got -x today, write -- before"),
        (["-x"], r"sing: expected .*, got a mistake \(.*\), write -- before a prompt"),
        (["yesterday", "--loud", "much"], r"sing: expected .*, got a mistake \(.*'much'.*\), see"),
        (["yesterday", "--loud"], "Missing value for argument '--loud'. Expected 1 values"),
        ([], "sing: expected .*, got a mistake .* SONG|STR .*, see lumiere sing --help"),
        (["yesterday", "--loud", "9" * 5000], "Error parsing --loud: .{50,300}"),
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
