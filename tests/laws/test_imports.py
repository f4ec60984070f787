"""Imports point one way, down the floors that docs/architecture.md draws."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "openlumiere"
FLOORS = [
    {"apps"},
    {"engine", "train", "quality"},
    {"backbones", "safety", "provenance", "data"},
    {"models", "diffusion"},
    {"tasks", "contract", "media", "settings"},
]
SIDEWAYS = {
    (
        "train",
        "engine",
    ),  # a trained net is saved in the pipeline's layout, and samples are made by it
    ("engine", "quality"),  # mending repairs what the search for defects finds
}
NEVER = {("engine", "data")}  # what is generated comes out of the net


def module_name(path: Path) -> str:
    parts = ["openlumiere", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCE.rglob("*.py")}


def imports_of(name: str, path: Path) -> set[str]:
    """Modules of ours that a file imports, wherever in it the import stands; a name may be a module
    of a package.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {module for module in found if module in MODULES}


ARROWS = {name: imports_of(name, path) for name, path in MODULES.items()}


def room(module: str) -> str:
    return [*module.split("."), ""][1]


def floor(name: str) -> int:
    return next(index for index, rooms in enumerate(FLOORS) if name in rooms)


def allowed(above: str, below: str) -> bool:
    """Whether one room may import another."""
    if above == below:
        return True
    return (above, below) not in NEVER and (
        floor(above) < floor(below) or (above, below) in SIDEWAYS
    )


def reached(start: str) -> set[str]:
    """Everything that importing a module imports, packages on the way included."""
    seen, open_ = set(), [start]
    while open_:
        name = open_.pop()
        if name not in seen:
            seen.add(name)
            open_ += [*ARROWS[name], *([name.rpartition(".")[0]] if "." in name else [])]
    return seen


def test_every_file_lives_in_a_room():
    assert {room(name) for name in MODULES} - {""} <= set.union(*FLOORS)
    assert len(MODULES) > 40


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"openlumiere"}))
def test_imports_point_down(name):
    wrong = [
        module
        for module in ARROWS[name]
        if module != "openlumiere" and not allowed(room(name), room(module))
    ]
    assert not wrong, f"{name} imports {wrong}"


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("models", "diffusion"),
        ("diffusion", "models"),
        ("media", "models"),
        ("engine", "data"),
        ("engine", "train"),
        ("engine", "apps"),
        ("data", "train"),
        ("quality", "engine"),
        ("tasks", "models"),
        ("contract", "media"),
    ],
)
def test_the_law_refuses(above, below):
    assert not allowed(above, below)


@pytest.mark.parametrize("verb", ["make", "doctor"])
def test_what_is_generated_comes_out_of_the_net(verb):
    """No path from the command to the pictures that nets are trained on."""
    modules = reached(f"openlumiere.apps.cli.{verb}")
    assert "openlumiere.models.stunet" in modules
    assert not [name for name in modules if room(name) in ("data", "train")]


def test_the_search_follows_paths():
    assert "openlumiere.media.clip" in reached("openlumiere.apps.cli.train")


WORLD = sorted((SOURCE.parent / "openlumiere_world").rglob("*.py"))


def test_only_the_apps_know_the_world():
    """The sticker world is a package beside the engine: commands open it, nothing else does."""
    named = {
        name for name, path in MODULES.items() if "openlumiere_world" in path.read_text("utf-8")
    }
    assert {room(name) for name in named} <= {"apps"}


def test_the_world_does_not_know_the_apps():
    assert WORLD and not [path for path in WORLD if "openlumiere.apps" in path.read_text("utf-8")]
