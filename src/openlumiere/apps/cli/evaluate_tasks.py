"""`lumiere evaluate tasks`: each creative task on clips whose content is known, in figures."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm
from tyro.conf import UseAppendAction

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.loading import load
from openlumiere.apps.cli.report import check_report, write_json, write_text
from openlumiere.engine.finish import Shown
from openlumiere.engine.fit import enlarge
from openlumiere.engine.learn_style import Learning
from openlumiere.engine.lumiere import Lumiere
from openlumiere.media import Clip, contact_sheet, filmstrip, save_image
from openlumiere.tasks.request import DEFAULT_GUIDANCE, check_choice, check_range
from openlumiere_world.batch import CLIP
from openlumiere_world.measures.judge import CARRIED, Judge, JudgeConfig, load_judge
from openlumiere_world.measures.sources import SECONDS, Source, draw_sources, open_source
from openlumiere_world.measures.style import TASK as STYLE
from openlumiere_world.measures.style import (
    asks,
    judge_figures,
    references,
    sweep,
    train_style_judge,
)
from openlumiere_world.measures.tasks import EXACT, TASKS, Figure, Settings, Show, measure, table
from openlumiere_world.subjects import World

STRIP, SHEET_COLUMNS, SHEET_CLIPS = 6, 4, 120
STRIP_HEIGHT = 64  # pixels
ALL = (*TASKS, STYLE)
LESSON = 4  # pictures a training step of a style


@dataclass(frozen=True, kw_only=True)
class EvaluateTasks:
    """Run the creative tasks on clips whose content is known, keeping it exactly and softly, and
    measure what comes of it.
    """

    tasks: tuple[str, ...] = tuple(TASKS)
    """Which: animate steer inpaint outpaint mend cinemagraph restyle style. The last one needs a
    world with the held-out style.
    """
    world: Path | None = None
    """A built world or a pack, to draw clips from."""
    clips: int = 4
    """Clips to draw from it."""
    file: UseAppendAction[tuple[str, ...]] = ()
    """A clip of your own, as cat.mp4 or cat.mp4=a cat walks; may be given again."""
    references: int = 20
    """Drawings that the task style learns from, one by one."""
    lessons: int = 100
    """Training steps for each of them."""
    judge_steps: int = 300
    """Training steps of the judge that tells the held-out style from the others."""
    frames: int = 16
    """Frames a clip, over the same time: fewer is faster and coarser."""
    steps: int = 10
    """Denoising steps."""
    guidance: float = DEFAULT_GUIDANCE
    """How closely to follow the prompt; 1 is off."""
    seed: int = 0
    """Draws the clips and the noise."""
    judge: Path | None = None
    """The weights of a judge instead of the carried one's, if one is carried."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    out: Path | None = None
    """Where to write every figure: .json; the table lies beside it as .md."""
    sheet: Path | None = None
    """Where to write filmstrips of what was made: .png."""


def main(words: list[str]) -> int:
    options = parse(EvaluateTasks, words, "evaluate tasks")
    check(options)
    world = None if options.world is None else World.open(options.world)
    sources = [*draw(world, options), *(open_source(text, options.frames) for text in options.file)]
    if not sources and set(options.tasks) != {STYLE}:
        raise ValueError("clips: expected a world or files, got neither, pass --world or --file")
    lumiere = load(options.model, options.device, options.dtype)
    shown = {source.name: source.clip for source in sources}
    figures = list(
        tqdm(
            figures_of(lumiere, world, sources, options, shown.__setitem__),
            desc="evaluate",
            unit="figure",
            disable=None,
        )
    )
    command = shlex.join(["lumiere", "evaluate", "tasks", *words])
    text = f"{table(figures)}\n\n    {command}\n"
    print(text, end="")
    if options.out is not None:
        report = {
            "command": command,
            "model": lumiere.base.fingerprint(),
            "figures": [plain(each) for each in figures],
        }
        write_json(options.out, report)
        write_text(options.out.with_suffix(".md"), text)
    if options.sheet is not None:
        save_sheet(shown, options.sheet, Shown(command=command, model=lumiere.base.fingerprint()))
    return 0


def check(options: EvaluateTasks) -> None:
    """Refuse before the long work what would fail after it."""
    for task in options.tasks:
        check_choice("tasks", task, ALL)
    check_range("clips", options.clips, 0, 1000)
    check_range("references", options.references, 1, 1000)
    check_range("judge steps", options.judge_steps, 1, 10**6)
    check_range(
        "frames", options.frames, SECONDS if STYLE in options.tasks else 3, CLIP
    )  # text to video takes a frame a second at least
    check_range("steps", options.steps, 1, 1000)
    check_range("seed", options.seed, 0, 2**62)
    if STYLE in options.tasks and options.world is None:
        raise ValueError(
            "world: expected one that holds the held-out style, got none, pass --world, or name tasks without style"
        )
    check_report(options.out, options.sheet)


def draw(world: World | None, options: EvaluateTasks) -> list[Source]:
    return (
        []
        if world is None or not options.clips
        else draw_sources(world, options.clips, options.frames, options.seed)
    )


def figures_of(
    lumiere: Lumiere, world: World | None, sources: list[Source], options: EvaluateTasks, show: Show
) -> Iterator[Figure]:
    settings = Settings(steps=options.steps, guidance=options.guidance, seed=options.seed)
    tasks = [task for task in options.tasks if task != STYLE]
    yield from measure(lumiere, sources, tasks, settings, open_judge(options.judge), show)
    if STYLE in options.tasks:
        judge = train_style_judge(world, JudgeConfig(steps=options.judge_steps))
        yield from judge_figures(judge, world)
        given = references(world, asks(world, options.references, options.seed), options.seed)
        yield from sweep(
            lumiere,
            given,
            options.frames,
            settings,
            Learning(steps=options.lessons, batch=LESSON),
            judge,
            show,
        )


def open_judge(path: Path | None) -> Judge | None:
    """The judge of `path`, else the carried one, else none."""
    if path is None and not Path(str(CARRIED)).is_file():
        return None
    return load_judge(path)[0]


def plain(figure: Figure) -> dict:
    """For JSON, which has no infinity."""
    return {**asdict(figure), "value": "exact" if figure.value == EXACT else figure.value}


def save_sheet(shown: dict[str, Clip], path: Path, origin: Shown) -> None:
    """Every source and what was made of it, a filmstrip each, footage as low as drawn clips."""
    names = sorted(shown)[:SHEET_CLIPS]
    strips = [filmstrip(shown[name], min(STRIP, len(shown[name]))) for name in names]
    save_image(
        contact_sheet([lowered(strip) for strip in strips], SHEET_COLUMNS, names), path, origin
    )


def lowered(strip: np.ndarray) -> np.ndarray:
    """A filmstrip of at most `STRIP_HEIGHT`, in its proportions."""
    height, width = strip.shape[:2]
    return (
        enlarge([strip], width * STRIP_HEIGHT // height, STRIP_HEIGHT)[0]
        if height > STRIP_HEIGHT
        else strip
    )
