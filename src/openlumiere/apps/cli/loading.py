"""A model on its device, and a word where it may not have the memory, or may not know what is
asked.
"""

from __future__ import annotations

import re
import sys

import diffusers
import torch
import transformers

from openlumiere.apps.cli import one_line
from openlumiere.engine.lumiere import Lumiere
from openlumiere.engine.memory import free_memory, gigabytes
from openlumiere.safety.prompts import find, plain
from openlumiere.settings import Settings
from openlumiere.tasks.request import check_choice

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(model: str | None, device: str, dtype: str, settings: Settings | None = None) -> Lumiere:
    """The model on its device. Raises ValueError for a device or a precision that torch does not
    have here.
    """
    check_choice("dtype", dtype, tuple(DTYPES))
    check_device(device)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    return Lumiere.from_pretrained(model, device=device, dtype=DTYPES[dtype], settings=settings)


def check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"device: expected one that torch can use, got {device!r} ({reason}), use cpu"
        ) from None


def warn_of_memory(needed: int, lumiere: Lumiere) -> None:
    """Say so, on the error stream, where a run may take more bytes than are free."""
    free = free_memory(lumiere.base.device)
    if needed > free:
        print(
            f"lumiere: this may take {gigabytes(needed)} of memory and {gigabytes(free)} are free; fewer frames take less",
            file=sys.stderr,
        )


def warn_of_words(prompt: str, lumiere: Lumiere) -> None:
    """Say so, on the error stream, where a prompt that no rule is against names nothing that the
    model was shown.
    """
    if not lumiere.subjects or names_one(prompt, lumiere.subjects) or find(prompt):
        return
    known = ", ".join(lumiere.subjects)
    print(
        one_line(
            f"lumiere: the model knows no subject but {known}, and the prompt names none of them: expect something else"
        ),
        file=sys.stderr,
    )


def names_one(prompt: str, subjects: dict[str, list[str]]) -> bool:
    names = {re.escape(plain(name)) for spellings in subjects.values() for name in spellings}
    return re.search(rf"(?<!\w)({'|'.join(names)})(?!\w)", plain(prompt)) is not None
