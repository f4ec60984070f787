import re
from dataclasses import dataclass
from typing import Literal

import pytest
from tyro.conf import Positional

from openlumiere.apps.cli import main
from openlumiere.apps.cli.arguments import first_sentence, parse


@dataclass(frozen=True, kw_only=True)
class Sing:
    """Sing a song."""

    song: Positional[str]
    """Which."""
    loud: int = 3
    """How loud."""
    voice: Literal["alto", "tenor"] | None = None
    """Who."""


def test_words_become_a_dataclass():
    assert parse(Sing, ["yesterday", "--loud", "-7"], "sing") == Sing(song="yesterday", loud=-7)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["yesterday", "--lou", "3"], "sing: expected .*, got --lou, perhaps you meant --loud"),
        (["yesterday", "--shrill"], "sing: expected .*, got --shrill, see lumiere sing --help"),
        (["yesterday", "today"], 'sing: expected .*, got today, quote a prompt as "...", or see'),
        (["yesterday", "-x today"], "sing: expected .*, got -x today, write -- before"),
        (["-x"], "sing: song: expected a value, got none, write -- before a prompt"),
        (["yesterday", "--loud", "much"], "sing: --loud: expected a whole number, got 'much', see"),
        (
            ["yesterday", "--voice", "tenr"],
            "sing: --voice: expected one of .*, got 'tenr', .* meant tenor",
        ),
        (["yesterday", "--voice", "x"], "sing: --voice: expected .*, got 'x', see lumiere sing"),
        (["yesterday", "--loud"], "sing: --loud: expected a value, got none, see lumiere"),
        ([], r"sing: expected STR \(Which\), got none, see lumiere sing --help"),
        (["yesterday", "--loud", "9" * 5000], "Error parsing --loud: .{50,300}"),
    ],
)
def test_mistakes_are_one_sentence(words, told):
    with pytest.raises(ValueError, match=told) as caught:
        parse(Sing, words, "sing")
    assert "\n" not in str(caught.value) and "──" not in str(caught.value)


def test_what_is_missing_is_named(capsys):
    assert main(["train", "image"]) == 2
    assert "train image: expected -o PATH, --run PATH (" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["gnerate", "a frog"], "generate"),
        (["train", "imag"], "image"),
        (["data", "world", "buid"], "world build"),
        (["data", "ingst"], "ingest"),
        (["evaluate", "wrold"], "world"),
        (["queue", "ad"], "add"),
        (["generate", "a", "-o", "a.mp4", "--sed", "3"], "--seed"),
        (["generate", "a", "--scheduler", "dpn++", "-o", "a.mp4"], "dpm++"),
        (["sticker", "a", "--for", "telegarm", "-o", "a"], "telegram"),
    ],
)
def test_the_nearest_verb_option_and_value_is_named(words, meant, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err.endswith(f"perhaps you meant {meant}\n")


@pytest.mark.parametrize(
    ("words", "verbs"),
    [
        (["restyle", "a.mp4", "p", "--keep", "exact"], "animate, inpaint, outpaint, mend, cinem"),
        (["restyle", "a.mp4", "p", "--keep=exact"], "animate, inpaint, outpaint, mend, cinem"),
        (["generate", "p", "--keyframe", "3=a.png"], r"animate\)"),
        (["queue", "add", "restyle", "a.mp4", "p", "--region", "0,0,1,1"], "inpaint, "),
    ],
)
def test_another_verbs_option_is_no_slip_of_the_fingers(words, verbs, capsys):
    assert main([*words, "-o", "b.mp4"]) == 2
    line = capsys.readouterr().err
    assert re.search(rf", leave it out \(it is an option of {verbs}", line)


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
