"""The checker that tests run the package under: the shapes that signatures state are those at every
call.

Signatures without shapes are left alone, and so are those that make an object: types are mypy's
work, and what a user may pass wrong is checked at the door, which tests must be able to try.
"""

import re
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

SHAPES = re.compile(r"\b(Float|Int|UInt8|UInt16|Int64|Integer|Bool|Num|Shaped)\[")
with_int_as_float = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, checked at every call if its signature states shapes."""
    if function.__name__ == "__init__":
        return function
    stated = " ".join(map(str, getattr(function, "__annotations__", {}).values()))
    return with_int_as_float(function) if SHAPES.search(stated) else function
