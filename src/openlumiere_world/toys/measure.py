"""The measure of the toy world: do clips show what prompts ask for, in five languages, on
combinations trained on and held out?

Each figure stands beside that of real clips of the same scenes (the ceiling), and of the same net
without temporal training (the floor). What a clip shows is read by the judge (`judge.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from openlumiere.media import Clip, filmstrip
from openlumiere.quality.bench import Model, Report, Sheet, markdown, number, plain
from openlumiere.quality.rates import Rate
from openlumiere_world.measures.distance import frechet
from openlumiere_world.measures.world import judge_line
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.captions import caption
from openlumiere_world.toys.judge import (
    ASPECTS,
    NOWHERE,
    ClipJudge,
    classes_of,
    shown,
    to_judge,
)
from openlumiere_world.toys.scene import SECONDS, SPLITS, Planner, Scene, render
from openlumiere_world.toys.subjects import LANGUAGES

ALL = "all of them"
EMPTY = 0.02  # share of the pixels that a subject covers, under which a transparent frame is blank
CONSTANT = 0.75  # share of the frames that show the clip's subject, under which it changes
JUMP = 4.0  # times the median step between frames, over which a step is a jump ...
LEAST_JUMP = 0.02  # ... if it is so large at all, in [0, 1]
ARTEFACTS = ("blank frame", "jump", "subject changes")
REFERENCE, REFERENCE_SEED = 300, 3 * 10**8  # other real clips, that distances are taken to
SHEET_CLIPS, SHEET_FRAMES, SHEET_COLUMNS = 64, 6, 4

Frames = UInt8[np.ndarray, "f h w 4"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """What is asked for: of each aspect what the scene shows, a direction only where there is one;
    `split` is that of its combination.
    """

    split: str
    language: str
    text: str
    scene: Scene
    asked: dict[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What was read off the clip of a prompt.

    `sharpness`: mean absolute difference of neighbouring pixels; `flicker`: of neighbouring frames;
    `soft`: share of pixels whose alpha is neither under 0.1 nor over 0.9. All of premultiplied
    levels in [0, 1].
    """

    prompt: Prompt
    read: dict[str, str]
    features: Float[np.ndarray, "f d"]
    sharpness: float
    flicker: float
    soft: float
    artefacts: tuple[str, ...]

    def hit(self, aspect: str) -> bool:
        """Whether the clip shows it."""
        return self.read[aspect] == self.prompt.asked[aspect]

    @property
    def whole(self) -> bool:
        """Whether it shows all that is asked for."""
        return all(self.hit(aspect) for aspect in self.prompt.asked)


def draw_prompts(planner: Planner, count: int, seed: int = 0) -> list[Prompt]:
    """`count` prompts, splits by turns, languages by turns, that say all that a scene shows."""
    prompts = []
    for place in range(count):
        split = SPLITS[place % len(SPLITS)]
        language = LANGUAGES[place // len(SPLITS) % len(LANGUAGES)]
        scene = planner.plan(4 * 10**8 + seed + place, split)
        subject = planner.cache.subjects[scene.subject]
        item = planner.cache.items[scene.item]
        text = caption(scene, item, subject, scene.seed, language, whole=True)
        asked = asked_for(scene, planner.cache)
        prompts.append(Prompt(split=split, language=language, text=text, scene=scene, asked=asked))
    return prompts


def asked_for(scene: Scene, cache: Cache) -> dict[str, str]:
    """By aspect."""
    return {name: fact for name, fact in shown(scene, cache).items() if fact != NOWHERE}


def rendered(planner: Planner, scenes: Iterable[Scene], frames: int) -> Iterator[Frames]:
    """Real clips of scenes, `frames` frames spread evenly over five seconds, of straight alpha."""
    moments = torch.arange(frames) * (SECONDS / frames)
    for scene in scenes:
        yield straight(render(planner.cache, scene, moments).clamp(0, 1))


def straight(levels: Float[Tensor, "f 4 h w"]) -> Frames:
    """Premultiplied levels as 8 bits of straight alpha."""
    alpha = levels[:, 3:]
    colour = levels[:, :3] / alpha.clamp(min=1e-3)
    whole = torch.cat([colour.clamp(0, 1), alpha], dim=1)
    return (whole * 255).round().byte().permute(0, 2, 3, 1).numpy()


def premultiplied(frames: UInt8[np.ndarray, "f h w c"]) -> Float[Tensor, "f 4 h w"]:
    """Levels in [0, 1] of clips with or without alpha."""
    levels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    if levels.shape[1] == 3:
        return torch.cat([levels, torch.ones_like(levels[:, :1])], dim=1)
    return torch.cat([levels[:, :3] * levels[:, 3:], levels[:, 3:]], dim=1)


def measure(prompts: list[Prompt], clips: Iterable[np.ndarray], judge: ClipJudge) -> list[Result]:
    """Read `clips`, one a prompt in their order."""
    pairs = zip(prompts, clips, strict=True)
    return [read(prompt, premultiplied(frames), judge) for prompt, frames in pairs]


@torch.no_grad()
def read(prompt: Prompt, levels: Float[Tensor, "f 4 h w"], judge: ClipJudge) -> Result:
    """One clip of square frames."""
    seen = to_judge(levels)
    logits = judge(seen[None])
    names = {name: (*getattr(judge.classes, name), "nothing") for name in ASPECTS}
    found = {name: names[name][int(logits[name].argmax())] for name in ASPECTS}
    features = judge.features(seen)
    steps = levels.diff(dim=0).abs().mean((1, 2, 3))
    return Result(
        prompt=prompt,
        read=found,
        features=features.numpy(),
        sharpness=sharpness(levels),
        flicker=float(steps.mean()),
        soft=float(((levels[:, 3] > 0.1) & (levels[:, 3] < 0.9)).float().mean()),
        artefacts=artefacts_of(levels, steps, judge.heads["subject"](features)),
    )


def sharpness(levels: Float[Tensor, "f 4 h w"]) -> float:
    """Mean absolute difference of neighbouring pixels, across and down."""
    across, down = levels.diff(dim=3).abs().mean(), levels.diff(dim=2).abs().mean()
    return float(across + down) / 2


def artefacts_of(
    levels: Float[Tensor, "f 4 h w"], steps: Float[Tensor, " n"], subjects: Float[Tensor, "f s"]
) -> tuple[str, ...]:
    """Which of `ARTEFACTS` a clip has."""
    covered = (levels[:, 3] > 0.1).float().mean((1, 2))
    named = subjects.argmax(1)
    constant = float((named == named.mode().values).float().mean())
    found = (
        float(covered.min()) < EMPTY,
        float(steps.max()) > max(JUMP * float(steps.median()), LEAST_JUMP),
        constant < CONSTANT,
    )
    return tuple(name for name, there in zip(ARTEFACTS, found) if there)


def rates(results: list[Result]) -> dict[str, Rate]:
    """How often each aspect is as asked, where it is asked, and all of them at once."""
    found = {}
    for aspect in ASPECTS:
        hits = [result.hit(aspect) for result in results if aspect in result.prompt.asked]
        if hits:
            found[aspect] = Rate(sum(hits), len(hits))
    if results:
        found[ALL] = Rate(sum(result.whole for result in results), len(results))
    return found


def figures(results: list[Result], reference: Float[np.ndarray, "n d"]) -> dict[str, float]:
    """Means over the clips, and the Fréchet distance of the judge's features."""
    if not results:
        return {}
    spoilt = [bool(result.artefacts) for result in results]
    return {
        "Fréchet distance, judge's features": frechet(
            np.concatenate([result.features for result in results]), reference
        ),
        "sharpness (levels a pixel, of 255)": 255 * float(np.mean([r.sharpness for r in results])),
        "change (levels a frame, of 255)": 255 * float(np.mean([r.flicker for r in results])),
        "pixels of half alpha, %": 100 * float(np.mean([r.soft for r in results])),
        "clips with an artefact, %": 100 * float(np.mean(spoilt)),
    } | {
        f"... {name}, %": 100 * float(np.mean([name in r.artefacts for r in results]))
        for name in ARTEFACTS
    }


def evaluate(
    planner: Planner,
    prompts: list[Prompt],
    judge: tuple[ClipJudge, dict],
    model: Model,
    untrained: Model,
    *,
    floor: int,
    frames: int,
    seed: int,
    reference: int = REFERENCE,
) -> Report:
    """Measure `model` on all prompts and `untrained`, the same net without temporal training, on
    the first `floor`; clip n is made with `seed` + n, in `frames` frames. Distances are taken to
    `reference` other real clips.

    `judge` comes with what it says of itself (`load_judge`). Raises ValueError for a judge of other
    subjects.
    """
    reader, about = judge
    check_subjects(planner, reader)
    made = list(model.clips([prompt.text for prompt in prompts], range(seed, seed + len(prompts))))
    first = prompts[:floor]
    scenes = [prompt.scene for prompt in prompts]
    others = [planner.plan(REFERENCE_SEED + place) for place in range(reference)]
    bare = untrained.clips([prompt.text for prompt in first], range(seed, seed + floor))
    sides = {
        "made": measure(prompts, made, reader),
        "real": measure(prompts, rendered(planner, scenes, frames), reader),
        "floor": measure(first, bare, reader),
    }
    found = summary(sides, reference_features(rendered(planner, others, frames), reader))
    text = f"{tables(found)}\n\nthe judge, on renders it did not learn from: {judge_line(about)}"
    return Report(
        text=text,
        figures={"judge": about, **plain(found), "clips": [as_json(r) for r in sides["made"]]},
        sheet=sheet(prompts, made),
    )


def check_subjects(planner: Planner, judge: ClipJudge) -> None:
    """Raise ValueError where the cache holds what the judge can't name."""
    cache = planner.cache
    unknown = set(classes_of(cache).subject) - set(judge.classes.subject)
    if unknown:
        raise ValueError(
            f"judge: expected one of all {len(cache.subjects)} subjects of the cache, got"
            f" none for {len(unknown)} of them, do: python -m openlumiere_world.toys.judge"
        )


@torch.no_grad()
def reference_features(clips: Iterable[Frames], judge: ClipJudge) -> Float[np.ndarray, "n d"]:
    """Features of other real clips."""
    return np.concatenate(
        [judge.features(to_judge(premultiplied(frames))).numpy() for frames in clips]
    )


def summary(sides: dict[str, list[Result]], reference: Float[np.ndarray, "n d"]) -> dict:
    """Every figure of every column, by split and by language; `reference` are features of other
    real clips.
    """
    made = sides["made"]
    return {
        "rates": {name: rates(results) for name, results in sides.items()},
        "by_split": {
            split: rates([r for r in made if r.prompt.split == split]) for split in SPLITS
        },
        "by_language": {
            name: rates([r for r in made if r.prompt.language == name]) for name in LANGUAGES
        },
        "figures": {name: figures(results, reference) for name, results in sides.items()},
    }


def tables(found: dict) -> str:
    """The summary as two Markdown tables; in brackets Wilson's 95 % interval."""
    columns = {
        **found["by_split"],
        **found["by_language"],
        "real clips": found["rates"]["real"],
        "no temporal training": found["rates"]["floor"],
    }
    columns = {name: column for name, column in columns.items() if column}
    heads = (f"{name} ({column[ALL].trials})" for name, column in columns.items())
    rows = [["as asked", *heads]]
    for aspect in (*ASPECTS, ALL):
        rows.append([aspect, *(str(column.get(aspect, "-")) for column in columns.values())])
    sides = {"made": "made", "real": "real clips", "floor": "no temporal training"}
    there = [name for name in sides if found["figures"][name]]
    lines = [["over all clips", *(sides[name] for name in there)]]
    for label in found["figures"]["real"]:
        lines.append([label, *(number(found["figures"][name][label]) for name in there)])
    return f"{markdown(rows)}\n\n{markdown(lines)}"


def sheet(prompts: list[Prompt], clips: list[Frames]) -> Sheet:
    """A filmstrip for each of the first clips, over grey."""
    strips = [
        filmstrip(Clip(over_grey(frames)), min(SHEET_FRAMES, len(frames)))
        for frames in clips[:SHEET_CLIPS]
    ]
    names = [prompt.text for prompt in prompts[: len(strips)]]
    return Sheet(pictures=strips, names=names, columns=SHEET_COLUMNS)


def over_grey(frames: np.ndarray) -> UInt8[np.ndarray, "f h w 3"]:
    """Colours before a grey that no subject has."""
    levels = premultiplied(frames)
    shown_over = levels[:, :3] + 0.5 * (1 - levels[:, 3:])
    return (shown_over * 255).round().byte().permute(0, 2, 3, 1).numpy()


def as_json(result: Result) -> dict:
    """A clip as JSON."""
    prompt = result.prompt
    return {
        "prompt": prompt.text,
        "split": prompt.split,
        "language": prompt.language,
        "asked": prompt.asked,
        "read": result.read,
        "artefacts": list(result.artefacts),
    }
