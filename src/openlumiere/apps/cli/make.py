"""Every verb that makes something: options become a task, the task a file."""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING, Any

from openlumiere.apps.cli import many_imports
from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.console import REPORT, Progress, progress
from openlumiere.apps.cli.files import (
    STYLE_PREVIEW,
    check_inputs,
    check_name,
    numbered,
    previews_of,
    save_clip,
    save_style,
)
from openlumiere.apps.cli.forms import form_of, values_of
from openlumiere.tasks import KINDS, Animate, Image, LearnStyle, Media, Task
from openlumiere.tasks.kinds import Styling
from openlumiere.tasks.values import DEFAULT_SIDE, Sampling

if TYPE_CHECKING:
    from openlumiere.engine.lumiere import Lumiere
    from openlumiere.models.style import Style

FIRST = ".first.png"  # the picture that a clip begins with, where it was made from a sentence

report = logging.getLogger(REPORT)


def main(words: list[str], verb: str) -> int:
    """Read the words, refuse what can't be made or written, make it, and print where it is."""
    form: Any = parse(form_of(verb), words, verb, description=description(verb))
    outputs = numbered(form.written.output, getattr(form, "count", 1))
    tasks = [task_of(verb, form, index) for index in range(len(outputs))]
    for output in outputs:
        check_name(output, verb, *companions(verb, form))
    check_inputs(tasks[0], *(["image"] if getattr(form, "from_prompt", False) else []))
    with progress(verb) as bar:
        bar.say("loading the model")
        return make_all(tasks, outputs, form, bar)


def description(verb: str) -> str:
    """A task's own words, and commands to start from."""
    model = KINDS[verb]
    words = " ".join((model.__doc__ or "").split())
    return "\n".join([words, "", "Examples:", *(f"  {line}" for line in model.examples)])


def companions(verb: str, form: Any) -> tuple[str, ...]:
    """What else is written beside the file."""
    previews = previews_of(verb, getattr(form.written, "preview", False))
    return (*previews, FIRST) if getattr(form, "from_prompt", False) else previews


def task_of(verb: str, form: Any, index: int = 0) -> Task:
    """The task that the options ask for, the `index`-th of several."""
    values = values_of(verb, form)
    values["seed"] = values["seed"] + index
    if values.get("image") == "-":
        del values["image"]
    if getattr(form, "from_prompt", False):
        Image(prompt=values["image"])  # so that a mistake in the sentence is named now
        values["prompt"] = values["prompt"] or values["image"]
    return KINDS[verb](**values)


def make_all(tasks: list[Task], outputs: list[str], form: Any, bar: Progress) -> int:
    """One task after the other on one model; files that are given are read before it is."""
    with many_imports():
        from openlumiere.apps.cli import loading

    settings = loading.settings_of(form.model.certificate, form.model.key)
    opened = [loading.open_for(task, form) for task in tasks]
    for output in outputs:
        loading.check_path(opened[0], output, form.written)
    bar.say("loading the model")
    asked = form.model
    lumiere = loading.load(
        asked.model, asked.device, asked.dtype, settings, asked.memory, asked.lora
    )
    loading.warn(opened[0], lumiere)
    for task, output in zip(opened, outputs, strict=True):
        make_one(lumiere, task, output, form, bar)
        print(output, flush=True)
    return 0


def make_one(lumiere: Lumiere, task: Task, output: str, form: Any, bar: Progress) -> None:
    """Make, look at and write one thing."""
    from openlumiere.apps.cli import review

    bar.begin_again()
    if isinstance(task, LearnStyle):
        make_style(lumiere, task, output, form, bar)
        return
    if isinstance(task, Animate) and getattr(form, "from_prompt", False):
        task = with_first_picture(lumiere, task, output, bar)
    bar.say("sampling")
    clip = lumiere.run(task, bar.on_step)
    bar.say("writing")
    save_clip(review.reviewed(clip, task, form.written.strict), output, form.written)


def make_style(lumiere: Lumiere, task: LearnStyle, output: str, form: Any, bar: Progress) -> None:
    """Learn and write a style, draw a picture with it, and say what to type next."""
    bar.say("learning")
    style = lumiere.run(task)
    save_style(style, output)
    if form.written.preview:
        bar.say("the preview")
        draw_style(lumiere, task, style, output)
    prompt = shown_prompt(task, lumiere)
    words = ["lumiere", "generate", prompt, "--style", output, "-o", "styled.mp4"]
    words += ["--model", form.model.model] if form.model.model else []
    report.info("learn-style: next: %s", shlex.join(words))


def draw_style(lumiere: Lumiere, task: LearnStyle, style: Style, output: str) -> None:
    """A picture with a new style at full weight, beside its file."""
    prompt = shown_prompt(task, lumiere)
    styling = Styling(style=Media.of(style), weight=1.0)
    sampling = Sampling(seed=task.learning.seed)
    made = lumiere.run(Image(prompt=prompt, styles=(styling,), sampling=sampling))
    made.save(f"{output}{STYLE_PREVIEW}", lossless=True)
    report.info("learn-style: %s%s shows %r in it", output, STYLE_PREVIEW, prompt)


def shown_prompt(task: LearnStyle, lumiere: Lumiere) -> str:
    """What to draw with a new style: what the first picture shows, else something that the model
    knows, else the style by its name.
    """
    if task.prompts:
        return task.prompts[0]
    known = lumiere.knows.subjects if lumiere.knows is not None else ()
    return f"a {next(iter(known))}" if known else task.name


def with_first_picture(lumiere: Lumiere, task: Animate, output: str, bar: Progress) -> Animate:
    """The task with the picture of its sentence, which is kept beside the clip."""
    assert task.image is not None
    bar.say("the first picture")
    side = task.size or DEFAULT_SIDE
    picture = lumiere.run(
        Image(prompt=task.image.path, sampling=task.sampling, size=side, styles=task.styles)
    )
    picture.save(f"{output.rstrip('/')}{FIRST}", lossless=True)
    return task.with_media({"image": Media.of(picture)})
