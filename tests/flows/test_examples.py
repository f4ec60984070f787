"""Every example runs as it stands, on a tiny random model and few frames."""

import runpy
from pathlib import Path

import pytest

TASKS = ("animate", "cinemagraph", "inpaint", "mend", "outpaint", "restyle", "style")
FOLDER = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", TASKS)
def test_an_example_runs(tiny, tmp_path, name):
    make = runpy.run_path(str(FOLDER / f"{name}.py"), run_name="example")["make"]
    clip = make(tiny, tmp_path, steps=2, frames=6, **({"lessons": 2} if name == "style" else {}))
    assert len(clip) == 6 and clip.origin is not None and (tmp_path / f"{name}.mp4").is_file()


def test_every_task_has_an_example():
    assert set(TASKS) <= {path.stem for path in FOLDER.glob("*.py")}
