"""A task's form on the page: its widgets, and what is filled in as a task."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np

from openlumiere.apps.studio import masks
from openlumiere.apps.studio.fields import Field, questions
from openlumiere.apps.studio.views import loaded
from openlumiere.apps.studio.words import Say
from openlumiere.tasks import KINDS, Region, Task
from openlumiere.tasks.media import AS_IT_IS, CLEAR, is_colour
from openlumiere.tasks.values import DEFAULT_FRAMES, Length

COLOURS = ("white", "black", "#20c040")
CLIPS = [".mp4", ".webm", ".mov", ".mkv", ".avi", ".gif", ".webp", ".apng", ".png", ".avif"]
KEYFRAMES = ("middle", "end")


@dataclass
class Painting:
    """What is painted so far: masks by frame, the frame that the editor shows, and what it was
    given to show there. The `size` is width and height.
    """

    keys: dict[int, np.ndarray] = field(default_factory=dict)
    frame: int = 0
    size: tuple[int, int] = (0, 0)
    shown: np.ndarray | None = None

    def taken(self, editor: Any) -> Painting:
        """The same with what is in the editor now, where somebody changed it."""
        if self.size == (0, 0) or editor is None:
            return self
        mask = masks.painted(editor, self.size)
        unchanged = np.array_equal(mask, self.at(self.frame))
        keys = self.keys if unchanged else {**self.keys, self.frame: mask}
        return Painting(keys, self.frame, self.size)

    def at(self, frame: int) -> np.ndarray:
        """The mask of a frame."""
        if not self.keys:
            return np.zeros(self.size[::-1], bool)
        return masks.mask_at(self.keys, frame)

    def region(self, count: int) -> np.ndarray | None:
        """The region of a clip of `count` frames; None where nothing is painted."""
        kept = {frame: mask for frame, mask in self.keys.items() if frame < count}
        if not any(mask.any() for mask in kept.values()):
            return None
        return masks.over_time(kept, count)


@dataclass
class Form:
    """The widgets of one task, by the words that it takes."""

    kind: str
    say: Say
    fields: list[Field]
    widgets: dict[str, Any] = field(default_factory=dict)
    mistake: Any = None
    make: Any = None
    outside: Any = None

    @property
    def names(self) -> list[str]:
        """Of the widgets, in their order."""
        return list(self.widgets)

    def task(self, values: dict[str, Any]) -> Task:
        """What is filled in, as a task. Raises ValueError for what can't be."""
        words: dict[str, Any] = {}
        for each in self.fields:
            words |= words_of(each, values)
        return KINDS[self.kind](**words)

    def wrong(self, line: str) -> str | None:
        """The widget that a mistake's line is about."""
        name = line.partition(":")[0].strip().replace(" ", "_")
        return name if name in self.widgets else None


def words_of(asked: Field, values: dict[str, Any]) -> dict[str, Any]:
    """One question's answer as words of the task."""
    name = asked.name
    value = values.get(name)
    if asked.widget == "lines":
        lines = [line for line in (value or "").splitlines() if line.strip()]
        return {name: lines}
    if asked.widget == "region":
        return {name: region_of(values)}
    if asked.widget == "keyframes":
        return {name: keyframes_of(values)}
    if asked.widget == "styles":
        return {"style": value, "style_weight": values["style_weight"]} if value else {}
    if asked.widget == "background":
        return {name: colour_of(value)}
    if asked.widget == "maybe":
        return {name: number_in(value)}
    return {name: None if value == "" and asked.default is None else value}


def number_in(text: str | None) -> float | str | None:
    """A number that may be left out; what is none stays for the task to refuse."""
    word = (text or "").strip()
    try:
        return float(word) if word else None
    except ValueError:
        return word


def region_of(values: dict[str, Any]) -> Region | None:
    """The painted region."""
    source = values.get("clip") or values.get("image")
    if not source:
        return None
    painting = values["painting"].taken(values["region"])
    region = painting.region(len(loaded(source)))
    return None if region is None else Region.of(region)


def keyframes_of(values: dict[str, Any]) -> dict[Any, str]:
    """Pictures at their frames; without numbers at the middle and the end."""
    length = Length(
        frames=number_in(values.get("frames")),
        seconds=number_in(values.get("seconds")),
        fps=values.get("fps") or None,
    )
    usual = {"middle": length.count // 2, "end": length.count - 1}
    found = {}
    for place in KEYFRAMES:
        if values.get(place):
            number = number_in(values.get(f"{place}_frame"))
            found[usual[place] if number is None else number] = values[place]
    return found


def colour_of(value: str | None) -> str:
    """A background by name; files are no answer here. Raises ValueError."""
    word = (value or "").strip()
    if word in (AS_IT_IS, CLEAR) or is_colour(word):
        return word
    raise ValueError(
        f"background: expected transparent or a colour such as white or #20c040, got {word!r}, "
        "choose one"
    )


def build(kind: str, say: Say, mask: Callable[[Form, Any], None]) -> Form:
    """The form of a task, where the page stands. `mask` adds the editor of a region."""
    form = Form(kind, say, questions(kind))
    gr.Markdown(say(" ".join((KINDS[kind].__doc__ or "").split("\n\n")[0].split())))
    for each in form.fields:
        if each.group == "first":
            add(form, each, mask)
    with gr.Row(elem_classes="beside"):
        for each in form.fields:
            if each.group == "beside":
                add(form, each, mask)
    with gr.Accordion(say("More"), open=False):
        for each in form.fields:
            if each.group == "more":
                add(form, each, mask)
    form.mistake = gr.HTML("", padding=False)
    form.make = gr.Button(say("Make"), variant="primary", elem_id=f"make-{kind}")
    return form


def add(form: Form, asked: Field, mask: Callable[[Form, Any], None]) -> None:
    """The widget, or widgets, of one question."""
    say = form.say
    common = {
        "label": say(asked.label),
        "elem_id": f"{form.kind}-{asked.name.replace('_', '-')}",
    }
    match asked.widget:
        case "keyframes":
            add_keyframes(form)
        case "styles":
            form.widgets["styles"] = gr.File(
                **common, file_types=[".safetensors"], type="filepath", height=140
            )
            form.widgets["style_weight"] = gr.Slider(
                0, 1, 0.7, step=0.05, label=say("Style weight"), info=say("0 (off) to 1.")
            )
        case "region":
            mask(form, common)
        case "clip":
            form.widgets["clip"] = gr.File(**common, file_types=CLIPS, type="filepath", height=140)
        case "pictures":
            form.widgets["images"] = gr.File(
                **common, file_types=["image"], file_count="multiple", height=140
            )
        case "picture":
            form.widgets["image"] = gr.Image(**common, **PICTURE)
        case _:
            form.widgets[asked.name] = plain_widget(form.kind, asked, say, common)


PICTURE: dict[str, Any] = {
    "type": "filepath",
    "image_mode": None,
    "format": "png",
    "sources": ["upload", "clipboard"],
    "height": 220,
    "buttons": [],
}


def add_keyframes(form: Form) -> None:
    """A picture for the middle and one for the end, each with the number of its frame."""
    say = form.say
    labels = {"middle": "Middle picture", "end": "End picture"}
    with gr.Accordion(say("Keyframes"), open=False), gr.Row():
        for place in KEYFRAMES:
            with gr.Column(min_width=200):
                form.widgets[place] = gr.Image(label=say(labels[place]), **PICTURE)
                form.widgets[f"{place}_frame"] = gr.Textbox(
                    label=f"{say(labels[place])}: {say('frame')}",
                    info=say("Empty: in the middle, or last."),
                )


def help_of(asked: Field, say: Say) -> str:
    """The line beneath a label."""
    several = f" {say('One a line.')}" if asked.widget == "lines" else ""
    return say(asked.help) + several


def example_of(kind: str) -> str:
    """A prompt that the task's own example begins with; empty where it has none."""
    verb, *words = shlex.split(next(iter(KINDS[kind].examples), kind))[1:] or [""]
    return words[0] if verb in ("generate", "image") and words else ""


def plain_widget(kind: str, asked: Field, say: Say, common: dict[str, Any]) -> Any:
    """Text, numbers, choices and flags."""
    told = {**common, "info": help_of(asked, say)}
    match asked.widget:
        case "prompt":
            shown = {"placeholder": example_of(kind)}
            return gr.Textbox(**told, **shown, value=asked.default or "", lines=2, max_lines=6)
        case "lines":
            return gr.Textbox(**told, value="", lines=2, max_lines=8)
        case "flag":
            return gr.Checkbox(**told, value=asked.default, min_width=160)
        case "choice":
            unset = [(say("the model's own"), "")] if asked.default is None else []
            return gr.Dropdown([*unset, *asked.choices], **told, value=asked.default or "")
        case "background":
            choices = [(say("as it comes"), ""), (say("transparent"), CLEAR), *COLOURS]
            return gr.Dropdown(choices, **told, value="", allow_custom_value=True)
        case "slider":
            return gr.Slider(asked.low, asked.high, asked.default, step=0.05, **told)
        case "number":
            return gr.Number(
                **told, value=asked.default, precision=0 if asked.whole else None, min_width=140
            )
    empty = {"frames": str(DEFAULT_FRAMES)}.get(asked.name)
    return gr.Textbox(**told, value=asked.default or "", placeholder=empty, min_width=140)
