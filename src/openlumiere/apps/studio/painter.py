"""The mask of a region: painted on frames of a clip, drawn as a shape, or read from a picture."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from openlumiere.apps.studio import masks
from openlumiere.apps.studio.form import Form, Painting
from openlumiere.apps.studio.views import line_html, loaded, shown_frame, strip_of
from openlumiere.apps.studio.words import Say
from openlumiere.media import Clip, load_mask, save_image, xt_slice

EMPTY: dict[str, Any] = {"background": None, "layers": [], "composite": None}
STRONG = "#{:02x}{:02x}{:02x}".format(*masks.PAINT)


@dataclass
class Painter:
    """The widgets around an editor, and what they do."""

    source: Any
    editor: Any
    painting: Any
    frame: Any
    strip: Any
    slice: Any
    note: Any
    say: Say

    def opened(self, path: str | None, painting: Painting) -> tuple[Any, ...]:
        """Another clip: its frames; the mask stays where the size is the same."""
        if not path:
            hidden = gr.update(visible=False)
            return gr.update(value=None), Painting(), hidden, hidden, hidden, ""
        try:
            clip = loaded(path)
        except ValueError as error:
            return (
                gr.update(value=None),
                Painting(),
                gr.skip(),
                gr.skip(),
                gr.skip(),
                line_html(f"{error}"),
            )
        kept = painting.keys if painting.size == clip.size else {}
        new = Painting(kept, 0, clip.size)
        moves = len(clip) > 1
        return (
            self.value(clip, new),
            new,
            gr.update(value=0, maximum=max(1, len(clip) - 1), visible=moves),
            gr.update(value=strip_of(clip), visible=moves),
            gr.update(value=xt_slice(clip), visible=moves),
            self.told(new),
        )

    def value(self, clip: Clip, painting: Painting) -> dict[str, Any]:
        """A frame and its mask, for the editor."""
        picture = masks.background(shown_frame(clip.frames[min(painting.frame, len(clip) - 1)]))
        layer = masks.layer(painting.at(painting.frame))
        return {"background": picture, "layers": [layer], "composite": None}

    def told(self, painting: Painting) -> str:
        """Which frames have a mask of their own."""
        painted = [str(frame) for frame in sorted(painting.keys)]
        if not painted:
            return f"<p>{self.say('A mask painted on one frame counts for all.')}</p>"
        return f"<p>{self.say('Painted at frame')} {', '.join(painted)}</p>"

    def at_frame(self, number: float, path: str | None, painting: Painting, editor: Any) -> Any:
        """Another frame of the clip, with its mask between those that were painted."""
        if not path:
            return gr.skip(), painting, ""
        taken = painting.taken(editor)
        new = Painting(taken.keys, int(number), taken.size)
        return self.value(loaded(path), new), new, self.told(new)

    def with_mask(self, change: Any, path: str | None, painting: Painting, editor: Any) -> Any:
        """The frame's mask changed by `change`."""
        if not path:
            line = "region: expected a clip or a picture to paint on, got none, give it first"
            return gr.skip(), painting, line_html(line)
        taken = painting.taken(editor)
        try:
            mask = change(masks.painted(editor, taken.size))
        except ValueError as error:
            return gr.skip(), taken, line_html(str(error))
        new = Painting({**taken.keys, taken.frame: mask}, taken.frame, taken.size)
        return self.value(loaded(path), new), new, self.told(new)

    def cleared(self, path: str | None, painting: Painting) -> Any:
        """No mask at any frame."""
        if not path:
            return gr.skip(), painting, ""
        new = Painting({}, painting.frame, painting.size)
        return self.value(loaded(path), new), new, self.told(new)

    def exported(self, painting: Painting, editor: Any) -> str | None:
        """A PNG of the frame's mask, white inside."""
        if painting.size == (0, 0):
            return None
        mask = masks.painted(editor, painting.size)
        path = Path(tempfile.mkdtemp(prefix="mask-")) / f"mask-{painting.frame}.png"
        save_image(np.repeat(mask[..., None].astype(np.uint8) * np.uint8(255), 3, axis=2), path)
        return str(path)


def exported_file(path: str | None) -> Any:
    """A file to save, where there is one."""
    return gr.update(value=path, visible=path is not None)


def sized(file: str, size: tuple[int, int]) -> np.ndarray:
    """A mask from a file, at the size of the frame."""
    mask = load_mask(file)
    mask = mask[0] if mask.ndim == 3 else mask
    return np.asarray(Image.fromarray(mask > 0).resize(size, Image.Resampling.NEAREST))


def add_painter(form: Form, common: dict[str, Any]) -> None:
    """The editor of a region, where the page stands."""
    say = form.say
    source = form.widgets.get("clip") or form.widgets["image"]
    painting = gr.State(Painting())
    editor = gr.ImageEditor(
        **common,
        layers=False,
        transforms=(),
        fixed_canvas=True,
        canvas_size=(masks.CANVAS, masks.CANVAS),
        sources=(),
        brush=gr.Brush(default_size=24, colors=[STRONG], color_mode="fixed"),
        eraser=gr.Eraser(default_size=24),
        height=600,
        format="png",
        buttons=[],
        placeholder=say("The first frame appears here, to paint on."),
    )
    gr.Markdown(say("Paint where to make something new; the rest is kept."))
    note = gr.HTML("", padding=False)
    frame = gr.Slider(
        0,
        1,
        0,
        step=1,
        label=say("Frame to paint on"),
        info=say("Masks at several frames are joined by a moving outline."),
        visible=False,
    )
    strip = gr.Gallery(
        label=say("Frames"),
        columns=8,
        height=110,
        allow_preview=False,
        visible=False,
        interactive=False,
        buttons=[],
    )
    with gr.Row():
        invert = gr.Button(say("Invert"), size="sm", min_width=90)
        clear = gr.Button(say("Clear"), size="sm", min_width=90)
        load = gr.UploadButton(say("Import PNG"), file_types=["image"], size="sm", min_width=90)
        save = gr.Button(say("Export PNG"), size="sm", min_width=90)
    saved = gr.File(label=say("Mask"), visible=False, height=80, elem_id=f"{form.kind}-mask")
    with gr.Accordion(say("Shapes, and a slice through time"), open=False):
        with gr.Row():
            sides = [
                gr.Number(value, label=f"{say(name)} %", minimum=0, maximum=100, min_width=80)
                for name, value in (("Left", 25), ("Top", 25), ("Right", 75), ("Bottom", 75))
            ]
        with gr.Row():
            rectangle = gr.Button(say("Add rectangle"), size="sm")
            ellipse = gr.Button(say("Add ellipse"), size="sm")
        slice_ = gr.Image(
            label=say("The middle row through time: choose a frame"),
            visible=False,
            interactive=False,
            buttons=[],
            height=220,
        )
    form.widgets["region"] = editor
    form.widgets["painting"] = painting
    painter = Painter(source, editor, painting, frame, strip, slice_, note, say)
    wire(painter, sides, {"rectangle": rectangle, "ellipse": ellipse})
    changed = [editor, painting, note]
    state = [source, painting, editor]
    quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    invert.click(lambda *now: painter.with_mask(np.invert, *now), state, changed, **quick)
    clear.click(painter.cleared, [source, painting], changed, **quick)
    load.upload(
        lambda file, path, now, paint: painter.with_mask(
            lambda _: sized(file, now.size), path, now, paint
        ),
        [load, *state],
        changed,
        **quick,
    )
    save.click(
        lambda now, paint: exported_file(painter.exported(now, paint)),
        [painting, editor],
        saved,
        **quick,
    )


def wire(painter: Painter, sides: list[Any], shapes: dict[str, Any]) -> None:
    """What happens when a clip, a frame or a shape is chosen."""
    state = [painter.source, painter.painting, painter.editor]
    changed = [painter.editor, painter.painting, painter.note]
    quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    painter.source.change(
        painter.opened,
        [painter.source, painter.painting],
        [
            painter.editor,
            painter.painting,
            painter.frame,
            painter.strip,
            painter.slice,
            painter.note,
        ],
        **quick,
    )
    painter.frame.change(painter.at_frame, [painter.frame, *state], changed, **quick)
    painter.strip.select(number_of, None, painter.frame, **quick)
    painter.slice.select(row_of, None, painter.frame, **quick)
    for shape, button in shapes.items():

        def drawn(*values: Any, shape: Any = shape) -> Any:
            box = values[:4]
            return painter.with_mask(lambda mask: masks.with_shape(mask, shape, box), *values[4:])

        button.click(drawn, [*sides, *state], changed, **quick)


def number_of(chosen: gr.SelectData) -> int:
    """The frame of a picture in the strip."""
    return int(chosen.value["caption"])


def row_of(chosen: gr.SelectData) -> int:
    """The frame of a row in the slice through time."""
    return int(chosen.index[1])
