"""The measures `tasks` and `style` as one report: what is asked, figures, a sheet of filmstrips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from openlumiere.engine.fit import enlarge
from openlumiere.engine.lumiere import Lumiere
from openlumiere.media import Clip, filmstrip
from openlumiere.quality.bench import Report, Sheet
from openlumiere.tasks import Learning
from openlumiere_world.measures.judge import BUNDLED, Judge, JudgeConfig, load_judge
from openlumiere_world.measures.sources import Source, draw_sources, open_source
from openlumiere_world.measures.style import TASK as STYLE
from openlumiere_world.measures.style import (
    asks,
    judge_figures,
    references,
    sweep,
    train_style_judge,
)
from openlumiere_world.measures.tasks import Figure, Settings, Show, measure, table
from openlumiere_world.subjects import World

STRIP = 6  # frames of a filmstrip
STRIP_HEIGHT = 64  # pixels at most
COLUMNS = 4
SHEET_CLIPS = 120  # at most
BATCH = 4  # pictures a training step of a style


class Opened(NamedTuple):
    """The clips that are measured, and the world that some are drawn from."""

    world: World | None
    sources: list[Source]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is measured: clips drawn from a world, a person's own files, or both.

    The last four are of the task style: the judge's weights elsewhere, drawings to learn from,
    training steps for each and for the judge of styles.
    """

    tasks: tuple[str, ...]
    world: Path | None = None
    clips: int = 4
    files: tuple[str, ...] = ()
    frames: int = 16
    steps: int = 10
    guidance: float = 3.0
    seed: int = 0
    judge: Path | None = None
    references: int = 20
    lessons: int = 100
    judge_steps: int = 300

    def open(self) -> Opened:
        """Open the world and the files. Raises ValueError."""
        world = None if self.world is None else World.open(self.world)
        sources = []
        if world is not None and self.clips:
            sources = draw_sources(world, self.clips, self.frames, self.seed)
        return Opened(world, [*sources, *(open_source(text, self.frames) for text in self.files)])

    @property
    def settings(self) -> Settings:
        """How clips are made."""
        return Settings(steps=self.steps, guidance=self.guidance, seed=self.seed)


def evaluate(lumiere: Lumiere, asked: Asked, opened: Opened) -> Report:
    """Run the tasks on the clips, and measure what comes of it."""
    shown = {source.name: source.clip for source in opened.sources}
    found = figures(lumiere, asked, opened, shown.__setitem__)
    rows = list(tqdm(found, desc="evaluate", unit="figure", disable=None))
    return Report(text=table(rows), figures={"figures": rows}, sheet=sheet(shown))


def figures(lumiere: Lumiere, asked: Asked, opened: Opened, show: Show) -> Iterator[Figure]:
    """Of each task but style, then of style."""
    tasks = [task for task in asked.tasks if task != STYLE]
    judge = open_judge(asked.judge)
    yield from measure(lumiere, opened.sources, tasks, asked.settings, judge, show)
    if STYLE in asked.tasks and opened.world is not None:
        yield from style_figures(lumiere, asked, opened.world, show)


def style_figures(lumiere: Lumiere, asked: Asked, world: World, show: Show) -> Iterator[Figure]:
    """Styles learnt from drawings of the held-out style, over their weight."""
    judge = train_style_judge(world, JudgeConfig(steps=asked.judge_steps))
    yield from judge_figures(judge, world)
    drawings = references(world, asks(world, asked.references, asked.seed), asked.seed)
    learning = Learning(steps=asked.lessons, batch=BATCH)
    yield from sweep(lumiere, drawings, asked.frames, asked.settings, learning, judge, show)


def open_judge(path: Path | None) -> Judge | None:
    """The judge of `path`, else the bundled one, else none."""
    if path is None and not Path(str(BUNDLED)).is_file():
        return None
    return load_judge(path)[0]


def sheet(shown: dict[str, Clip]) -> Sheet:
    """Every source and what was made of it, a filmstrip each, footage as low as drawn clips."""
    names = sorted(shown)[:SHEET_CLIPS]
    strips = [filmstrip(shown[name], min(STRIP, len(shown[name]))) for name in names]
    return Sheet(pictures=[lowered(strip) for strip in strips], names=names, columns=COLUMNS)


def lowered(strip: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A filmstrip of at most `STRIP_HEIGHT`, in its proportions."""
    height, width = strip.shape[:2]
    if height <= STRIP_HEIGHT:
        return strip
    return enlarge([strip], width * STRIP_HEIGHT // height, STRIP_HEIGHT)[0]
