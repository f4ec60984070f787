"""`lumiere data world render-toys`: the actions of animated 3D toys, rendered by Blender.

Blender is a tool of another licence (GPL), so it is a Python of its own with the package `bpy`,
which is
started for each file and never imported here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from openlumiere.media.write import write_whole
from openlumiere_world.toys.glb import check_model
from openlumiere_world.toys.subjects import Action, toy_actions

VIEWS = ("side", "quarter", "front")
TABLE = "actions.csv"
MODELS = "glb"
SCRIPT = Path(__file__).with_name("blender.py")


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """How many views of actions there are in a folder, those that could not be rendered, as
    `action/view`, and why, in a line a file.
    """

    views: int
    missing: tuple[str, ...]
    reasons: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people."""
        said = [f"{self.views} views of toys are rendered", *self.reasons]
        if self.missing:
            said.append(f"{len(self.missing)} could not be: {', '.join(self.missing)}")
        return said


def render_toys(
    folder: Path,
    out: Path,
    blender: Path,
    views: Sequence[str] = VIEWS,
    keys: set[str] | None = None,
) -> Rendered:
    """Render what is missing in `out` of the actions that `folder/actions.csv` names of the files
    in `folder/glb`, of all subjects or those with these `keys`: `ACTION/VIEW/000.png ...` and
    `facts.json`, straight RGBA, 128 pixels. The table is copied to `out`, which is then complete.

    `blender` is a Python that has `bpy`.

    Raises:
        ValueError: a folder without table or models, an unknown view, or no such Python.
    """
    actions = [each for each in open_actions(folder) if keys is None or each.subject.key in keys]
    check_views(views)
    check_blender(blender)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / TABLE, lambda made: shutil.copyfile(folder / TABLE, made))
    files = sorted({action.file for action in actions})
    reasons = []
    for file in tqdm(files, desc="toys", unit="file", disable=None):
        wanted = [action for action in actions if action.file == file]
        if missing_views(wanted, out, views):
            reasons.append(render_file(folder / MODELS / file, wanted, out, blender, views))
    missing = missing_views(actions, out, views)
    return Rendered(
        views=len(actions) * len(views) - len(missing),
        missing=missing,
        reasons=tuple(filter(None, reasons)),
    )


def missing_views(actions: Sequence[Action], out: Path, views: Sequence[str]) -> tuple[str, ...]:
    """The views that are not complete, as `action/view`."""
    every = [f"{action.name}/{view}" for action in actions for view in views]
    return tuple(name for name in every if not (out / name / "facts.json").is_file())


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
) -> str:
    """Start Blender for the actions of one file, unless the file can't be rendered. Answers what
    was wrong, empty where nothing was.
    """
    try:
        check_model(model, [action.animation for action in actions])
    except ValueError as error:
        return str(error)
    job = [
        {"name": action.name, "animation": action.animation, "views": list(views)}
        for action in actions
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        command = [str(blender), str(SCRIPT), str(model), file.name, str(out)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    reason = (done.stderr.strip().splitlines() or ["no reason"])[-1]
    return f"{model.name}: Blender ended with: {reason}" if done.returncode else ""
