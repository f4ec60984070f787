"""What is written is used: no function, class or method is called by tests alone, or by nobody.

Vulture reads names, not types: a name counts as used if any line of the package, its benchmarks or
its examples uses it.
"""

from pathlib import Path

import pytest
import vulture

ROOT = Path(__file__).parents[2]
WHERE = [str(ROOT / folder) for folder in ("src", "benchmarks", "examples")]
KINDS = ("function", "class", "method", "property")
CALLED_BY_OTHERS = {
    "read_sidecar": "users who make a clip again (README)",
    "replay": "the same",
    "push_to_hub": "users who share a model (docs/models.md)",
    "__getattr__": "Python, for the package's lazy public names",
}


def unused(folders: list[str]) -> list[vulture.core.Item]:
    """Functions, classes and methods that no line uses."""
    search = vulture.Vulture(ignore_decorators=["@model_validator"])  # pydantic calls these
    search.scavenge(folders)
    return [item for item in search.get_unused_code(60) if item.typ in KINDS]


def test_everything_is_called():
    found = [item for item in unused(WHERE) if item.name not in CALLED_BY_OTHERS]
    assert not [f"{item.filename}:{item.first_lineno} {item.name}" for item in found]


@pytest.mark.parametrize("name", CALLED_BY_OTHERS)
def test_an_exception_is_still_one(name):
    """An entry that the package has come to use, or lost, is to be taken off the list."""
    assert name in {item.name for item in unused(WHERE)}


def test_what_nobody_calls_is_found(tmp_path):
    (tmp_path / "module.py").write_text("def used():\n    pass\n\n\ndef lonely():\n    used()\n")
    assert [item.name for item in unused([str(tmp_path)])] == ["lonely"]
