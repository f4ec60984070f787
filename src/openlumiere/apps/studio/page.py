"""The page: a tab a task on one side, what is made on the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from openlumiere.apps.cli import one_line
from openlumiere.apps.queue import Job, Queue
from openlumiere.apps.studio import tools
from openlumiere.apps.studio.commands import command_of, python_of
from openlumiere.apps.studio.fields import Field, questions
from openlumiere.apps.studio.form import Form, build, help_of, number_in
from openlumiere.apps.studio.painter import add_painter
from openlumiere.apps.studio.views import (
    compare_html,
    line_html,
    loaded,
    picture_html,
    result_html,
    status_html,
    timeline_html,
)
from openlumiere.apps.studio.words import LANGUAGES, Say, words
from openlumiere.media.limits import for_command
from openlumiere.tasks import KINDS, Task
from openlumiere.tasks.sticker import PlaceName
from openlumiere.tasks.values import Length

EVERY = 1.0  # seconds between looks at the queue
GALLERY = 24  # results
VARIED = 4  # other seeds
SUFFIXES = {"image": [".png", ".webp"], "learn-style": [".safetensors"]}
MOVING = [".webm", ".mp4", ".gif", ".webp", ".apng", ".mov"]
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
INFORMED = (gr.Textbox, gr.Number, gr.Slider, gr.Checkbox, gr.Dropdown)
"""Widgets with a line of help, which may say instead what is wrong."""
CSS = Path(__file__).with_name("page.css")
THEME = gr.themes.Soft(
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    block_title_background_fill="none",
    block_title_background_fill_dark="none",
    block_title_padding="0",
    block_title_text_color="*body_text_color",
    block_title_text_color_dark="*body_text_color",
    block_info_text_color="*neutral_600",
    block_label_text_color="*primary_700",
    body_text_color_subdued="*neutral_600",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    color_accent="*primary_600",
    block_info_text_color_dark="*neutral_300",
    input_border_width="1px",
    input_border_width_dark="1px",
    input_border_color="*neutral_300",
    input_shadow="none",
    body_background_fill="*neutral_50",
    block_border_width="1px",
    block_border_color="*neutral_200",
    block_border_color_dark="*neutral_700",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_300",
    checkbox_border_color="*neutral_500",
    checkbox_border_width="1px",
    checkbox_border_width_dark="1px",
    checkbox_border_color_dark="*neutral_300",
)


@dataclass
class Panel:
    """The widgets that show one job."""

    followed: Any = None
    seen: Any = None
    status: Any = None
    result: Any = None
    compare: Any = None
    cancel: Any = None
    after: Any = None
    command: Any = None
    python: Any = None
    gallery: Any = None
    varied: Any = None
    suffix: Any = None
    lossless: Any = None

    def shown(self) -> list[Any]:
        """What a look at the queue may change."""
        return [
            self.seen,
            self.status,
            self.result,
            self.compare,
            self.cancel,
            self.after,
            self.command,
            self.python,
            self.gallery,
            self.varied,
        ]


@dataclass
class Page:
    """One language's page over a queue. `warning` says what keeps jobs from being made."""

    queue: Queue
    language: str
    warning: Any
    forms: dict[str, Form] = field(default_factory=dict)
    panel: Panel = field(default_factory=Panel)

    @property
    def say(self) -> Say:
        """The words of the language."""
        return words(self.language)

    def build(self) -> gr.Blocks:
        """The page as Gradio serves it."""
        say = self.say
        title = say("openlumiere studio")
        with gr.Blocks(title=title, analytics_enabled=False, fill_width=True) as blocks:
            self.panel.followed = gr.BrowserState("", storage_key="openlumiere-job")
            self.panel.seen = gr.State("")
            others = " · ".join(
                f'<a href="/{code}/" lang="{code}">{name}</a>'
                for code, name in LANGUAGES.items()
                if code != self.language
            )
            title = f"<h1>{say('openlumiere studio')}</h1>"
            gr.HTML(f'<header class="head">{title}<p>{others}</p></header>', padding=False)
            with gr.Row():
                with gr.Column(scale=7, min_width=340), gr.Tabs() as tabs:
                    self.tabs()
                with gr.Column(scale=4, min_width=340):
                    self.results()
            self.wire(blocks, tabs)
        return blocks

    def tabs(self) -> None:
        """A tab a task, and one to verify files."""
        for kind in KINDS:
            with gr.Tab(self.say(tools.title(kind)), id=kind):
                self.forms[kind] = build(kind, self.say, add_painter)
                self.show_given(self.forms[kind])
        with gr.Tab(self.say("Verify"), id="verify"):
            tools.add_verify(self.say)

    def show_given(self, form: Form) -> None:
        """The timeline of shots, and the first frame of a clip that is not painted on."""
        if "shots" in form.widgets:
            names = ("prompt", "shots", "frames", "seconds", "fps")
            line = gr.HTML("", padding=False)
            given = [form.widgets[name] for name in names]
            for name in ("prompt", "shots", "frames", "seconds"):
                form.widgets[name].change(self.timeline, given, line, **QUIET)
        if "clip" in form.widgets and "region" not in form.widgets:
            picture = gr.HTML("", padding=False)
            form.widgets["clip"].change(self.glance, form.widgets["clip"], picture, **QUIET)

    def timeline(self, prompt: str, shots: str, frames: Any, seconds: Any, fps: Any) -> str:
        """Shots in the order of time; empty while the numbers can't be."""
        lines = [line for line in (shots or "").splitlines() if line.strip()]
        try:
            length = Length(frames=number_in(frames), seconds=number_in(seconds), fps=fps or None)
        except ValueError:
            return ""
        each = float(length.count / length.fps)
        return timeline_html([prompt or "", *lines], each, self.say)

    def glance(self, path: str | None) -> str:
        """The first frame of a clip."""
        if not path:
            return ""
        try:
            return picture_html(loaded(path).frames[0], self.say("The first frame"))
        except ValueError as error:
            return line_html(one_line(f"clip: {error}"))

    def results(self) -> None:
        """What is made, and what can be done with it."""
        say, panel = self.say, self.panel
        gr.Markdown(f"## {say('Result')}")
        panel.status = gr.HTML(status_html(None, 0, say), padding=False)
        panel.cancel = gr.Button(say("Cancel"), visible=False, variant="stop", elem_id="cancel")
        panel.result = gr.HTML("", elem_id="result", padding=False)
        panel.compare = gr.HTML("", padding=False)
        with gr.Column(visible=False) as panel.after:
            self.actions()
        panel.varied = gr.Gallery(
            label=say("The same with other seeds"),
            visible=False,
            columns=2,
            height="auto",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="varied",
        )
        with gr.Accordion(say("How results are written"), open=False):
            panel.suffix = gr.Dropdown(
                [*MOVING, ".png", ".safetensors"],
                value=".mp4",
                label=say("Format"),
                info=say("mp4 has no transparency; webm, webp, apng and mov keep it."),
            )
            panel.lossless = gr.Checkbox(
                False, label=say("Lossless"), info=say("Keep every pixel.")
            )
        with gr.Accordion(say("The same as a command, and in Python"), open=False):
            panel.command = gr.Code(
                "", language="shell", label=say("Command"), interactive=False, wrap_lines=True
            )
            panel.python = gr.Code(
                "", language="python", label="Python", interactive=False, wrap_lines=True
            )
        panel.gallery = gr.Gallery(
            label=say("Gallery"),
            columns=4,
            height="auto",
            visible=False,
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="gallery",
        )

    def actions(self) -> None:
        """Vary, use as input, stickers."""
        say = self.say
        with gr.Row():
            self.vary = gr.Button(say("Vary: other seeds"), size="sm", elem_id="vary")
        with gr.Row(elem_classes="bar"):
            self.target = gr.Dropdown(
                [(": ".join(map(say, words_)), value) for words_, value in targets()],
                label=say("Use as input of"),
            )
            self.use = gr.Button(say("Use"), size="sm", elem_id="use")
        with gr.Accordion(say("Stickers"), open=False):
            self.place = gr.Dropdown(
                [(tools.place_text(name), name) for name in get_args(PlaceName)],
                label=say("Where the stickers are to be used."),
            )
            self.stick = gr.Button(say("Make stickers"), size="sm", elem_id="stick")
            self.told = gr.HTML("", padding=False)
            self.pack = gr.File(label=say("The pack"), visible=False, height=80, elem_id="pack")

    def wire(self, blocks: gr.Blocks, tabs: Any) -> None:
        """What the buttons do."""
        panel = self.panel
        for form in self.forms.values():
            outputs = [panel.followed, form.mistake, *self.noted(form)]
            inputs = [*form.widgets.values(), panel.suffix, panel.lossless]
            form.make.click(self.maker(form), inputs, outputs, **QUIET)
        timer = gr.Timer(EVERY)
        look = {"fn": self.look, "inputs": [panel.followed, panel.seen], "outputs": panel.shown()}
        timer.tick(**look, **QUIET)
        panel.followed.change(**look, **QUIET)
        blocks.load(self.found, panel.followed, panel.followed, **QUIET)
        panel.cancel.click(self.cancel, panel.followed, None, **QUIET)
        self.vary.click(self.vary_of, panel.followed, panel.followed, **QUIET)
        fields = [form.widgets[name] for form in self.forms.values() for name in media_of(form)]
        self.use.click(
            self.use_as, [panel.followed, self.target], [tabs, self.told, *fields], **QUIET
        )
        self.stick.click(
            self.stickers,
            [panel.followed, self.place],
            [self.pack, self.told],
            api_visibility="private",
        )
        for gallery in (panel.gallery, panel.varied):
            gallery.select(chosen_job, None, panel.followed, **QUIET)

    def noted(self, form: Form) -> list[Any]:
        """Widgets of a form that can say what is wrong with them."""
        return [each for each in form.widgets.values() if isinstance(each, INFORMED)]

    def maker(self, form: Form) -> Any:
        """What puts a form's task on the queue."""
        asked = {each.name: each for each in questions(form.kind)}
        named = [name for name, each in form.widgets.items() if isinstance(each, INFORMED)]

        def make(*values: Any) -> list[Any]:
            *given, suffix, lossless = values
            try:
                task = form.task(dict(zip(form.names, given, strict=True)))
                job = self.add(task, suffix, lossless)
            except ValueError as error:
                line = one_line(for_command(str(error)))
                wrong = form.wrong(line)
                return [gr.skip(), line_html(line), *notes(wrong, line)]
            return [job.id, "", *notes(None, "")]

        def notes(wrong: str | None, line: str) -> list[Any]:
            return [self.noted_of(asked.get(name), line if name == wrong else "") for name in named]

        return make

    def noted_of(self, asked: Field | None, line: str) -> Any:
        """A widget with what is wrong with it, or with its help again."""
        help_ = help_of(asked, self.say) if asked else None
        return gr.update(info=line or help_, elem_classes=["wrong"] if line else [])

    def add(self, task: Task, suffix: str, lossless: bool) -> Job:
        """The task as a job, whose files are copies."""
        usual = SUFFIXES.get(task.kind)
        if usual and suffix not in usual:
            suffix = usual[0]
        whole = lossless and task.kind not in SUFFIXES
        return self.queue.add(task, suffix=suffix, lossless=whole, copy=True)

    def job(self, name: str | None) -> Job | None:
        """The job of an id, where there is one."""
        try:
            return self.queue.get(name) if name else None
        except ValueError:
            return None

    def found(self, name: str | None) -> str:
        """The job to follow when the page opens: the one that this browser followed, else one that
        runs, else the last.
        """
        if self.job(name) is not None:
            return name or ""
        jobs = self.queue.list("running") or self.queue.list()
        return max(jobs, key=lambda job: job.created).id if jobs else ""

    def look(self, name: str | None, seen: str) -> list[Any]:
        """What has changed of the followed job since the last look."""
        say = self.say
        job = self.job(name)
        waits = job is not None and job.state == "pending"
        others = self.queue.list("running", "pending") if waits else []
        ahead = len([each for each in others if before(each, job)])
        status = status_html(job, ahead, say, self.warning() if waits else "")
        shape = f"{job.id} {job.state} {job.preview and job.step}" if job else ""
        now = f"{shape} {self.queue.counts()['done']}"
        if now == seen:
            unchanged = gr.skip()
            return [unchanged, status, *[unchanged] * 8]
        done = self.queue.list("done")
        over = job is not None and job.state == "done"
        given = before_path(job)
        return [
            now,
            status,
            result_html(job, say),
            compare_html(job, given, say),
            gr.update(visible=job is not None and not job.ended),
            gr.update(visible=over),
            command_of(job.task, job.written) if job else "",
            python_of(job.task, job.written) if job else "",
            self.gallery(done),
            self.others(job, done),
        ]

    def gallery(self, done: list[Job]) -> Any:
        """The last results."""
        shown = pictured(sorted(done, key=lambda each: -each.finished)[:GALLERY])
        return gr.update(value=shown, visible=bool(shown))

    def others(self, job: Job | None, done: list[Job]) -> Any:
        """What was made of the same task with other seeds."""
        alike = [each for each in done if job is not None and same_but_seed(each.task, job.task)]
        return gr.update(value=pictured(alike), visible=len(alike) > 1)

    def cancel(self, name: str | None) -> None:
        """Stop the job."""
        if self.job(name) is not None:
            self.queue.cancel(str(name))

    def vary_of(self, name: str | None) -> Any:
        """The same task with the next seeds, as jobs; the first is followed."""
        job = self.job(name)
        if job is None:
            return gr.skip()
        written = job.written
        added = [
            self.add(with_seed(job.task, count), Path(written.output).suffix, written.lossless)
            for count in range(1, VARIED + 1)
        ]
        return added[0].id

    def use_as(self, name: str | None, target: str) -> list[Any]:
        """A result as the input of a task, whose tab opens."""
        job = self.job(name)
        pairs = [(kind, field) for kind, form in self.forms.items() for field in media_of(form)]
        if job is None or not job.results or not target:
            return [gr.skip(), "", *[gr.skip()] * len(pairs)]
        kind, field_, which = target.split(" ")
        try:
            path = tools.usable(job, field_, which, self.queue.folder)
        except ValueError as error:
            return [gr.skip(), line_html(one_line(str(error))), *[gr.skip()] * len(pairs)]
        values = [gr.update(value=path) if pair == (kind, field_) else gr.skip() for pair in pairs]
        return [gr.Tabs(selected=kind), "", *values]

    def stickers(self, name: str | None, place: str) -> tuple[Any, str]:
        """A pack of one sticker, to save."""
        job = self.job(name)
        if job is None or not job.results:
            return gr.skip(), ""
        try:
            pack, told = tools.sticker_pack(job, place)
        except ValueError as error:
            return gr.update(visible=False), line_html(one_line(str(error)))
        return gr.update(value=pack, visible=True), told


def media_of(form: Form) -> list[str]:
    """Widgets of a form that a result may fill."""
    return [name for name in ("clip", "image", "middle", "end", "styles") if name in form.widgets]


def targets() -> list[tuple[tuple[str, str], str]]:
    """What a result can be used for: what is read, and `KIND FIELD WHICH`."""
    found = []
    for kind in KINDS:
        for asked in questions(kind):
            if asked.widget == "clip":
                found.append(((tools.title(kind), "clip"), f"{kind} clip all"))
            if asked.widget == "picture":
                found.append(((tools.title(kind), "first frame"), f"{kind} image first"))
                found.append(((tools.title(kind), "last frame"), f"{kind} image last"))
            if asked.widget == "styles":
                found.append(((tools.title(kind), "style"), f"{kind} styles all"))
    return found


def before(other: Job, job: Job | None) -> bool:
    """Whether a job starts before this one."""
    if job is None or other.id == job.id:
        return False
    return other.state == "running" or (-other.priority, other.place) < (-job.priority, job.place)


def before_path(job: Job | None) -> str:
    """The file that a job was given to change; empty where it was given none."""
    given = {} if job is None else job.task.media()
    media = given.get("clip") or given.get("image")
    return "" if media is None else media.path


def pictured(jobs: list[Job]) -> list[tuple[Any, str]]:
    """First frames of results, each with its job's id, seed and prompt."""
    return [
        (picture, caption(job)) for job in jobs if (picture := tools.thumbnail(job)) is not None
    ]


def caption(job: Job) -> str:
    """What a result is called in the gallery; its last word is the job."""
    sampling = getattr(job.task, "sampling", None)
    seed = f"seed {sampling.seed}" if sampling else ""
    words = " ".join(filter(None, [seed, job.task.kind, *job.task.sentences()[:1]]))
    return f"{words[:80]} {job.id}"


def chosen_job(chosen: gr.SelectData) -> str:
    """The job of a picture in the gallery."""
    return str(chosen.value["caption"]).split(" ")[-1]


def with_seed(task: Task, count: int) -> Task:
    """The task with another seed, `count` further on."""
    sampling = getattr(task, "sampling", None)
    if sampling is not None:
        other = sampling.model_copy(update={"seed": sampling.seed + count})
        return task.model_copy(update={"sampling": other})
    return task.model_copy(update={"seed": getattr(task, "seed", 0) + count})


def same_but_seed(one: Task, other: Task) -> bool:
    """Whether two tasks differ in the seed alone, at most."""
    return one.kind == other.kind and unseeded(one) == unseeded(other)


def unseeded(task: Task) -> dict[str, Any]:
    """A task's fields with the seed at 0."""
    found = task.model_dump()
    (found.get("sampling") or found).update(seed=0)
    return found
