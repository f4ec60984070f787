"""What the page shows of clips and jobs, as HTML: every text in it is escaped."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from openlumiere.apps.queue import Job
from openlumiere.apps.studio.words import Say
from openlumiere.media import Clip
from openlumiere.media.alpha import on_chequerboard

MOVIES = (".mp4", ".webm")
PICTURES = (".png", ".webp", ".gif", ".apng", ".jpg", ".jpeg")
STRIP = 8  # frames
STRIP_HEIGHT = 72  # pixels


@lru_cache(maxsize=3)
def loaded(path: str) -> Clip:
    """A clip or a picture, the last few kept. Raises ValueError for what can't be read."""
    return Clip.load(path)


def shown_frame(frame: np.ndarray) -> np.ndarray:
    """A frame as it is looked at: alpha on a chequerboard."""
    return on_chequerboard(frame[None])[0] if frame.shape[2] == 4 else frame


def strip_of(clip: Clip) -> list[tuple[Image.Image, str]]:
    """Frames spread evenly over a clip, each with its number."""
    numbers = np.unique(np.linspace(0, len(clip) - 1, STRIP).round().astype(int))
    return [(small(shown_frame(clip.frames[number])), str(number)) for number in numbers]


def small(frame: np.ndarray) -> Image.Image:
    """A frame, 72 pixels high."""
    width = max(1, round(frame.shape[1] * STRIP_HEIGHT / frame.shape[0]))
    return Image.fromarray(frame).resize((width, STRIP_HEIGHT), Image.Resampling.LANCZOS)


def picture_html(frame: np.ndarray, text: str) -> str:
    """A small picture in the page itself."""
    buffer = io.BytesIO()
    small(shown_frame(frame)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="thumb" alt="{escape(text)}" src="data:image/png;base64,{data}">'


def line_html(line: str) -> str:
    """A mistake, said at once by a screen reader."""
    return f'<p class="mistake" role="alert">{escape(line)}</p>' if line else ""


def timeline_html(shots: Sequence[str], seconds: float, say: Say) -> str:
    """Shots one after the other, each as long as the clip that it is."""
    if len(shots) < 2:
        return ""
    cells = "".join(
        f"<li><b>{escape(stretch(number, seconds))}</b> {escape(shot)}</li>"
        for number, shot in enumerate(shots)
    )
    return f'<ol class="timeline" aria-label="{escape(say("Shots"))}">{cells}</ol>'


def stretch(number: int, seconds: float) -> str:
    """When a shot is seen."""
    return f"{number * seconds:g}–{(number + 1) * seconds:g} s"


def status_html(job: Job | None, ahead: int, say: Say, warning: str = "") -> str:
    """How far a job is: state, steps, time, memory."""
    if job is None:
        return f'<p class="status">{escape(say("Nothing made yet."))}</p>' + line_html(warning)
    words = [say(job.state.capitalize()), *progress_of(job, ahead, say)]
    told = (
        f'<p class="status {job.state}" data-job="{job.id}" role="status">'
        f"{escape(' · '.join(words))}</p>"
    )
    return told + bar_html(job, say) + line_html(job.error or warning)


def progress_of(job: Job, ahead: int, say: Say) -> list[str]:
    """Steps, seconds, and the memory that is free."""
    if job.state == "pending":
        return [f"{ahead} {say('ahead of it')}"] if ahead else []
    took = (job.finished or time.time()) - job.started
    found = [f"{took:.0f} s"] if job.started else []
    if job.state != "running":
        return found
    if job.total:
        found.insert(0, f"{say('step')} {job.step}/{job.total}")
    if 0 < job.step < job.total:
        left = took / job.step * (job.total - job.step)
        found.append(f"{say('about')} {left:.0f} s {say('left')}")
    free = psutil.virtual_memory().available / 2**30
    return [*found, f"{free:.1f} GiB {say('of memory free')}"]


def bar_html(job: Job, say: Say) -> str:
    """A bar while it runs."""
    if job.state != "running":
        return ""
    how_far = f'value="{job.step}" max="{job.total}"' if job.total else ""
    return f'<progress aria-label="{escape(say("Progress"))}" {how_far}></progress>'


def result_html(job: Job | None, say: Say) -> str:
    """The clip or picture of a job; while it runs the estimate."""
    if job is None:
        return ""
    if job.state == "running" and job.preview:
        alt = escape(say("What it will show, estimated"))
        return f'<img class="made" alt="{alt}" src="/jobs/{job.id}/preview?step={job.step}">'
    if job.state != "done" or not job.results:
        return ""
    text = escape(" ".join([say("Result"), *job.task.sentences()[:1]]))
    return made_html(f"/jobs/{job.id}/result", job.results[0], text) + link_html(job, say)


def link_html(job: Job, say: Say) -> str:
    """A link that saves the file."""
    name = Path(job.results[0]).name
    return (
        f'<p><a href="/jobs/{job.id}/result" download="{job.id}-{escape(name)}">'
        f"{escape(say('Save the file'))} ({escape(Path(name).suffix)})</a></p>"
    )


def made_html(address: str, path: str, text: str) -> str:
    """A file as the browser can show it; empty where it can't."""
    suffix = Path(path).suffix.lower()
    if suffix in MOVIES:
        return (
            f'<video class="made" controls loop autoplay muted playsinline aria-label="{text}" '
            f'src="{address}"></video>'
        )
    return f'<img class="made" alt="{text}" src="{address}">' if suffix in PICTURES else ""


MOVE = "this.parentElement.style.setProperty('--cut', this.value + '%')"
FOLLOW = "const b=this.parentElement.querySelector('video'); if (b) b.currentTime=this.currentTime"


def compare_html(job: Job | None, before: str, say: Say) -> str:
    """What was given and what was made, one over the other, with a slider between them."""
    if job is None or job.state != "done" or not job.results or not before:
        return ""
    given = made_html(f"/jobs/{job.id}/before", before, escape(say("Before")))
    made = made_html(f"/jobs/{job.id}/result", job.results[0], escape(say("After")))
    if not given or not made:
        return ""
    made = made.replace("class=", f'onplay="{FOLLOW}" class=', 1).replace(" controls", "")
    return (
        f'<div class="compare">{given.replace(" controls", "")}<div class="over">{made}</div>'
        f'<input type="range" min="0" max="100" value="50" oninput="{MOVE}" '
        f'aria-label="{escape(say("Before and after"))}"></div>'
    )
