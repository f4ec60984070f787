"""Inputs and a model, ready to run: read once, checked, and a word where they may not do."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from openlumiere.apps.cli import one_line
from openlumiere.apps.cli.files import previews_of
from openlumiere.engine.inputs import open_task
from openlumiere.engine.instructions import instructed
from openlumiere.engine.lumiere import Lumiere
from openlumiere.engine.memory import cascade_memory, edit_memory, free_memory, gigabytes
from openlumiere.engine.plan import canvas_of, clip_of, scaled
from openlumiere.engine.precision import dtype_of
from openlumiere.media import check_output
from openlumiere.media.keying import ground_of
from openlumiere.media.replace import check_companions
from openlumiere.media.write import check_folder
from openlumiere.models.knows import Beyond, Knows
from openlumiere.provenance.certificate import own_signer
from openlumiere.safety.prompts import find
from openlumiere.settings import Settings
from openlumiere.tasks import (
    Animate,
    Cinemagraph,
    Generate,
    Inpaint,
    LearnStyle,
    Mend,
    Outpaint,
    Task,
)
from openlumiere.tasks.values import DEFAULT_SIDE, parse_schedule


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
    check_device(device)
    without_bars()
    return Lumiere.from_pretrained(
        model,
        device=device,
        dtype=dtype_of(dtype, device),
        settings=settings,
        memory=memory,
        loras=loras,
    )


def without_bars() -> None:
    """Keep diffusers and transformers from drawing progress bars while they load."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


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
    previews = previews_of(task.kind, getattr(written, "preview", False))
    if task.kind == "learn-style":
        check_folder(Path(output).parent)
        if previews:
            check_companions(Path(output), previews)
        return
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
    """Say what may not do: memory, and what the model was not trained on; and how an instruction
    was read.
    """
    for line in (read_as(task), words_beyond(task, lumiere), content_beyond(task, lumiere)):
        if line:
            print(one_line(f"lumiere: {line}"), file=sys.stderr)
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


def read_as(task: Task) -> str:
    """What to say of a prompt that is an instruction; empty for others."""
    shown = prompts_of(instructed(task))
    if shown == prompts_of(task):
        return ""
    given = f'"{shown[0]}"' if shown else "no prompt"
    return f"the prompt was read as an instruction: the model is given {given}"


OTHER_MODEL = "--model FOLDER names another model"
MOST_NAMED = 12


def words_beyond(task: Task, lumiere: Lumiere) -> str:
    """What to say of a task's words that the model does not know, with the nearest that it does;
    empty where it knows all, where its folder does not say, where a style may bring more, where
    something is only to go, and where a rule refuses the prompt anyway.
    """
    prompts = prompts_of(instructed(task))
    if lumiere.knows is None or not prompts or bool(getattr(task, "styles", ())):
        return ""
    if any(find(prompt) for prompt in prompts_of(task)):
        return ""
    beyond = lumiere.knows.beyond(prompts)
    if beyond.words:
        return f"the model was not trained on {quoted(beyond)}: {known(lumiere.knows)}"
    if task.kind in ("generate", "image") and not beyond.names_subject:
        return f"the prompt names no subject: {known(lumiere.knows)}"
    return ""


def prompts_of(task: Task) -> list[str]:
    """What a task asks for: the lines of its prompt and its shots."""
    if isinstance(task, LearnStyle):
        return []
    shots: tuple[str, ...] = getattr(task, "shots", ())
    named = [text for text in (getattr(task, "prompt", ""), *shots) if text]
    if isinstance(task, Animate) and task.image is not None and task.image.content is None:
        named.append(task.image.path)  # the prompt of the picture that is made first
    return [line.prompt for text in named for line in parse_schedule(text)]


def quoted(beyond: Beyond) -> str:
    """Words that are not known, each with the nearest known one where there is one."""
    words = [
        f'"{word}"' + (f" (nearest: {beyond.nearest[word]})" if word in beyond.nearest else "")
        for word in beyond.words
    ]
    return listed(words)


def known(knows: Knows) -> str:
    """What a model draws, in a clause, and what to do about it."""
    does = f"; motions: {listed(list(knows.actions))}" if knows.actions else ""
    grounds = listed([*knows.colours, *knows.grounds])
    before = f"; backgrounds: {grounds}" if grounds else ""
    return f"it draws {listed(list(knows.subjects))}{does}{before}; {OTHER_MODEL}"


def listed(words: list[str]) -> str:
    """The first of some words, and how many more there are."""
    more = len(words) - MOST_NAMED
    return ", ".join(words[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def content_beyond(task: Task, lumiere: Lumiere) -> str:
    """What to say where a model that draws before one colour is to change what is no such picture,
    for instance a photograph; empty where it fits.
    """
    if lumiere.knows is None or not lumiere.knows.plain_grounds or task.kind == "upscale":
        return ""
    media = task.media().items()
    for role, given in media:
        if role not in ("clip", "image") or given.content is None:
            continue
        if isinstance(task, Mend) and task.region is None:
            continue  # what is damaged for a moment is taken from the frames beside
        if ground_of(clip_of(given).over("white").frames) is None:
            return (
                f"the model was trained on drawings before one colour, and the {role} is not of "
                f"that kind: what is made new in it won't fit; {OTHER_MODEL}"
            )
    return ""
