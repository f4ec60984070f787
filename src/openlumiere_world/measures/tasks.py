"""The measure `tasks`: is known content kept, are seams seen, do loops close, does the text steer,
does a restyled clip move alike?

Every figure is read off the pixels; beside `exact` stands the same for `soft`, so that keeping
pixels hides nothing. The bars are the same figures of the official published clips (PAPER:
"Measured on the published clips"), or the goal of this project.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, UInt8

from openlumiere.engine.canvas import masked
from openlumiere.engine.lumiere import Lumiere
from openlumiere.media import Clip
from openlumiere.media.mask import black_and_white
from openlumiere.quality.bench import markdown
from openlumiere.quality.metrics import EXACT, psnr
from openlumiere.quality.rates import Rate
from openlumiere.tasks.region import Region
from openlumiere_world.measures.judge import Judge
from openlumiere_world.measures.reading import CONTRAST, NOISE, WAYS, border_mask, read, track
from openlumiere_world.measures.sources import Ask, Source

REGION = Region.box(0.2, 0.2, 0.8, 0.8)
KEEPS = ("exact", "soft")
MARGIN = 1 / 16  # frame sides around a subject that is replaced
RESTYLED = (
    (0.3, 0),
    (0.5, 0),
    (0.7, 0),
    (0.9, 0),
    (0.7, 0.5),
    (0.9, 0.5),
    (0.9, 1),
)  # strengths, structures
Figures = dict[str, float | bool]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How clips are made."""

    steps: int = 10
    guidance: float = 3.0
    seed: int = 0

    def options(self) -> dict:
        """As the methods of `Lumiere` take them."""
        return {"steps": self.steps, "guidance": self.guidance, "seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of one clip, or whether something is so."""

    source: str
    task: str
    keep: str
    what: str
    value: float | bool


Show = Callable[[str, Clip], None]
Measured = Iterator[Figure]


def measure(
    lumiere: Lumiere,
    sources: list[Source],
    tasks: Sequence[str],
    settings: Settings,
    judge: Judge | None,
    show: Show,
) -> Measured:
    """All figures of these tasks of all sources; `show` gets the name and clip of each result."""
    for source in sources:
        for task in tasks:
            for keep, variant, found in TASKS[task](lumiere, source, settings, judge, show):
                for what, value in found.items():
                    yield Figure(
                        source=source.name,
                        task=task,
                        keep=keep,
                        what=f"{what}{variant}",
                        value=value,
                    )


Found = Iterator[tuple[str, str, Figures]]
"""How known content was kept ("" where none is), what the figures' names end in, and the figures of
one made clip.
"""


def animate(
    lumiere: Lumiere, source: Source, settings: Settings, judge: Judge | None, show: Show
) -> Found:
    """From its own first frame, by its own sentence."""
    clip = source.clip
    for keep in KEEPS:
        made, cost = timed(
            lumiere.animate,
            clip.frames[0],
            source.shows.prompt,
            frames=len(clip),
            fps=clip.fps,
            keep=keep,
            **settings.options(),
        )
        show(f"{source.name} animate {keep}", made)
        steps = step_sizes(made.frames)
        yield (
            keep,
            "",
            {
                "first frame against the input (dB)": psnr(made.frames[0], clip.frames[0]),
                "first step over the median step": ratio(steps[0], steps[1:]),
                **judged(source.shows, made, judge, "subject", "motion"),
                **cost,
            },
        )


def steer(
    lumiere: Lumiere, source: Source, settings: Settings, judge: Judge | None, show: Show
) -> Found:
    """From the frame whose subject is nearest to the middle, told to go one way and the opposite
    one: only the text differs.
    """
    if not source.turned:
        return
    clip = source.clip
    middle = clip.frames[np.abs(path_of(clip) - 0.5).sum(axis=1).argmin()]
    ways = (
        ("left", "right") if np.array(WAYS.get(source.shows.motion, (1, 0)))[0] else ("up", "down")
    )
    for way in ways:
        asked = source.turned[way]
        made, cost = timed(
            lumiere.animate,
            middle,
            asked.prompt,
            frames=len(clip),
            fps=clip.fps,
            **settings.options(),
        )
        show(f"{source.name} steer {way}", made)
        yield "exact", "", {**judged(asked, made, judge, "motion"), **cost}


def inpaint(
    lumiere: Lumiere, source: Source, settings: Settings, judge: Judge | None, show: Show
) -> Found:
    """Another subject in the place of the one that moves; of a file, the middle made anew."""
    asked, region = (
        (source.shows, REGION) if source.other is None else (source.other, around(source.clip))
    )
    inside = masked(region, *source.clip.frames.shape[:3])
    for keep in KEEPS:
        made, cost = timed(
            lumiere.inpaint, source.clip, region, asked.prompt, keep=keep, **settings.options()
        )
        show(f"{source.name} inpaint {keep}", made)
        yield (
            keep,
            "",
            {
                **kept(made, source.clip.frames, ~inside),
                **judged(asked, made, judge, "subject", "motion"),
                **cost,
            },
        )


def outpaint(
    lumiere: Lumiere, source: Source, settings: Settings, judge: Judge | None, show: Show
) -> Found:
    """Half as wide again."""
    (width, height), clip = source.clip.size, source.clip
    wide = width * 3 // 2
    left = (wide - width) // 2
    known = np.zeros((len(clip), height, wide), bool)
    known[:, :, left : left + width] = True
    given = np.zeros((*known.shape, 3), np.uint8)
    given[:, :, left : left + width] = clip.frames
    for keep in KEEPS:
        made, cost = timed(
            lumiere.outpaint,
            clip,
            (wide, height),
            source.shows.prompt,
            keep=keep,
            **settings.options(),
        )
        show(f"{source.name} outpaint {keep}", made)
        yield keep, "", {**kept(made, given, known), **cost}


def mend(
    lumiere: Lumiere, source: Source, settings: Settings, judge: Judge | None, show: Show
) -> Found:
    """A scratch and a lost frame, to be found and repaired."""
    broken, where = damaged(source.clip)
    for keep in KEEPS:
        made, cost = timed(
            lumiere.mend, broken, None, source.shows.prompt, keep=keep, **settings.options()
        )
        show(f"{source.name} mend {keep}", made)
        yield (
            keep,
            "",
            {
                "damaged pixels before (dB)": psnr(broken.frames[where], source.clip.frames[where]),
                "damaged pixels mended (dB)": psnr(made.frames[where], source.clip.frames[where]),
                "sound pixels (dB)": psnr(made.frames[~where], source.clip.frames[~where]),
                **cost,
            },
        )


def cinemagraph(
    lumiere: Lumiere, source: Source, settings: Settings, judge: Judge | None, show: Show
) -> Found:
    """The middle of the first frame moves, in a loop."""
    clip = source.clip
    outside = ~masked(REGION, *clip.frames.shape[:3])
    first = np.broadcast_to(clip.frames[0], clip.frames.shape)
    for keep in KEEPS:
        options = {"frames": len(clip), "fps": clip.fps, "keep": keep, **settings.options()}
        made, cost = timed(
            lumiere.cinemagraph, clip.frames[0], REGION, source.shows.prompt, loop=True, **options
        )
        show(f"{source.name} cinemagraph {keep}", made)
        steps = step_sizes(np.concatenate([made.frames, made.frames[:1]]))
        yield (
            keep,
            "",
            {
                "outside the region (dB)": psnr(made.frames[outside], first[outside]),
                "loop jump over the median step": ratio(steps[-1], steps[:-1]),
                "median step (levels)": float(np.median(steps)),
                **cost,
            },
        )


def restyle(
    lumiere: Lumiere, source: Source, settings: Settings, judge: Judge | None, show: Show
) -> Found:
    """In another style, where the source names one, at several strengths, its coarse shapes held or
    not.
    """
    asked = source.restyled or source.shows
    for strength, structure in RESTYLED:
        made, cost = timed(
            lumiere.restyle,
            source.clip,
            asked.prompt,
            strength=strength,
            structure=structure,
            **settings.options(),
        )
        show(f"{source.name} restyle {strength:g} structure {structure:g}", made)
        found = {
            "path correlation": path_correlation(source.clip, made),
            **judged(asked, made, judge, "style", "subject"),
            **cost,
        }
        yield (
            "",
            f" at strength {strength:g}" + (f", structure {structure:g}" if structure else ""),
            found,
        )


TASKS = {
    "animate": animate,
    "steer": steer,
    "inpaint": inpaint,
    "outpaint": outpaint,
    "mend": mend,
    "cinemagraph": cinemagraph,
    "restyle": restyle,
}


def timed(make: Callable[..., Clip], *given: object, **options: object) -> tuple[Clip, Figures]:
    """What was made, and its cost."""
    start = time.process_time()
    return make(*given, **options), {"CPU seconds a clip": time.process_time() - start}


def kept(
    made: Clip, given: UInt8[np.ndarray, "f h w 3"], known: Bool[np.ndarray, "f h w"]
) -> Figures:
    """How near known pixels are, and whether a seam is seen."""
    return {
        "known pixels (dB)": psnr(made.frames[known], given[known]),
        "step at the seam over steps inside": seam(made.frames, known),
    }


READS = {
    "subject": "shows the asked subject",
    "style": "reads as the asked style",
    "motion": "moves as asked",
}


def judged(asked: Ask, made: Clip, judge: Judge | None, *aspects: str) -> Figures:
    """Whether a judge reads in a clip what was asked for; nothing where that is not known, or the
    clip is none that a judge reads.
    """
    if judge is None or made.size[0] != made.size[1] or made.size[0] % 32 or not asked.subject:
        return {}
    seen = read(made.frames, judge)
    return {READS[aspect]: getattr(seen, aspect) == getattr(asked, aspect) for aspect in aspects}


def step_sizes(frames: UInt8[np.ndarray, "f h w 3"]) -> Float[np.ndarray, " f-1"]:
    """Mean difference of each frame from the one before, in levels."""
    return np.array(
        [np.abs(one.astype(np.int16) - other).mean() for one, other in pairwise(frames)]
    )


def ratio(step: float, others: np.ndarray) -> float:
    """A step over the median of others; 1 where nothing moves at all."""
    median = float(np.median(others))
    return float(step / median) if median else (1.0 if step == 0 else EXACT)


def seam(frames: UInt8[np.ndarray, "f h w 3"], known: Bool[np.ndarray, "f h w"]) -> float:
    """Mean step between neighbours in a row of which one is known, over that between made ones; 1:
    no seam is seen.
    """
    steps = np.abs(np.diff(frames.astype(np.int16), axis=2)).mean(axis=3)
    border, made = known[:, :, 1:] != known[:, :, :-1], ~(known[:, :, 1:] | known[:, :, :-1])
    inside = float(steps[made].mean()) if made.any() else 0.0
    across = float(steps[border].mean()) if border.any() else 0.0
    return across / inside if inside else (1.0 if across == 0 else EXACT)


def damaged(clip: Clip) -> tuple[Clip, Bool[np.ndarray, "f h w"]]:
    """The clip with a scratch of one column in 64 (at least one) down every frame, and its middle
    frame lost; and where.
    """
    frames, where = np.array(clip.frames), np.zeros(clip.frames.shape[:3], bool)
    wide = max(1, min(2, clip.size[0] // 64))
    left = round(0.3 * clip.size[0])
    frames[:, :, left : left + wide] += 128  # wraps around: far from any level
    frames[len(clip) // 2] = 0
    where[:, :, left : left + wide] = where[len(clip) // 2] = True
    return replace(clip, frames=frames, origin=None), where


def path_correlation(source: Clip, made: Clip) -> float:
    """Correlation of the two paths of what stands out from the border, over the axis in which the
    source's goes further.
    """
    one, other = path_of(source), path_of(made)
    axis = int(np.ptp(one, axis=0).argmax())
    a, b = one[:, axis] - one[:, axis].mean(), other[:, axis] - other[:, axis].mean()
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else 0.0


def path_of(clip: Clip) -> Float[np.ndarray, "f 2"]:
    """Middle (x, y) of what stands out, frame by frame, on the largest square around the clip's
    middle.
    """
    return track(*contrast_of(clip))[0]


def contrast_of(clip: Clip) -> tuple[Float[np.ndarray, "f s s 3"], float]:
    """Differences from the colour of the border, on the largest square around the middle, and from
    which on they count.
    """
    width, height = clip.size
    side = min(width, height)
    y, x = (height - side) // 2, (width - side) // 2
    frames = clip.frames[:, y : y + side, x : x + side]
    border = frames[:, border_mask(side)]
    colour = np.median(np.median(border, axis=1), axis=0)
    unevenness = float(np.median(np.abs(border - colour).max(axis=2)))
    return frames.astype(np.float32) - colour.astype(np.float32), max(CONTRAST, NOISE * unevenness)


def around(clip: Clip) -> Region:
    """A box around what stands out, with a margin, frame by frame; of a square clip."""
    contrast, least = contrast_of(clip)
    found = np.abs(contrast).max(axis=3) >= least
    margin = round(MARGIN * clip.size[0])
    mask = np.zeros(found.shape, np.float32)
    for inside, frame in zip(mask, found):
        rows, columns = np.flatnonzero(frame.any(axis=1)), np.flatnonzero(frame.any(axis=0))
        if len(rows):
            inside[
                max(0, rows[0] - margin) : rows[-1] + 1 + margin,
                max(0, columns[0] - margin) : columns[-1] + 1 + margin,
            ] = 1
    return Region.of(black_and_white(mask > 0))


BARS = {
    "first frame against the input (dB)": "16-24",
    "known pixels (dB)": "22-40",
    "loop jump over the median step": "none closes",
    "first step over the median step": "goal: at most 1.5",
    "path correlation": "goal: at least 0.9",
}


def table(figures: list[Figure]) -> str:
    """Markdown: each figure over the sources, exact beside soft beside the official clips'."""
    rows: dict[tuple[str, str], dict[str, list]] = {}
    for figure in figures:
        rows.setdefault((figure.task, figure.what), {}).setdefault(figure.keep, []).append(
            figure.value
        )
    lines = [["task", "figure", *KEEPS, "official clips, or goal"]]
    for (task, what), by_keep in rows.items():
        if "" in by_keep:
            cells = [summary(by_keep[""]), "-"]
        else:
            cells = [summary(by_keep[keep]) if keep in by_keep else "-" for keep in KEEPS]
        lines.append([task, what, *cells, BARS.get(what.partition(" at ")[0], "-")])
    return markdown(lines)


def summary(values: list) -> str:
    """A share with its interval; or `mean (least to most), n = n`; exact where every one is
    infinite.
    """
    if isinstance(values[0], bool):
        return f"{sum(values)} of {len(values)}: {Rate(sum(values), len(values))}"
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return "exact"
    exact = f", {len(values) - len(finite)} exact" if len(finite) < len(values) else ""
    return (
        f"{np.mean(finite):.3g} ({min(finite):.3g} to {max(finite):.3g}), n = {len(finite)}{exact}"
    )
