"""Every command that the pages of training, data and measures show is read as it is written: what
it then lacks is a file or a folder of the reader's, never an option.
"""

import re
import shlex
from pathlib import Path

import pytest

from openlumiere.apps.cli import main

ROOT = Path(__file__).parents[2]
NAMES = (
    "training",
    "world",
    "experiments",
    "how-to",
    "model-card",
    "long-clips",
    "models",
    "tasks",
    "trust",
)
PAGES = ("README.md", *(f"docs/{name}.md" for name in NAMES))
VERBS = ("train", "data", "evaluate")


def commands():
    """`lumiere VERB ...` of every page, shell variables filled in."""
    found = {}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
        variables = dict(re.findall(r'^(\w)="([^"]*)"', text, flags=re.M))
        for line in re.findall(r"^\s*(lumiere (?:train|data|evaluate) .*)$", text, flags=re.M):
            for name, value in variables.items():
                line = line.replace(f"${name}", value)
            words = shlex.split(line, comments=True)[1:]
            if words[-1] == "...":
                words.pop()
            found[f"{page}: {' '.join(words)}"] = words
    return found


COMMANDS = commands()


def test_the_pages_show_commands():
    assert len(COMMANDS) > 15
    assert {words[0] for words in COMMANDS.values()} == set(VERBS)


@pytest.mark.parametrize("shown", COMMANDS)
def test_a_command_is_read_as_it_is_written(shown, tmp_path, monkeypatch, capsys):
    words = COMMANDS[shown]
    monkeypatch.chdir(tmp_path)
    code = main([*words, *stopped_early(words)])
    error = capsys.readouterr().err
    assert code == 0 or ": expected " in error, error
    assert "see lumiere" not in error, error


def stopped_early(words):
    """What ends a command once its options are read: nothing is fetched, trained or measured
    here.
    """
    if words[:3] == ["data", "world", "build"]:
        return ["--workers", "0"]
    if words[0] == "train":
        return ["--dry-run"]
    if words[0] == "evaluate" and words[1] not in ("defects", "judge"):
        return ["--model", "missing"]
    return []
