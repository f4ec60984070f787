"""`lumiere evaluate marks`: is the mark in the pixels found and read after attacks, and only where
it is?
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm
from tyro.conf import Positional

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.report import write_json
from openlumiere.media import Clip
from openlumiere.media.write import write_beside
from openlumiere.provenance.watermark import embed
from openlumiere.quality.attacks import resized
from openlumiere.quality.marks import (
    CLEAN,
    FORGED,
    SUBTRACTED,
    WINNING_CLIPS,
    append,
    average,
    cells,
    measure,
    null_scores,
    payload_of,
    read_rows,
    subtracted,
    summary,
    synthetic,
    table,
    tail,
)
from openlumiere.tasks.request import check_range

BATCH = 4  # clips made at a time, and kept in one file
WINDOW, SIDE = 16, 256  # frames and pixels of a window cut from footage
DRAWN = 20  # windows of each kind that is not footage
AVERAGED = 40  # clips whose average is taken for the mark
ANOTHER_KEY = b"another key"


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Make clips, mark and attack them, and look for the mark; then look for it in footage that is
    not marked.

    Everything made is kept in RUN, and a run that was stopped goes on.
    """

    run: Positional[Path]
    """A folder for clips, rows and the report."""
    prompts: Path
    """A text file, a prompt a line; clip n shows line n."""
    clips: int = 200
    """Clips made."""
    skip: int = 0
    """Leave out the first prompts: those that thresholds were chosen on."""
    passes: int = 3
    """Attacks a clip, in turn, so that every attack meets its share of the clips."""
    footage: tuple[Path, ...] = ()
    """Clips that are not marked, cut into windows of 16 frames of at most 256 x 256 pixels."""
    windows: int = 200
    """Windows looked at, at most; all clips of footage give their share."""
    keys: int = 1_000_000
    """Random keys for the law of the null."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    frames: int = 16
    """Frames a clip."""
    steps: int = 6
    """Denoising steps."""
    guidance: float = 1.0
    """How closely to follow the prompt; 1 is off, and twice as fast."""
    seed: int = 9000
    """Clip n is made with seed + n."""
    size: int = 256
    """Side of the marked frames in pixels."""


def main(words: list[str]) -> int:
    options = parse(Marks, words, "evaluate marks")
    prompts = check(options)
    (options.run / "clips").mkdir(parents=True, exist_ok=True)
    make(options, prompts)
    names = [f"{index:03d}" for index in range(options.skip, options.skip + options.clips)]
    look_elsewhere(options, names)
    look_at_footage(options)
    attack_all(options, names)
    attack_knowing(options, names)
    write_report(options, words)
    return 0


def check(options: Marks) -> list[str]:
    """The prompts. Raises ValueError for what would fail later."""
    check_range("clips", options.clips, 1, 100_000)
    check_range("passes", options.passes, 0, 1000)
    check_range("frames", options.frames, 1, 1000)
    if not options.prompts.is_file():
        raise ValueError(
            f"prompts: expected a text file, got {options.prompts}, write a prompt a line"
        )
    prompts = options.prompts.read_text(encoding="utf-8").splitlines()
    if len(prompts) < options.skip + options.clips:
        raise ValueError(
            f"prompts: expected {options.skip + options.clips} lines, got {len(prompts)}, write more or make fewer clips"
        )
    return prompts


def make(options: Marks, prompts: list[str]) -> None:
    """Clips at the net's own size, four a file; those that are there are kept."""
    last = options.skip + options.clips
    todo = [
        first
        for first in range(0, last, BATCH)
        if first + BATCH > options.skip and not batch_file(options, first).is_file()
    ]
    if not todo:
        return
    from openlumiere.apps.cli.loading import (
        load,
    )  # the nets take seconds to import, and a run that goes on needs none

    base = load(options.model, "cpu", "float32").base
    for first in tqdm(todo, desc="make", disable=None):
        chosen = prompts[first : first + BATCH]
        made = base(
            chosen,
            seeds=[options.seed + first + k for k in range(len(chosen))],
            num_frames=options.frames,
            frame_rate=Fraction(16),
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
        ).frames
        write_beside(batch_file(options, first), lambda beside, made=made: save(beside, made))


def save(path: Path, frames: np.ndarray) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, frames=frames)


def batch_file(options: Marks, first: int) -> Path:
    return options.run / "clips" / f"{first:03d}.npz"


def marked_clip(options: Marks, name: str) -> np.ndarray:
    """A made clip, enlarged to the size it is marked at as `Lumiere` does."""
    first, place = divmod(int(name), BATCH)
    return resized(
        np.load(batch_file(options, first * BATCH))["frames"][place],
        options.size,
        options.size,
        Image.Resampling.LANCZOS,
    )


def attack_all(options: Marks, names: list[str]) -> None:
    rows = options.run / "rows.jsonl"
    done = {(row.clip, row.attack) for row in read_rows(rows)}
    todo = [cell for cell in cells(names, options.passes) if cell not in done]
    for name, attack in tqdm(todo, desc="attack", disable=None):
        append(rows, measure(name, attack, marked_clip(options, name)))


def attack_knowing(options: Marks, names: list[str]) -> None:
    """Someone who has many marked clips, and someone who has the key."""
    rows = options.run / "rows.jsonl"
    done = {(row.clip, row.attack) for row in read_rows(rows)}
    cleaned, known = names[:WINNING_CLIPS], names[WINNING_CLIPS : WINNING_CLIPS + AVERAGED]
    if todo := [name for name in cleaned if (name, SUBTRACTED) not in done]:
        estimate = average(
            embed(marked_clip(options, name)[:1], payload_of(name)) for name in known
        )
        for name in todo:
            append(rows, subtracted(name, marked_clip(options, name), estimate))
    for file in options.footage:
        if (file.name, FORGED) not in done:
            append(
                rows,
                replace(
                    measure(file.name, CLEAN, next(cut(Clip.load(file).over("white").frames))), attack=FORGED
                ),
            )


def look_elsewhere(options: Marks, names: list[str]) -> None:
    """Rows of windows that our key has not marked: drawn ones, and made clips without a mark and
    with another key's.
    """
    rows = options.run / "footage.jsonl"
    done = {row.clip for row in read_rows(rows)}
    windows = [*synthetic(DRAWN)]
    windows += [(f"unmarked {name}", marked_clip(options, name)) for name in names[:DRAWN]]
    windows += [
        (f"another key {name}", embed(marked_clip(options, name), payload_of(name), ANOTHER_KEY))
        for name in names[:DRAWN]
    ]
    for name, frames in windows:
        if name not in done:
            append(rows, measure(name, CLEAN, frames, marked=False))


def look_at_footage(options: Marks) -> None:
    """Rows of unmarked windows, and the law of the null over random keys."""
    rows, law = options.run / "footage.jsonl", options.run / "null.json"
    done = {row.clip for row in read_rows(rows)}
    share = options.windows // max(1, len(options.footage))
    scores = []
    for file in tqdm(options.footage, desc="footage", disable=None):
        cuts = spread(list(cut(Clip.load(file).over("white").frames)), share)
        for index, frames in enumerate(cuts):
            if (name := f"{file.name} {index}") not in done:
                append(rows, measure(name, CLEAN, frames, marked=False))
        if not law.is_file():
            scores.append(
                null_scores(cuts[0], options.keys // len(options.footage), seed=len(scores))
            )
    if scores:
        law.write_text(json.dumps(tail(np.concatenate(scores))))


def cut(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Windows side by side in space and one after the other in time."""
    height, width = (min(SIDE, side) for side in frames.shape[1:3])
    for first in range(0, len(frames) - WINDOW + 1, WINDOW):
        for top in range(0, frames.shape[1] - height + 1, height):
            for left in range(0, frames.shape[2] - width + 1, width):
                yield frames[first : first + WINDOW, top : top + height, left : left + width]


def spread(windows: list[np.ndarray], count: int) -> list[np.ndarray]:
    return [
        windows[k]
        for k in np.unique(
            np.linspace(0, len(windows) - 1, min(count, len(windows))).round().astype(int)
        )
    ]


def write_report(options: Marks, words: list[str]) -> None:
    rows, unmarked = read_rows(options.run / "rows.jsonl"), read_rows(options.run / "footage.jsonl")
    law = options.run / "null.json"
    report = {
        "command": shlex.join(["lumiere", "evaluate", "marks", *words]),
        "attacks": summary(rows),
        "psnr": {
            "mean": float(np.mean([row.psnr for row in rows if row.psnr])),
            "least": min(row.psnr for row in rows if row.psnr),
        },
        "unmarked": {
            "windows": len(unmarked),
            "found": sum(row.found for row in unmarked),
            "p_smallest": min((row.p_value for row in unmarked), default=None),
        },
        "null": json.loads(law.read_text()) if law.is_file() else None,
    }
    write_json(options.run / "report.json", report)
    print(
        f"{table(report['attacks'])}\n\nunmarked windows: {report['unmarked']}\n{options.run / 'report.json'}"
    )
