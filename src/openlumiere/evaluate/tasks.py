"""The measure `tasks`: is known content kept, do loops close, does a clip go on from its first frame, does a restyled clip move alike?

Every figure is read off the pixels; beside `exact` stands the same for `soft`, so that keeping pixels hides nothing. The bars are the
same figures of the official published clips (PAPER: "Measured on the published clips").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8

from openlumiere.conditions import Region
from openlumiere.evaluate.judge import Judge
from openlumiere.evaluate.reading import CONTRAST, NOISE, WAYS, border_mask, read, track
from openlumiere.media import Clip
from openlumiere.pipelines.lumiere import Lumiere
from openlumiere.pipelines.request import KEEPS

REGION = Region.box(0.2, 0.2, 0.8, 0.8)
STRENGTHS = (0.3, 0.5, 0.7, 0.9)
EXACT = float("inf")
SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Source:
    """A square or other clip to work on, what it shows, and which way it moves where that is known."""

    name: str
    clip: Clip
    prompt: str
    motion: str | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int = 10
    guidance: float = 3.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of one clip."""

    source: str
    task: str
    keep: str
    what: str
    value: float


def measure(lumiere: Lumiere, sources: list[Source], settings: Settings, judge: Judge | None, show: Callable[[str, Clip], None]) -> Iterator[Figure]:
    """All figures of all sources; `show` is given the name and clip of each result."""
    for source in sources:
        for task, make in TASKS.items():
            for keep in KEEPS:
                made = make(lumiere, source, keep, settings)
                show(f"{source.name} {task} {keep}", made)
                for what, value in READ[task](source, made, judge).items():
                    yield Figure(source=source.name, task=task, keep=keep, what=what, value=value)
        for strength in STRENGTHS:
            made = lumiere.restyle(source.clip, source.prompt, strength=strength, **options(settings))
            show(f"{source.name} restyle {strength:g}", made)
            yield Figure(source=source.name, task="restyle", keep="", what=f"path correlation at strength {strength:g}", value=path_correlation(source.clip, made))


def options(settings: Settings) -> dict:
    return {"steps": settings.steps, "guidance": settings.guidance, "seed": settings.seed}


def animate(lumiere: Lumiere, source: Source, keep: str, settings: Settings) -> Clip:
    clip = source.clip
    return lumiere.animate(clip.frames[0], source.prompt, frames=len(clip), fps=clip.fps, keep=keep, **options(settings))


def inpaint(lumiere: Lumiere, source: Source, keep: str, settings: Settings) -> Clip:
    return lumiere.inpaint(source.clip, REGION, source.prompt, keep=keep, **options(settings))


def cinemagraph(lumiere: Lumiere, source: Source, keep: str, settings: Settings) -> Clip:
    clip = source.clip
    return lumiere.cinemagraph(
        clip.frames[0], REGION, source.prompt, loop=True, frames=len(clip), fps=clip.fps, keep=keep, **options(settings)
    )  # fmt: skip


TASKS = {"animate": animate, "inpaint": inpaint, "cinemagraph": cinemagraph}


def read_animate(source: Source, made: Clip, judge: Judge | None) -> dict[str, float]:
    steps = step_sizes(made.frames)
    return {
        "first frame against the input (dB)": psnr(made.frames[0], source.clip.frames[0]),
        "first step over the median step": ratio(steps[0], steps[1:]),
        **judged(source, made, judge, motion=True),
    }


def read_inpaint(source: Source, made: Clip, judge: Judge | None) -> dict[str, float]:
    known = ~inside(made)
    return {"known pixels (dB)": psnr(made.frames[known], source.clip.frames[known]), **judged(source, made, judge)}


def read_cinemagraph(source: Source, made: Clip, judge: Judge | None) -> dict[str, float]:
    outside, first = ~inside(made), np.broadcast_to(source.clip.frames[0], made.frames.shape)
    steps = step_sizes(np.concatenate([made.frames, made.frames[:1]]))
    return {
        "outside the region (dB)": psnr(made.frames[outside], first[outside]),
        "loop jump over the median step": ratio(steps[-1], steps[:-1]),
        "median step inside (levels)": float(np.median(steps)),
    }


READ = {"animate": read_animate, "inpaint": read_inpaint, "cinemagraph": read_cinemagraph}


def inside(clip: Clip) -> np.ndarray:
    return REGION.inside(len(clip), clip.size[1], clip.size[0])


def psnr(made: UInt8[np.ndarray, "..."], given: UInt8[np.ndarray, "..."]) -> float:
    """Peak signal to noise ratio in dB; infinite where all is equal."""
    error = np.square(made.astype(np.float64) - given).mean()
    return EXACT if error == 0 else float(10 * np.log10(255**2 / error))


def step_sizes(frames: UInt8[np.ndarray, "f h w 3"]) -> Float[np.ndarray, " f-1"]:
    """Mean difference of each frame from the one before, in levels."""
    return np.array([np.abs(one.astype(np.int16) - other).mean() for one, other in zip(frames, frames[1:])])


def ratio(step: float, others: np.ndarray) -> float:
    """A step over the median of others; 1 where nothing moves at all."""
    median = float(np.median(others))
    return float(step / median) if median else (1.0 if step == 0 else EXACT)


def path_correlation(source: Clip, made: Clip) -> float:
    """Correlation of the two paths of what stands out from the border, over the axis in which the source's goes further."""
    one, other = path_of(source), path_of(made)
    axis = int(np.ptp(one, axis=0).argmax())
    a, b = one[:, axis] - one[:, axis].mean(), other[:, axis] - other[:, axis].mean()
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else 0.0


def path_of(clip: Clip) -> Float[np.ndarray, "f 2"]:
    """Middle (x, y) of what stands out, frame by frame, on the largest square around the clip's middle."""
    width, height = clip.size
    side = min(width, height)
    y, x = (height - side) // 2, (width - side) // 2
    frames = clip.frames[:, y : y + side, x : x + side]
    border = frames[:, border_mask(side)]
    colour = np.median(np.median(border, axis=1), axis=0)
    unevenness = float(np.median(np.abs(border - colour).max(axis=2)))
    return track(frames.astype(np.float32) - colour.astype(np.float32), max(CONTRAST, NOISE * unevenness))[0]


def judged(source: Source, made: Clip, judge: Judge | None, motion: bool = False) -> dict[str, float]:
    """Whether a judge sees in the made clip what it sees in the source, and (where told) the source's motion; needs square clips."""
    if judge is None or made.size[0] != made.size[1] or made.size[0] % 32:
        return {}
    seen, asked = read(made.frames, judge), read(source.clip.frames, judge)
    found = {"shows the source's subject": float(seen.subject == asked.subject)}
    if motion and source.motion in (*WAYS, "stay"):
        found["moves as told"] = float(seen.motion == source.motion)
    return found


BARS = {
    "first frame against the input (dB)": "16-24", "known pixels (dB)": "22-40", "loop jump over the median step": "none closes",
    "first step over the median step": "ours: at most 1.5", "outside the region (dB)": "-",
}  # fmt: skip


def table(figures: list[Figure]) -> str:
    """Markdown: the mean of each figure over the sources (and the worst), exact beside soft beside the official clips'."""
    rows = {}
    for figure in figures:
        rows.setdefault((figure.task, figure.what), {}).setdefault(figure.keep, []).append(figure.value)
    lines = ["| task | figure | exact | soft | official clips |", "| --- | --- | --- | --- | --- |"]
    for (task, what), by_keep in rows.items():
        cells = [summary(by_keep[keep]) if keep in by_keep else "-" for keep in KEEPS] if "" not in by_keep else [summary(by_keep[""]), "-"]
        lines.append(f"| {task} | {what} | {' | '.join(cells)} | {BARS.get(what, '-')} |")
    return "\n".join(lines)


def summary(values: list[float]) -> str:
    """`mean (least to most) of n`; exact where every one is infinite."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return "exact"
    exact = f", {len(values) - len(finite)} exact" if len(finite) < len(values) else ""
    return f"{np.mean(finite):.3g} ({min(finite):.3g} to {max(finite):.3g}), n = {len(finite)}{exact}"


def thinned(clip: Clip, frames: int) -> Clip:
    """The first five seconds in about as many frames; a clip that has no more is left alone."""
    first = clip.frames[: max(1, int(SECONDS * clip.fps))]
    stride = -(-len(first) // frames)
    return clip if stride == 1 and len(first) == len(clip) else replace(clip, frames=first[::stride], fps=clip.fps / stride, audio=None)
