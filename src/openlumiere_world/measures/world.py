"""The measure `world`: do clips show what prompts of the sticker world ask for, in five languages,
on combinations trained on and held out?

Each figure stands beside that of real world clips of the same facts (the ceiling), and of the same
net with its temporal parameters at their start (the floor). The Fréchet distance is between the
judge's features of single frames; it is not the FVD of the literature, whose features come from
another net.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from openlumiere.data.sample import whole_times
from openlumiere.media import Clip, filmstrip
from openlumiere.models.stunet import STUNet
from openlumiere.quality.bench import Frames, Model, Report, Sheet, markdown, number, plain
from openlumiere.quality.rates import Rate
from openlumiere_world.batch import CLIP, Batches
from openlumiere_world.captions import compose
from openlumiere_world.measures.distance import frechet
from openlumiere_world.measures.judge import Judge, to_judge
from openlumiere_world.measures.reading import ARTEFACTS, Reading, read
from openlumiere_world.names import LANGUAGES
from openlumiere_world.render import SpriteBank, render_batch
from openlumiere_world.scene import Facts, cast_of, plan
from openlumiere_world.scope import WORLD_32, Scope
from openlumiere_world.subjects import World

ASPECTS = ("subject", "style", "motion", "background")
ALL = "all four"
KINDS = {
    "trained": "validation",
    "held out": "composition",
}  # combinations: the split whose facts are asked for
TELLING = (
    "motion",
    "background",
)  # what a prompt says besides its subject; its style too, unless that is the default
ATTEMPTS = 200
FEATURE_FRAMES = 4  # of each clip, for the Fréchet distance
REFERENCE_CLIPS, REFERENCE_SEED = (
    400,
    5_000_000,
)  # other real clips, of the training split, that distances are taken to

SHEET_CLIPS = 40  # at most
SHEET_COLUMNS = 4
SHEET_FRAMES = 6  # of each clip

Clips = Iterable[Frames]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked for; `kind` of KINDS."""

    kind: str
    language: str
    text: str
    facts: Facts

    def asked(self, aspect: str) -> str:
        """What the prompt asks for in this aspect."""
        if aspect == "background":
            return self.facts.background.name
        return self.facts.motion if aspect == "motion" else getattr(self.facts.actors[0], aspect)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A prompt, what was read off the clip made for it, and the judge's features of some of its
    frames.
    """

    prompt: Prompt
    reading: Reading
    features: Float[np.ndarray, "k d"]

    def hit(self, aspect: str) -> bool:
        """Whether the clip shows it."""
        return self.prompt.asked(aspect) == getattr(self.reading, aspect)

    @cached_property
    def whole(self) -> bool:
        """Whether it shows all that is asked for."""
        return all(map(self.hit, ASPECTS))


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Results to lay side by side; `floor` may be empty. `reference`: features of other real
    clips.
    """

    made: list[Result]
    real: list[Result]
    floor: list[Result]
    reference: Float[np.ndarray, "n d"]


def draw_prompts(world: World, count: int, seed: int = 0, scope: Scope = WORLD_32) -> list[Prompt]:
    """`count` prompts of each kind, kinds by turns, languages by turns; the first ones do not
    depend on `count`.
    """
    return [
        _prompt(world, kind, seed + number, LANGUAGES[number % len(LANGUAGES)], scope)
        for number in range(count)
        for kind in KINDS
    ]


def _prompt(world: World, kind: str, seed: int, language: str, scope: Scope) -> Prompt:
    """A caption that says all that is read, in any words of the grammar: more of them than one
    content has in training.
    """
    facts = replace(plan(world, seed, KINDS[kind], CLIP, scope), language=language)
    for variation in range(ATTEMPTS):
        told = compose(world, facts, language, variation, replace(scope, wordings=0))
        if set(TELLING) <= {what for what, _ in told.said}:
            return Prompt(kind=kind, language=language, text=told.text, facts=facts)
    raise ValueError(
        f"scope: expected captions that say {' and '.join(TELLING)}, got none in {ATTEMPTS}, use"
        " world-32"
    )


def rendered(
    world: World, prompts: list[Prompt], frames: int, side: int, scope: Scope = WORLD_32
) -> Iterator[UInt8[np.ndarray, "f h w 3"]]:
    """Real clips of the prompts' facts, `frames` frames spread evenly over the five seconds."""
    ids = {item.id for split in KINDS.values() for item in cast_of(world, split, scope).items}
    bank = SpriteBank(world, sorted(ids), side)
    times = whole_times(spread(frames), 1, CLIP, "native frames").numpy()
    for prompt in prompts:
        yield rearrange(render_batch(bank, [prompt.facts], times)[0], "f c h w -> f h w c").numpy()


def spread(frames: int) -> Float[Tensor, " f"]:
    """Times of frames, in native frames, as a clip of a lower rate has them."""
    return torch.arange(frames) * (CLIP / frames)


def measure(prompts: list[Prompt], clips: Clips, judge: Judge) -> list[Result]:
    """Read `clips`, one a prompt in their order."""
    return [
        Result(prompt=prompt, reading=read(frames, judge), features=clip_features(judge, frames))
        for prompt, frames in zip(prompts, clips, strict=True)
    ]


@torch.no_grad()
def clip_features(judge: Judge, frames: UInt8[np.ndarray, "f h w 3"]) -> Float[np.ndarray, "k d"]:
    """The judge's features of some of its frames."""
    chosen = np.linspace(0, len(frames) - 1, min(FEATURE_FRAMES, len(frames))).round().astype(int)
    return judge.features(to_judge(frames[chosen])).numpy()


def reference_features(
    world: World, judge: Judge, side: int, scope: Scope = WORLD_32, clips: int = REFERENCE_CLIPS
) -> Float[np.ndarray, "n d"]:
    """Features of real clips of the training split, by a fixed seed."""
    batches = Batches(world, scope, "train", side)
    generator = torch.Generator().manual_seed(REFERENCE_SEED)
    drawn = batches.draw(generator, clips, torch.linspace(0, CLIP - 1, FEATURE_FRAMES))
    levels = ((drawn.pixels + 1) * 127.5).round().to(torch.uint8)
    return np.concatenate(
        [clip_features(judge, rearrange(clip, "c f h w -> f h w c").numpy()) for clip in levels]
    )


def without_temporal_training(net: STUNet) -> STUNet:
    """The same frozen picture net, inflated anew: every temporal parameter at its start."""
    fresh = type(net).from_config(net.config)
    fresh.unet2d.load_state_dict(net.unet2d.state_dict())
    return fresh.to(net.device, net.dtype).eval()


def rates(results: list[Result]) -> dict[str, Rate]:
    """How often each aspect is as asked, and all of them at once; empty without results."""
    if not results:
        return {}
    hits = {aspect: [result.hit(aspect) for result in results] for aspect in ASPECTS} | {
        ALL: [result.whole for result in results]
    }
    return {aspect: Rate(sum(each), len(each)) for aspect, each in hits.items()}


def artefacts(results: list[Result]) -> dict[str, Rate]:
    """Share of clips with each artefact, and with any."""
    if not results:
        return {}
    count = Counter(name for result in results for name in result.reading.artefacts)
    spoilt = sum(bool(result.reading.artefacts) for result in results)
    return {"any artefact": Rate(spoilt, len(results))} | {
        name: Rate(count[name], len(results)) for name in ARTEFACTS
    }


FIGURES: dict[
    str, tuple[str, Callable[[Result, Judge], float | None]]
] = {  # key: what the table says, how it is read
    "chance": (
        "judge's chance for the asked subject (0 to 1)",
        lambda one, judge: one.reading.chances[judge.subjects.index(one.prompt.asked("subject"))],
    ),
    "lite-flicker": ("lite-flicker (1: still)", lambda one, judge: one.reading.flicker),
    "path_residual": (
        "path off a straight line (frame sides)",
        lambda one, judge: one.reading.path_residual,
    ),
    "background_drift": (
        "background drift (levels of 255)",
        lambda one, judge: one.reading.background_drift,
    ),
}


def figures(
    results: list[Result], judge: Judge, reference: Float[np.ndarray, "n d"]
) -> dict[str, float | None]:
    """Mean of each figure over the clips that have it, and the Fréchet distance of the judge's
    features.
    """
    if not results:
        return {}
    answer: dict[str, float | None] = {
        "frechet": frechet(np.concatenate([result.features for result in results]), reference)
    }
    for key, (_, figure) in FIGURES.items():
        values = [
            value for value in (figure(result, judge) for result in results) if value is not None
        ]
        answer[key] = float(np.mean(values)) if values else None
    return answer


def summary(columns: Columns, judge: Judge) -> dict:
    """Every figure of every column, by kind, by language and by what was asked."""
    sides = {"made": columns.made, "real": columns.real, "floor": columns.floor}
    return {
        "rates": {name: rates(results) for name, results in sides.items()},
        "by_kind": {
            kind: rates([r for r in columns.made if r.prompt.kind == kind]) for kind in KINDS
        },
        "by_language": {
            name: rates([r for r in columns.made if r.prompt.language == name])
            for name in LANGUAGES
        },
        "by_asked": {aspect: by_asked(columns.made, aspect) for aspect in ASPECTS},
        "artefacts": {name: artefacts(results) for name, results in sides.items()},
        "figures": {
            name: figures(results, judge, columns.reference) for name, results in sides.items()
        },
    }


def by_asked(results: list[Result], aspect: str) -> dict[str, str]:
    """`hits/trials` of `aspect` for each of its values."""
    groups: dict[str, list[bool]] = {}
    for result in results:
        groups.setdefault(result.prompt.asked(aspect), []).append(result.hit(aspect))
    return {name: f"{sum(groups[name])}/{len(groups[name])}" for name in sorted(groups)}


def tables(found: dict) -> str:
    """The summary as two Markdown tables; in brackets Wilson's 95 % interval."""
    return f"{rate_table(found)}\n\n{figure_table(found)}"


def rate_table(found: dict) -> str:
    """How often each aspect is as asked."""
    columns = {
        **found["by_kind"],
        **found["by_language"],
        "real clips": found["rates"]["real"],
        "no temporal training": found["rates"]["floor"],
    }
    columns = {name: column for name, column in columns.items() if column}
    rows = [
        [
            "as asked",
            *(f"{name} ({next(iter(column.values())).trials})" for name, column in columns.items()),
        ]
    ]
    rows += [
        [aspect, *(str(column[aspect]) for column in columns.values())]
        for aspect in (*ASPECTS, ALL)
    ]
    return markdown(rows)


def figure_table(found: dict) -> str:
    """Figures over all clips."""
    heads = {"made": "made", "real": "real clips", "floor": "no temporal training"}
    sides = [name for name in heads if found["figures"][name]]
    rows = [["over all clips", *(heads[name] for name in sides)]]
    labels = {"frechet": "Fréchet distance, judge's features of frames"} | {
        key: label for key, (label, _) in FIGURES.items()
    }
    rows += [
        [label, *(number(found["figures"][name][key]) for name in sides)]
        for key, label in labels.items()
    ]
    rows += [
        [f"clips with {key}", *(str(found["artefacts"][name][key]) for name in sides)]
        for key in found["artefacts"]["real"]
    ]
    return markdown(rows)


def evaluate(
    world: World,
    prompts: list[Prompt],
    judge: tuple[Judge, dict],
    model: Model,
    untrained: Model,
    *,
    floor: int,
    frames: int,
    side: int,
    seed: int,
) -> Report:
    """Measure `model` on all prompts and `untrained`, the same net without temporal training, on
    the first `floor`; clip n is made with `seed` + n, in `frames` frames of `side` pixels.

    `judge` comes with what it says of itself (`load_judge`).
    """
    reader, about = judge
    shown: list[UInt8[np.ndarray, "f h w 3"]] = []
    columns = Columns(
        made=measure(prompts, keep_first(made_by(model, prompts, seed), shown), reader),
        real=measure(prompts, rendered(world, prompts, frames, side), reader),
        floor=measure(prompts[:floor], made_by(untrained, prompts[:floor], seed), reader),
        reference=reference_features(world, reader, side),
    )
    found = summary(columns, reader)
    accuracy = f"the judge, on renders it did not learn from: {judge_line(about)}"
    return Report(
        text=f"{tables(found)}\n\n{accuracy}",
        figures={"judge": about, **as_json(found, columns.made)},
        sheet=sheet(prompts, shown),
    )


def made_by(model: Model, prompts: list[Prompt], seed: int) -> Iterator[Frames]:
    """A clip a prompt."""
    seeds = range(seed, seed + len(prompts))
    return model.clips([prompt.text for prompt in prompts], seeds)


def keep_first(clips: Iterator[Frames], shown: list[Frames]) -> Iterator[Frames]:
    """Pass clips on and keep the first ones for the sheet."""
    for frames in clips:
        if len(shown) < SHEET_CLIPS:
            shown.append(frames)
        yield frames


def sheet(prompts: list[Prompt], clips: list[Frames]) -> Sheet:
    """A filmstrip a clip."""
    strips = [filmstrip(Clip(frames), min(SHEET_FRAMES, len(frames))) for frames in clips]
    names = [prompt.text for prompt in prompts[: len(strips)]]
    return Sheet(pictures=strips, names=names, columns=SHEET_COLUMNS)


def judge_line(about: dict) -> str:
    """How well a judge reads, in a line."""
    parts = []
    for where, shares in about["accuracy"].items():
        figures = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items())
        parts.append(f"{where}: {figures}")
    return "; ".join(parts)


def as_json(found: dict, results: list[Result]) -> dict:
    """The summary and every clip."""
    clips = [
        {
            "prompt": r.prompt.text,
            "kind": r.prompt.kind,
            "language": r.prompt.language,
            "asked": {a: r.prompt.asked(a) for a in ASPECTS},
            "read": asdict(r.reading),
        }
        for r in results
    ]
    return {**plain(found), "clips": clips}
