"""`lumiere data world render-toys`: the actions of animated 3D toys, rendered by Blender.

Blender is a tool of another licence (GPL), so it is a Python of its own with the package `bpy`,
which is
started for each file and never imported here.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from openlumiere_world.toys.subjects import Action, toy_actions

VIEWS = ("side", "quarter", "front")
TABLE = "actions.csv"
MODELS = "glb"
SCRIPT = Path(__file__).with_name("blender.py")


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """How many views of actions there are in a folder, and those that could not be rendered, as
    `action/view`.
    """

    views: int
    missing: tuple[str, ...]


def render_toys(folder: Path, out: Path, blender: Path, views: Sequence[str] = VIEWS) -> Rendered:
    """Render what is missing in `out` of the actions that `folder/actions.csv` names of the files
    in `folder/glb`: `ACTION/VIEW/000.png ...` and `facts.json`, straight RGBA, 128 pixels.

    `blender` is a Python that has `bpy`.

    Raises:
        ValueError: a folder without table or models, an unknown view, or no such Python.
    """
    actions = open_actions(folder)
    check_views(views)
    check_blender(blender)
    out.mkdir(parents=True, exist_ok=True)
    files = sorted({action.file for action in actions})
    for file in tqdm(files, desc="toys", unit="file", disable=None):
        wanted = [action for action in actions if action.file == file]
        render_file(folder / MODELS / file, wanted, out, blender, views)
    every = [f"{action.name}/{view}" for action in actions for view in views]
    missing = tuple(name for name in every if not (out / name / "facts.json").is_file())
    return Rendered(views=len(every) - len(missing), missing=missing)


def open_actions(folder: Path) -> list[Action]:
    """The actions whose models are there. Raises ValueError for none."""
    if not (folder / TABLE).is_file() or not (folder / MODELS).is_dir():
        raise ValueError(
            f"toys: expected {TABLE} and a folder {MODELS} in {folder}, got something else, unpack"
            " the models there"
        )
    actions = toy_actions(folder / TABLE)
    found = [action for action in actions if (folder / MODELS / action.file).is_file()]
    if not found:
        raise ValueError(
            f"toys: expected the models that {TABLE} names, got none of them in {folder / MODELS},"
            " unpack them there"
        )
    return found


def check_views(views: Sequence[str]) -> None:
    """Raise ValueError for a view that there is not."""
    for view in views:
        if view not in VIEWS:
            raise ValueError(
                f"views: expected some of {', '.join(VIEWS)}, got {view!r}, choose among these"
            )


def check_blender(blender: Path) -> None:
    """Raise ValueError for a Python that is none, or has no Blender in it."""
    command = [str(blender), "-c", "import bpy"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        reason = error.strerror
    else:
        reason = (done.stderr.strip().splitlines() or ["an error"])[-1] if done.returncode else ""
    if reason:
        raise ValueError(
            f"blender: expected a Python with the package bpy, got {reason} from {blender}, make a"
            " virtual environment for it: pip install bpy"
        )


def render_file(
    model: Path, actions: Sequence[Action], out: Path, blender: Path, views: Sequence[str]
) -> None:
    """Start Blender for the actions of one file. What it can't render is missing afterwards."""
    job = [
        {"name": action.name, "animation": action.animation, "views": list(views)}
        for action in actions
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        command = [str(blender), str(SCRIPT), str(model), file.name, str(out)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
