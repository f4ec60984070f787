"""What is done with a file that is there: its picture, verifying it, stickers, a frame of it."""

from __future__ import annotations

import shutil
import tempfile
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from openlumiere.apps.queue import Job
from openlumiere.apps.studio.views import line_html, loaded, shown_frame, small
from openlumiere.apps.studio.words import Say
from openlumiere.media import Clip, save_image
from openlumiere.media.sticker import place_of
from openlumiere.tasks import LearnStyle

USED = "studio"


def title(kind: str) -> str:
    """A task as a tab is called."""
    return kind.replace("-", " ").capitalize()


@lru_cache(maxsize=256)
def first_picture(path: str, _made: float) -> Any:
    """The first frame of a file, small; None where it can't be read."""
    try:
        return small(shown_frame(Clip.load(path).frames[0]))
    except ValueError:
        return None


def thumbnail(job: Job) -> Any:
    """The first frame of a result, small; None of a style."""
    if isinstance(job.task, LearnStyle) or not job.results:
        return None
    return first_picture(job.results[0], job.finished)


def usable(job: Job, field: str, which: str, folder: Path) -> str:
    """A result as a widget takes it: the file, or its first or last frame as a picture.

    Raises ValueError for a result of another kind.
    """
    path = job.results[0]
    style = isinstance(job.task, LearnStyle)
    if style != (field == "styles"):
        got = "a style" if style else "a clip"
        raise ValueError(f"{field}: expected what it is made of, got {got}, choose another input")
    if which == "all":
        return path
    clip = loaded(path)
    frame = clip.frames[0 if which == "first" else -1]
    place = folder / USED / f"{job.id}-{which}.png"
    place.parent.mkdir(exist_ok=True)
    save_image(frame, place)
    return str(place)


def place_text(name: str) -> str:
    """A place and its limits."""
    place = place_of(name)
    return (
        f"{name}: {place.suffix[1:]}, {place.width} x {place.height}, "
        f"{float(place.seconds):g} s, {place.size // 1000} kB"
    )


def sticker_pack(job: Job, place: str) -> tuple[str, str]:
    """A zip of a pack with this one sticker, and what was given up for it. Raises ValueError."""
    from openlumiere.media.sticker_pack import write_stickers

    folder = Path(tempfile.mkdtemp(prefix="stickers-"))
    pack = write_stickers([Clip.load(job.results[0])], place, folder / place)
    file = shutil.make_archive(str(folder / f"{place}-{job.id}"), "zip", pack.folder)
    return file, "".join(f"<p>{escape(word)}</p>" for word in pack.words)


def add_verify(say: Say) -> None:
    """Drop a file, read where it comes from."""
    gr.Markdown(say("Where does a file come from? Its mark and its manifest are read here."))
    file = gr.File(label=say("File"), type="filepath", height=140, elem_id="verify-file")
    told = gr.HTML("", elem_id="verdict", padding=False)
    file.change(lambda path: verdict(path, say), file, told, api_visibility="private")


def verdict(path: str | None, say: Say) -> str:
    """What `lumiere verify` says of a file."""
    if not path:
        return ""
    from openlumiere.apps.cli.verify import details
    from openlumiere.provenance.verify import UNREADABLE, verify

    report = verify(Path(path))
    if report.code == UNREADABLE:
        return line_html(report.verdict)
    lines = "".join(f"<p><code>{escape(line)}</code></p>" for line in details(report))
    return f'<p class="status" role="status">{escape(say(report.verdict))}</p>{lines}'
