"""`lumiere data inspect`: what is in a world and whether its clips are what their captions say;
sheets to look at.
"""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from openlumiere.media import Clip, contact_sheet, filmstrip, save_image
from openlumiere_world import captions
from openlumiere_world.captions import Caption
from openlumiere_world.draw import render
from openlumiere_world.scene import Facts, plan
from openlumiere_world.scope import WORLD_64, Scope
from openlumiere_world.subjects import World

MOSTLY = 0.6  # a subject is to be seen in at least this share of the frames
SHEET = 40  # clips a sheet
OFTEN = 10  # subjects to count one by one


@dataclass(kw_only=True)
class Report:
    """Counts of what a world holds and of clips drawn from it; `problems` is empty when every check
    held.
    """

    items: dict[str, dict] = field(default_factory=dict)
    clips: dict[str, dict] = field(default_factory=dict)
    caption_words: dict[str, float] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report for a person, a line a fact."""
        tables = {f"drawings by {name}": table for name, table in self.items.items()}
        tables |= {f"clips by {name}": table for name, table in self.clips.items()}
        tables |= {"words a caption": self.caption_words, "duplicates": self.duplicates}
        counts = [
            f"{name}: {', '.join(f'{key} {value}' for key, value in table.items())}"
            for name, table in tables.items()
        ]
        return counts + (self.problems or ["every check held"])


def inspect(
    world: World,
    out: Path | None = None,
    clips: int = 200,
    split: str = "train",
    first_seed: int = 0,
    scope: Scope = WORLD_64,
) -> Report:
    """Draw `clips` clips, check them, count; write contact sheets and filmstrips to `out` if given.

    Raises:
        ValueError: an unknown split, or a damaged world.
    """
    report = Report(items=_item_counts(world))
    drawn = []
    for seed in tqdm(range(first_seed, first_seed + clips), desc="clips", unit="clip"):
        facts = plan(world, seed, split, scope=scope)
        caption, frames = captions.compose(world, facts, scope=scope), render(world, facts, 64)
        report.problems += [
            f"seed {seed}: {problem}" for problem in problems(world, facts, caption, frames)
        ]
        drawn.append((facts, caption, frames))
    _count_clips(report, drawn)
    report.duplicates = _duplicates(world, [caption.text for _, caption, _ in drawn])
    if out:
        _write_sheets(out, drawn)
    return report


def problems(world: World, facts: Facts, caption: Caption, frames: np.ndarray) -> list[str]:
    """What is wrong with a clip: a caption that says what is not so, an empty frame, a subject
    hardly ever seen.
    """
    found = [
        f"the caption says {what} {value}"
        for what, value in sorted(set(caption.said) - _true(facts), key=str)
    ]
    for actor in facts.actors:
        share = actor.boxes.any(1).mean()
        if share < MOSTLY:
            found.append(f"{actor.item} is seen in {share:.0%} of the frames")
    empty = _empty_frames(world, facts, frames)
    return found + ([f"frames {empty} are empty"] if empty else [])


def _true(facts: Facts) -> set[tuple[str, object]]:
    names = (
        "motion",
        "speed",
        "turn",
        "place",
        "size",
        "count",
        "pair",
        "camera",
        "towards",
        "loop",
    )
    true = {(name, getattr(facts, name)) for name in names} | {
        ("background", facts.background.name)
    }
    for actor in facts.actors:
        true |= {("subject", actor.subject), ("appearance", actor.subject), ("style", actor.style)}
        true |= {("own", actor.subject)} if actor.animated else set()
    return true | ({("effect", facts.effect.name)} if facts.effect else set())


def _empty_frames(world: World, facts: Facts, frames: np.ndarray) -> list[int]:
    """Frames in which a subject should be seen, but the picture is the bare background."""
    bare = render(world, _without_actors(facts), 64)
    same = (frames == bare).all((1, 2, 3))
    stated = np.any([actor.boxes.any(1) for actor in facts.actors], 0)
    return np.flatnonzero(same & stated).tolist()


def _without_actors(facts: Facts) -> Facts:
    return type(facts)(**vars(facts) | {"actors": ()})


def _item_counts(world: World) -> dict[str, dict]:
    languages = Counter(language for item in world.items for language in item.names)
    return {
        "kind": dict(Counter(item.kind for item in world.items)),
        "style": dict(Counter(item.style for item in world.items)),
        "licence": dict(Counter(item.licence for item in world.items)),
        "language of name": dict(languages),
        "subject": {
            "subjects": len({item.subject for item in world.items}),
            "without skin tones": len({i.base for i in world.items}),
        },
    }


def _count_clips(report: Report, drawn: list[tuple[Facts, Caption, np.ndarray]]) -> None:
    every = [facts for facts, _, _ in drawn]
    for name in ("motion", "speed", "camera", "language", "count"):
        report.clips[name] = dict(
            Counter(getattr(facts, name) or "-" for facts in every).most_common()
        )
    report.clips["background"] = dict(
        Counter(facts.background.name for facts in every).most_common()
    )
    report.clips["effect"] = dict(
        Counter(facts.effect.name if facts.effect else "-" for facts in every).most_common()
    )
    report.clips["style"] = dict(
        Counter(actor.style for facts in every for actor in facts.actors).most_common()
    )
    subjects = Counter(actor.subject for facts in every for actor in facts.actors)
    report.clips["subject"] = {"subjects": len(subjects)} | dict(subjects.most_common(OFTEN))
    words = [len(caption.text.split()) for _, caption, _ in drawn]
    if words:
        report.caption_words = {
            "fewest": min(words),
            "median": statistics.median(words),
            "most": max(words),
        }


def _duplicates(world: World, texts: list[str]) -> dict[str, int]:
    sprites = Counter(
        (place.length, place.crc32) for item in world.items for place in [item.media[0].place]
    )
    return {
        "drawings with the same bytes as another": len(world.items) - len(sprites),
        "captions like another": len(texts) - len(set(texts)),
    }


def _write_sheets(out: Path, drawn: list[tuple[Facts, Caption, np.ndarray]]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for number in range(0, len(drawn), SHEET):
        part = drawn[number : number + SHEET]
        strips = [filmstrip(Clip(frames), 6) for _, _, frames in part]
        sheet = contact_sheet(strips, 4, [caption.text for _, caption, _ in part])
        save_image(sheet, out / f"clips-{number:04d}.png")
