"""The file of a judge: weights in half precision, and what it says of itself as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from openlumiere.media.write import write_beside

ABOUT = "judge"
Net = TypeVar("Net", bound=nn.Module)


def write_judge(judge: nn.Module, path: Path, about: dict[str, Any]) -> None:
    """Written beside and renamed."""
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in judge.state_dict().items()
    }
    write_beside(path, lambda made: save_file(weights, made, metadata={ABOUT: json.dumps(about)}))


def read_judge(
    path: Path, build: Callable[[dict[str, Any]], Net], kind: str, command: str
) -> tuple[Net, dict[str, Any]]:
    """The judge that `build` makes of what its file says, and what it says.

    Raises ValueError for another or a damaged file: `kind` is what was expected, `command` makes
    one.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            about = json.loads(opened.metadata()[ABOUT])
        judge = build(about)
        judge.load_state_dict(
            {
                name: value.float() if value.is_floating_point() else value
                for name, value in load_file(path).items()
            }
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:100]
        raise ValueError(
            f"judge: expected the weights of {kind} at {path}, got '{reason}', do: {command}"
        ) from None
    return judge.eval(), about
