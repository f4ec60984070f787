"""Every target that docs/paper-map.md and the promises of docs/training.md name exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CELL = re.compile(r"`((?:[\w/]+)\.py)(?:::(\w+))?`")
ROWS = [
    line
    for line in (ROOT / "docs/paper-map.md").read_text().splitlines()
    if CELL.search(line) and line.startswith("|")
]
PROMISED = [
    cell
    for line in (ROOT / "docs/training.md").read_text().splitlines()
    if line.startswith("| R")
    for cell in CELL.findall(line)
]


def folder_of(path: str) -> str:
    """Where a row's path begins: tests, the world's package, or the engine's."""
    if path.startswith("tests/"):
        return "."
    return "src" if path.startswith("openlumiere_world/") else "src/openlumiere"


def names_in(file: Path) -> set[str]:
    """What a file defines at its top level."""
    tree = ast.parse(file.read_text())
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


@pytest.mark.parametrize("row", ROWS)
def test_targets_exist(row):
    targets = CELL.findall(row)
    assert len(targets) == 2, "a row names one place in the code and one test"
    for path, name in targets:
        file = ROOT / folder_of(path) / path
        assert file.is_file(), path
        assert not name or name in names_in(file), f"{path} has no {name}"


@pytest.mark.parametrize(("path", "name"), PROMISED)
def test_promises_of_training_name_their_tests(path, name):
    assert not name or name in names_in(ROOT / "tests" / path), f"{path} has no {name}"


def test_the_map_has_rows():
    assert len(ROWS) > 15 and len(PROMISED) > 10
