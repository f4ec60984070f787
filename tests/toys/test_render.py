"""Rendering toys: what is refused before and after Blender, and that a stopped run goes on. Blender
itself is played by a script.
"""

import json
import stat
import sys
from pathlib import Path

import pytest

from openlumiere_world.toys.render import main, refusals
from openlumiere_world.toys.subjects import LANGUAGES, toy_actions

SHARED = Path(__file__).parents[3] / "shared/data/toys/actions.csv"
PLAYED = """#!{python}
import json, pathlib, sys
if sys.argv[1] == "-c":
    sys.exit(0)
_, glb, job, out = sys.argv[1:]
for action in json.loads(pathlib.Path(job).read_text()):
    if action["animation"] == "Broken":
        print("FAILED", pathlib.Path(glb).name, action["name"] + ": no skin")
        continue
    folder = pathlib.Path(out) / action["name"] / action["views"][0]
    folder.mkdir(parents=True)
    (folder / "facts.json").write_text("{{}}")
    with open(pathlib.Path(out) / "calls.txt", "a") as calls:
        calls.write(folder.parent.name + " " + folder.name + "\\n")
"""


@pytest.fixture
def room(tmp_path):
    """A table of two actions, their file, and a Blender that only says that it drew."""
    columns = [
        "file",
        "animation",
        *[f"subject_{name}" for name in LANGUAGES],
        *[f"action_{name}" for name in LANGUAGES],
    ]
    rows = [
        ["Fox.glb", clip, *["fox"] * 5, *[verb] * 5]
        for clip, verb in (("Walk", "walks"), ("Broken", "breaks"))
    ]
    (tmp_path / "actions.csv").write_text("\n".join(",".join(row) for row in [columns, *rows]))
    (tmp_path / "Fox.glb").write_bytes(b"glTF")
    player = tmp_path / "python"
    player.write_text(PLAYED.format(python=sys.executable))
    player.chmod(player.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "out").mkdir()
    return tmp_path


def render(room, **options):
    main(
        **{
            "glb": room,
            "table": room / "actions.csv",
            "out": room / "out",
            "blender": room / "python",
        }
        | options
    )


def test_each_view_is_rendered_once_however_often_it_is_run(room):
    render(room, views=("quarter",))
    render(room, views=("quarter", "side"))
    assert (room / "out/calls.txt").read_text().split("\n")[:-1] == [
        "fox-walks quarter",
        "fox-walks side",
    ]


def test_what_blender_refuses_is_named(room, capsys):
    render(room, views=("side",))
    assert "Fox.glb fox-breaks: no skin" in capsys.readouterr().err


def test_a_missing_blender_says_how_to_get_it(room):
    with pytest.raises(ValueError, match="pip install bpy==5.0.1"):
        render(room, blender=room / "nothing")


def test_a_missing_file_is_named(room):
    (room / "Fox.glb").unlink()
    with pytest.raises(ValueError, match="expected Fox.glb"):
        render(room)


def test_refusals_are_read_from_what_blender_prints():
    assert refusals("DONE a quarter 3\nFAILED b.glb c: why\nother") == ["b.glb c: why"]


@pytest.mark.skipif(not SHARED.is_file(), reason="the shared table of actions is not here")
def test_the_shared_table_has_every_action_under_a_name_of_its_own():
    actions = toy_actions(SHARED)
    assert len(actions) == len({action.name for action in actions}) == 303
    assert all(action.verbs.keys() == set(LANGUAGES) for action in actions)
    assert json.dumps([action.subject.names for action in actions])
