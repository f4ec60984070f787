"""The measure `preview`: prompts of the sticker world's first slice, the clips made for them, and how often they show what was asked.

Beside the figures stand their ceiling (the same measure on rendered clips of the same scenes) and their floor (the prompts
shuffled among the clips).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from openlumiere.data.world.slice import (
    BACKGROUNDS, MOTIONS, STILL_TEMPLATES, SUBJECTS, TEMPLATES, Facts, caption, draw_facts, render,
)  # fmt: skip
from openlumiere.evaluate.rates import Rate
from openlumiere.evaluate.reading import Reading, draw_templates, read

LANGUAGES = ("English", "Italian")
ASPECTS = ("subject", "background", "motion")
NAMES = {"subject": [names[0] for names in SUBJECTS.values()], "background": [names[0] for names in BACKGROUNDS], "motion": [names[0] for names in MOTIONS]}
NATIVE_FRAMES = 80  # a whole clip

Clips = Iterator[UInt8[np.ndarray, "f H W 3"]]


@dataclass(frozen=True)
class Result:
    """A prompt's scene and what was read off the clip made for it."""

    scene: Facts
    reading: Reading

    @property
    def language(self) -> int:
        return TEMPLATES[self.scene.template][0]

    def hit(self, aspect: str) -> bool:
        return getattr(self.scene, aspect) == getattr(self.reading, aspect)


def draw_scenes(count: int, seed: int) -> list[Facts]:
    """Scenes that go through every combination of subject, background and motion in a random order, English and Italian by turns."""
    generator = torch.Generator().manual_seed(seed)
    grid = [(s, b, m) for s in range(len(SUBJECTS)) for b in range(len(BACKGROUNDS)) for m in range(len(MOTIONS))]
    order = [grid[index] for index in torch.randperm(len(grid), generator=generator)]
    scenes = []
    for index in range(count):
        subject, background, motion = order[index % len(order)]
        template = draw_template(index % len(LANGUAGES), generator)
        scenes.append(replace(draw_facts(generator), subject=subject, background=background, motion=motion, template=template))
    return scenes


def draw_template(language: int, generator: torch.Generator) -> int:
    """A sentence in `language` that names a motion."""
    fit = [index for index, (spoken, _) in enumerate(TEMPLATES) if spoken == language and index not in STILL_TEMPLATES]
    return fit[int(torch.randint(len(fit), (1,), generator=generator))]


def measure(scenes: list[Facts], clips: Clips, sprites: Float[Tensor, "s 4 h w"], side: int) -> list[Result]:
    """Read `clips`, one a scene in their order, of `side` x `side` pixels."""
    templates = draw_templates(sprites, side)
    return [Result(scene, read(frames, templates)) for scene, frames in zip(scenes, clips, strict=True)]


def rendered(scenes: list[Facts], sprites: Float[Tensor, "s 4 h w"], frames: int, side: int) -> Clips:
    """The scenes as they are drawn for training, `frames` frames spread as `lumiere evaluate` spreads them over a whole clip."""
    progress = torch.arange(frames) * (NATIVE_FRAMES / frames) / (NATIVE_FRAMES - 1)
    for scene in scenes:
        drawn = (render(sprites, [scene], progress[None], side)[0] + 1) * 127.5
        yield rearrange(drawn.round().to(torch.uint8), "c f h w -> f h w c").numpy()


def summary(results: list[Result], ceiling: list[Result]) -> dict:
    """Rates over all and by language, their ceiling and floor, means of the other figures, and hits by what was asked."""
    return {
        "rates": rates(results),
        "by_language": {name: rates([r for r in results if r.language == index]) for index, name in enumerate(LANGUAGES)},
        "ceiling": rates(ceiling),
        "floor": floor(results),
        "means": means(results),
        "ceiling_means": means(ceiling),
        "by_asked": {aspect: by_asked(results, aspect) for aspect in ASPECTS},
    }


def rates(results: list[Result]) -> dict[str, Rate]:
    """How often each aspect is as asked, and all of them at once; empty without results."""
    if not results:
        return {}
    hits = {aspect: [result.hit(aspect) for result in results] for aspect in ASPECTS}
    hits["all three"] = [all(each) for each in zip(*hits.values())]
    return {aspect: Rate(sum(each), len(results)) for aspect, each in hits.items()}


def floor(results: list[Result]) -> dict[str, float]:
    """Chance: the expected share of hits after the prompts are shuffled, which is the mean over all pairs of clip and prompt."""
    hits = {aspect: agreement(results, aspect) for aspect in ASPECTS}
    hits["all three"] = np.logical_and.reduce(list(hits.values()))
    return {aspect: float(each.mean()) for aspect, each in hits.items()}


def agreement(results: list[Result], aspect: str) -> np.ndarray:
    """[reading, scene]: whether that clip shows what that prompt asked for."""
    shown = [getattr(result.reading, aspect) for result in results]
    asked = [getattr(result.scene, aspect) for result in results]
    return np.array([[one == other for other in asked] for one in shown])


FIGURES: dict[str, tuple[str, Callable[[Result], float | None]]] = {  # key: what the table says, how it is read
    "likeness": ("likeness to the asked subject (0 to 1)", lambda result: result.reading.likeness[result.scene.subject]),
    "lite-flicker": ("lite-flicker (1: still)", lambda result: result.reading.flicker),
    "path_residual": ("path off a straight line (frame sides)", lambda result: result.reading.path_residual),
    "background_drift": ("background drift (levels of 255)", lambda result: result.reading.background_drift),
}


def means(results: list[Result]) -> dict[str, float | None]:
    """Mean of each figure over the clips that have it."""
    answer = {}
    for key, (_, figure) in FIGURES.items():
        values = [value for value in map(figure, results) if value is not None]
        answer[key] = float(np.mean(values)) if values else None
    return answer


def by_asked(results: list[Result], aspect: str) -> dict[str, str]:
    """`hits/trials` of `aspect` for each of its values."""
    groups = {name: [r.hit(aspect) for r in results if getattr(r.scene, aspect) == index] for index, name in enumerate(NAMES[aspect])}
    return {name: f"{sum(hits)}/{len(hits)}" for name, hits in groups.items()}


def table(found: dict) -> str:
    """The summary as two Markdown tables; in brackets Wilson's 95 % interval."""
    columns = [found["rates"], *found["by_language"].values(), found["ceiling"]]
    counts = [str(next(iter(column.values())).trials) if column else "0" for column in columns]
    heads = [f"{name} ({count})" for name, count in zip(("all", *LANGUAGES, "ceiling: rendered clips"), counts)]
    rows = [["as asked", *heads, "floor: prompts shuffled"]]
    for aspect in found["rates"]:
        rows.append([aspect, *(str(column.get(aspect, "-")) for column in columns), f"{100 * found['floor'][aspect]:.1f} %"])
    figures = [["mean over clips", "made", "rendered"]]
    for key, (name, _) in FIGURES.items():
        figures.append([name, number(found["means"][key]), number(found["ceiling_means"][key])])
    return f"{markdown(rows)}\n\n{markdown(figures)}"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def markdown(rows: list[list[str]]) -> str:
    """Rows of cells, the first one the head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])


def as_json(found: dict, results: list[Result]) -> dict:
    """The summary and every clip in plain values."""
    clips = [{"prompt": caption(r.scene), "asked": {a: getattr(r.scene, a) for a in ASPECTS}, "read": asdict(r.reading)} for r in results]
    return {"names": NAMES, **plain(found), "clips": clips}


def plain(value):
    """Rates as hits, trials, share and interval, wherever they stand."""
    if isinstance(value, Rate):
        return {**asdict(value), "share": value.share, "interval": value.interval()}
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value
