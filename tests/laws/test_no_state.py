"""A run leaves nothing behind: engine and diffusion assign attributes of new objects alone.

So threads may share one `Lumiere`. New is what `__init__` makes, and what a function has just made
by `copy`, `from_config` or by calling a class. What is computed once (`cached_property`) is no
assignment: it depends on nothing that a run brings.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "openlumiere"
FILES = sorted(path for room in ("engine", "diffusion") for path in (SOURCE / room).rglob("*.py"))
STARTS = ("__init__", "__post_init__")
MAKERS = ("copy", "deepcopy", "from_config", "own_copy")
SETTERS = ("setattr", "delattr", "__setattr__", "__delattr__")
FOR_ONE_RUN = {"VariancePreservingSolver", "FlowSolver"}  # classes of which every run makes its own


def targets(node: ast.AST) -> list[ast.expr]:
    """What a statement assigns to or deletes."""
    if isinstance(node, (ast.Assign, ast.Delete)):
        return list(node.targets)
    if isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.For, ast.NamedExpr)):
        return [node.target]
    return []


def name_of(called: ast.expr) -> str:
    """The last name of what is called."""
    return getattr(called, "attr", getattr(called, "id", ""))


def makes(value: ast.expr | None) -> bool:
    """Whether this is a call that makes an object."""
    if not isinstance(value, ast.Call):
        return False
    name = name_of(value.func)
    return name in MAKERS or name[:1].isupper()


def new_names(function: ast.AST) -> set[str]:
    """Local names that are bound to new objects, and to nothing else."""
    bound: dict[str, list[bool]] = {}
    for node in ast.walk(function):
        for target in targets(node):
            if isinstance(target, ast.Name):
                bound.setdefault(target.id, []).append(makes(getattr(node, "value", None)))
    return {name for name, made in bound.items() if all(made)}


def stored(tree: ast.AST, new: frozenset[str] = frozenset(), kind: str = "") -> Iterator[str]:
    """Each place that stores an attribute of what is not new, or calls what does."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from stored(node, new, node.name)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            own = {"self"} if node.name in STARTS or kind in FOR_ONE_RUN else set()
            yield from stored(node, frozenset(own | new_names(node)), kind)
        else:
            yield from stored_here(node, new)
            yield from stored(node, new, kind)


def stored_here(node: ast.AST, new: frozenset[str]) -> Iterator[str]:
    """What one statement stores."""
    if isinstance(node, ast.Call) and name_of(node.func) in SETTERS:
        if not is_new(node.args[0] if node.args else None, new):
            yield f"line {node.lineno}: {ast.unparse(node)}"
        return
    for part in (part for target in targets(node) for part in ast.walk(target)):
        if not isinstance(part, ast.Attribute) or isinstance(part.ctx, ast.Load):
            continue
        if not is_new(part.value, new):
            yield f"line {part.lineno}: {ast.unparse(part)}"


def is_new(owner: ast.expr | None, new: frozenset[str]) -> bool:
    """Whether this is the name of a new object."""
    return isinstance(owner, ast.Name) and owner.id in new


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nothing_is_stored_during_a_run(path):
    found = list(stored(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found


SOURCES = {
    "a model's attribute": ("def f(net):\n    net.scheduler = 1\n", 1),
    "one of several": ("def f(net):\n    a, net.b = 1, 2\n", 1),
    "added to": ("def f(net):\n    net.count += 1\n", 1),
    "deep": ("def f(self):\n    self.base.scheduler = 1\n", 1),
    "its own, later": ("class A:\n    def f(self):\n        self.x = 1\n", 1),
    "by name": ("def f(net):\n    setattr(net, 'x', 1)\n", 1),
    "in a loop": ("def f(net):\n    for net.x in range(3):\n        pass\n", 1),
    "taken away": ("def f(net):\n    del net.x\n", 1),
    "its own, at first": ("class A:\n    def __init__(self):\n        self.x = 1\n", 0),
    "another's, at first": ("class A:\n    def __init__(self, net):\n        net.x = 1\n", 1),
    "of a copy": ("def f(net):\n    own = copy.copy(net)\n    own.x = 1\n", 0),
    "of a new one": ("def f():\n    own = Net()\n    own.x = 1\n", 0),
    "of a name that was another's": ("def f(a):\n    o = a\n    o = Net()\n    o.x = 1\n", 1),
    "deep in a copy": ("def f(net):\n    own = copy.copy(net)\n    own.net.x = 1\n", 1),
    "an entry": ("def f(net):\n    x = net.table[0]\n    x[0] = net.y\n", 0),
}


@pytest.mark.parametrize("what", SOURCES)
def test_the_law_sees(what):
    source, expected = SOURCES[what]
    assert len(list(stored(ast.parse(source)))) == expected
