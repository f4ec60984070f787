"""Inputs and a model, ready to run: read once, checked, and a word where they may not do."""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from openlumiere.apps.cli import one_line
from openlumiere.apps.cli.files import PREVIEWS, check_choice
from openlumiere.engine.inputs import open_task
from openlumiere.engine.lumiere import Lumiere
from openlumiere.engine.memory import cascade_memory, edit_memory, free_memory, gigabytes
from openlumiere.engine.plan import canvas_of, clip_of, scaled
from openlumiere.media import check_output
from openlumiere.media.write import check_folder
from openlumiere.provenance.certificate import own_signer
from openlumiere.safety.prompts import find, plain
from openlumiere.settings import Settings
from openlumiere.tasks import Animate, Cinemagraph, Generate, Inpaint, Outpaint, Task
from openlumiere.tasks.values import DEFAULT_SIDE

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load(
    model: str | None,
    device: str,
    dtype: str,
    settings: Settings | None = None,
    memory: str = "",
    loras: tuple[str, ...] = (),
) -> Lumiere:
    """The model on its device. Raises ValueError for a device or a precision that torch does not
    have here.
    """
    check_choice("dtype", dtype, tuple(DTYPES))
    check_device(device)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    return Lumiere.from_pretrained(
        model,
        device=device,
        dtype=DTYPES[dtype],
        settings=settings,
        memory=memory,
        loras=loras,
    )


def settings_of(certificate: str | None, key: str | None) -> Settings:
    """This user's settings, with the signer that the options name.

    Raises ValueError for files that can't sign.
    """
    settings = Settings.load(certificate=certificate, key=key)
    if not settings.signer.own:
        own_signer(settings.signer)
    return settings


def check_device(device: str) -> None:
    """Raise ValueError for a device that torch can't use."""
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"device: expected one that torch can use, got {device!r} ({reason}), use cpu"
        ) from None


def open_for(task: Task, form: Any) -> Task:
    """The task with its files read, and refused where they do not fit each other. A sentence that a
    picture is made from is no file.
    """
    partial = getattr(form, "allow_partial", False)
    if not getattr(form, "from_prompt", False):
        found = open_task(task, partial)
        if isinstance(found, (Animate, Inpaint, Outpaint, Cinemagraph)):
            canvas_of(found)
        return found
    later = task.model_copy(update={"image": None})
    return open_task(later, partial).model_copy(update={"image": task.media()["image"]})


def check_path(task: Task, output: str, written: Any) -> None:
    """Refuse an output that can't be written, or that a stranger's file is in the way of, now that
    the number of frames is known.
    """
    if task.kind == "learn-style":
        check_folder(Path(output).parent)
        return
    previews = PREVIEWS if getattr(written, "preview", False) else ()
    check_output(output, getattr(written, "lossless", True), frames_of(task), previews)


def frames_of(task: Task) -> int:
    """How many frames an open task makes."""
    if isinstance(task, Generate):
        return task.length.count * (1 + len(task.shots))
    if isinstance(task, (Animate, Cinemagraph)):
        return task.length.count
    clip = getattr(task, "clip", None)
    return 1 if clip is None else len(clip_of(clip))


def shape_of(task: Task) -> tuple[tuple[int, int], Fraction]:
    """Size and rate of what an open edit makes."""
    if isinstance(task, (Animate, Cinemagraph)):
        side = task.size or DEFAULT_SIDE
        pictures = [each for role, each in task.media().items() if role[:5] in ("image", "frame")]
        sizes = [clip_of(each).size for each in pictures if each.content is not None]
        size = scaled(sizes[0], task.size) if sizes else (side, side)
        return size, task.length.fps
    clip = clip_of(task.media()["clip"])
    return (task.to if isinstance(task, Outpaint) else clip.size), clip.fps


def memory_of(task: Task, lumiere: Lumiere) -> int:
    """Bytes that an open task will take at most, 0 where nobody has measured."""
    if isinstance(task, Generate):
        return cascade_memory(lumiere.base, lumiere.upscaler, task)
    if task.kind in ("image", "upscale", "learn-style"):
        return 0
    size, fps = shape_of(task)
    guidance = task.sampling.guidance  # type: ignore[attr-defined]
    return edit_memory(lumiere.base, frames_of(task), size, fps, guidance)


def warn(task: Task, lumiere: Lumiere) -> None:
    """Say what may not do: memory, and words that the model was not shown."""
    styled = bool(getattr(task, "styles", ()))  # which may bring subjects of their own
    if task.kind in ("generate", "image") and not styled:
        warn_of_words(task.sentences()[0], lumiere)
    warn_of_memory(memory_of(task, lumiere), lumiere)


def warn_of_memory(needed: int, lumiere: Lumiere) -> None:
    """Say so, on the error stream, where a run may take more bytes than are free."""
    free = free_memory(lumiere.base.backbone.device)
    if needed > free:
        print(
            f"lumiere: this may take {gigabytes(needed)} of memory and {gigabytes(free)} are free; "
            "fewer frames take less",
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
            f"lumiere: the model knows no subject but {known}, and the prompt names none of them: "
            "expect something else"
        ),
        file=sys.stderr,
    )


def names_one(prompt: str, subjects: dict[str, list[str]]) -> bool:
    """Whether a prompt names a subject, in whole words."""
    names = {re.escape(plain(name)) for spellings in subjects.values() for name in spellings}
    return re.search(rf"(?<!\w)({'|'.join(names)})(?!\w)", plain(prompt)) is not None
