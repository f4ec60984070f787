"""The command and the Python that ask for the same task, to copy."""

from __future__ import annotations

import shlex
from fractions import Fraction
from typing import Any

from openlumiere.apps.cli.forms import NAMES, REPEATED, positional
from openlumiere.tasks import KINDS, Keyframe, Media, Region, Styling, Task
from openlumiere.tasks.base import Part
from openlumiere.tasks.values import memory

UNITS = ("GiB", "GB", "MiB", "MB", "KiB", "KB")


def command_of(task: Task, written: Any) -> str:
    """One line for a shell: `lumiere VERB ... -o OUT`."""
    first = [name for name, _, _ in positional(KINDS[task.kind])]
    words = [word for name in first for word in spelled(name, getattr(task, name))]
    if "image" in first and getattr(task, "image", None) is None:
        words.insert(0, "-")
    while words and not words[-1]:
        words.pop()
    options = ["-o", written.output]
    options += ["--lossless"] if written.lossless else []
    for name, value in changed(task).items():
        if name not in first:
            options += option_of(name, value)
    dashed = any(word.startswith("-") and len(word) > 1 for word in words)
    ordered = [*options, "--", *words] if dashed else [*words, *options]
    return shlex.join(["lumiere", task.kind, *ordered])


def python_of(task: Task, written: Any) -> str:
    """The same in Python."""
    kind = type(task).__name__
    found = {name: plain(value) for name, value in changed(task).items()}
    given = ", ".join(f"{name}={value!r}" for name, value in found.items())
    lossless = ", lossless=True" if written.lossless else ""
    save = f"save({written.output!r}{lossless})"
    return (
        "from openlumiere import Lumiere\n"
        f"from openlumiere.tasks import {kind}\n\n"
        f"task = {kind}({given})\n"
        f"Lumiere.from_pretrained().run(task).{save}\n"
    )


def changed(task: Task) -> dict[str, Any]:
    """Fields that are not at their defaults, those of parts laid flat."""
    found: dict[str, Any] = {}
    for name, field in type(task).model_fields.items():
        value = getattr(task, name)
        if isinstance(value, Part):
            found |= differing(value)
        elif name != "kind" and value != field.default:
            found[name] = value
    return found


def differing(part: Part) -> dict[str, Any]:
    """A part's fields that are not at their defaults."""
    fields = type(part).model_fields
    return {
        name: getattr(part, name)
        for name, field in fields.items()
        if getattr(part, name) != field.default
    }


def option_of(name: str, value: Any) -> list[str]:
    """One field as words of the command."""
    if name == "styles":
        return [
            word
            for each in value
            for word in ("--style", str(each.style), "--style-weight", f"{each.weight:g}")
        ]
    option = f"--{REPEATED.get(name, NAMES.get(name, name)).replace('_', '-')}"
    if isinstance(value, bool):
        return [option if value else f"--no-{option[2:]}"]
    return [word for text in spelled(name, value) for word in joined(option, text)]


def joined(option: str, text: str) -> list[str]:
    """An option and its value, in one word where the value begins with a dash."""
    return [f"{option}={text}"] if text.startswith("-") else [option, text]


def spelled(name: str, value: Any) -> list[str]:
    """A value as the command reads it, a word for each of several."""
    if value is None:
        return []
    if name == "to":
        return ["x".join(str(side) for side in value)]
    if name == "memory_limit":
        return [size_of(value)]
    if isinstance(value, tuple):
        return [word for each in value for word in spelled("", each)]
    if isinstance(value, Keyframe):
        return [f"{value.frame}={value.image}"]
    return [str(value)]


def size_of(count: int) -> str:
    """Bytes in the first unit that says them exactly, or rounded up."""
    for unit in UNITS:
        text = f"{count / memory(f'1{unit}'):.3f}".rstrip("0").rstrip(".") + unit
        if memory(text) == count:
            return text
    return f"{-(-count // 1000)}KB"


def plain(value: Any) -> Any:
    """A value as Python's own, which the task takes."""
    if isinstance(value, (Media, Region, Fraction)):
        return str(value)
    if isinstance(value, Keyframe):
        return f"{value.frame}={value.image}"
    if isinstance(value, Styling):
        return {"style": str(value.style), "weight": value.weight}
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value
