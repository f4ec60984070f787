"""The README's rows come from the same models as the commands: each is read by them as written."""

import re
import shlex
from pathlib import Path

import pytest

from openlumiere.apps.cli import MADE, VERBS
from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.forms import form_of
from openlumiere.apps.cli.make import description, task_of

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ROWS = sorted(set(re.findall(r"`(lumiere [a-z-]+ [^`]*)`", README)))
TASKS = [row for row in ROWS if row.split()[1] in MADE]


def test_every_task_has_a_row():
    assert {row.split()[1] for row in TASKS} == set(MADE)
    assert {row.split()[1] for row in ROWS} <= set(VERBS)
    assert README.count("\n") < 150


@pytest.mark.parametrize("row", TASKS)
def test_a_row_is_a_task(row, tmp_path, monkeypatch):
    """What it names lies in the folder; nothing is opened yet."""
    verb, *words = shlex.split(row)[1:]
    monkeypatch.chdir(tmp_path)
    for word in words:
        if re.fullmatch(r"[a-z]+\.(png|mp4)", word):
            Path(word).touch()
    form = parse(form_of(verb), words, verb, description=description(verb))
    task = task_of(verb, form)
    assert task.kind == verb
    assert form.written.output == words[words.index("-o") + 1]
