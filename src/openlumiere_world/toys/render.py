"""Rendering toys with Blender: every action of every glb file from a few views, as loops of
transparent frames.

    python -m openlumiere_world.toys.render --glb GLB_DIR --table ACTIONS.csv --out FRAMES \\
        --blender BLENDER/bin/python

Blender is a tool in an environment of its own (Python 3.11, `pip install bpy==5.0.1 "numpy<2"`;
GPL), never imported here. What is whole is not rendered again, so a stopped run goes on. About 0.1
s a frame, some twenty frames a loop.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tyro

from openlumiere_world.toys.subjects import Action, toy_actions

VIEWS = ("quarter", "side", "front")  # the first of everything comes first
SCRIPT = Path(__file__).with_name("blender.py")
HOW = (
    "do: python3.11 -m venv blender && blender/bin/pip install bpy==5.0.1 'numpy<2', "
    "then --blender blender/bin/python"
)


def main(glb: Path, table: Path, out: Path, blender: Path, views: tuple[str, ...] = VIEWS) -> None:
    """Render what is missing; files that can't be rendered are named at the end. Raises ValueError
    without Blender, or a file.
    """
    actions = toy_actions(table)
    check_blender(blender)
    check_files(glb, actions)
    refused = [said for view in views for said in render_view(glb, actions, view, out, blender)]
    for said in dict.fromkeys(refused):
        print(f"lumiere: {said}", file=sys.stderr)


def check_blender(blender: Path) -> None:
    """Whether that Python has Blender in it."""
    try:
        found = (
            subprocess.run(
                [blender, "-c", "import bpy"], capture_output=True, timeout=120
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        found = False
    if not found:
        raise ValueError(f"blender: expected a Python with bpy, got {blender}, {HOW}")


def check_files(glb: Path, actions: list[Action]) -> None:
    for file in dict.fromkeys(action.file for action in actions):
        if not (glb / file).is_file():
            raise ValueError(
                f"toys: expected {file} in {glb}, got none, "
                "unpack the toys there or take its rows out of the table"
            )


def render_view(
    glb: Path, actions: list[Action], view: str, out: Path, blender: Path
) -> Iterator[str]:
    """Render one view of everything, a file at a time; answers what was refused."""
    for file, jobs in by_file(actions).items():
        missing = [job for job in jobs if not is_whole(out, job.name, view)]
        if missing:
            yield from render_file(glb / file, missing, view, out, blender)


def by_file(actions: list[Action]) -> dict[str, list[Action]]:
    found: dict[str, list[Action]] = {}
    for action in actions:
        found.setdefault(action.file, []).append(action)
    return found


def is_whole(out: Path, name: str, view: str) -> bool:
    return (out / name / view / "facts.json").is_file()


def render_file(
    file: Path, actions: list[Action], view: str, out: Path, blender: Path
) -> list[str]:
    """Run Blender on one file. What it can't do is answered by name, one line each."""
    job = [
        {"name": action.name, "animation": action.animation, "views": [view]} for action in actions
    ]
    with tempfile.TemporaryDirectory() as room:
        told = Path(room) / "job.json"
        told.write_text(json.dumps(job))
        run = subprocess.run([blender, SCRIPT, file, told, out], capture_output=True, text=True)
    refused = refusals(run.stdout)
    if run.returncode and not refused:
        refused = [f"{file.name}: {last_line(run.stderr)}"]
    print(
        f"{file.stem} {view}: {len(actions) - len(refused)} of {len(actions)} actions", flush=True
    )
    return refused


def refusals(text: str) -> list[str]:
    return [
        line.removeprefix("FAILED ") for line in text.splitlines() if line.startswith("FAILED ")
    ]


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "Blender ended without a word"


if __name__ == "__main__":
    tyro.cli(main)
