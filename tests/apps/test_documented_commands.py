"""Every command line of the README and of every page of docs is read as it is written, by its own
parser and, where it makes something, into its task. Those that train, prepare data or measure then
run until they lack a file or a folder of the reader's.

Not read here: `train --data SHARDS`, whose defaults come from the shards (`tests/train`). What is
only read: what takes a published model, a GPU or a network (docs/models.md), does not end
(`serve`), or takes minutes with the bundled weights; `tests/flows/test_how_to.py` runs the pages of
docs/how-to.
"""

import re
import shlex
from pathlib import Path

import pytest
import tyro

from openlumiere.apps.cli import MADE, main
from openlumiere.apps.cli import VERBS as CALLED
from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.forms import form_of
from openlumiere.apps.cli.make import description, task_of

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    str(page.relative_to(ROOT))
    for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))
    if page.parent.name != "decisions"
)
OPTIONAL = str.maketrans("[]", "  ")  # options in brackets are tried, too
VERBS = ("train", "data", "evaluate")


def commands():
    """`lumiere VERB ...` of every page, shell variables filled in."""
    found = {}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
        variables = dict(re.findall(r'^(\w)="([^"]*)"', text, flags=re.M))
        lines = re.findall(r"^\s*(?:\.venv/bin/)?(lumiere [a-z].*)$", text, flags=re.M)
        inside = re.findall(r"`(lumiere [a-z]+ [^`]* [^`]*)`", text)
        for line in lines + [each for each in inside if "..." not in each and "STAGE" not in each]:
            for name, value in variables.items():
                line = line.replace(f"${name}", value)
            words = shlex.split(line.translate(OPTIONAL), comments=True)[1:]
            if words[-1] == "...":
                words.pop()
            found[f"{page}: {' '.join(words)}"] = words
    return found


COMMANDS = commands()
STOPPED = {shown: words for shown, words in COMMANDS.items() if words[0] in VERBS}


class Read(Exception):
    """The words were read."""


def test_the_pages_show_commands():
    assert len(COMMANDS) > 80 and len(STOPPED) > 15
    assert {words[0] for words in COMMANDS.values()} == set(CALLED)


@pytest.mark.parametrize(
    "shown", [shown for shown, words in COMMANDS.items() if "--data" not in words]
)
def test_every_line_is_read_by_its_own_parser(shown, tmp_path, monkeypatch):
    """Files that it names lie in the folder; nothing is opened."""
    verb, *words = COMMANDS[shown]
    monkeypatch.chdir(tmp_path)
    for word in words:
        if re.fullmatch(r"[\w-]+\.(png|mp4|webp)", word):
            Path(word).touch()
    if verb in MADE:
        form = parse(form_of(verb), words, verb, description=description(verb))
        assert task_of(verb, form).kind == verb
        return
    reads = tyro.cli

    def read(*given, **how):
        reads(*given, **how)
        raise Read

    monkeypatch.setattr(tyro, "cli", read)
    with pytest.raises(Read):
        main([verb, *words])


@pytest.mark.parametrize("shown", STOPPED)
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
