"""The measure `marks` in a folder: clips, a row a clip and attack, a report; one that was stopped
goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from openlumiere.media import Clip
from openlumiere.media.write import write_whole
from openlumiere.provenance.watermark import embed
from openlumiere.quality.bench import Frames, Model, Report
from openlumiere.quality.marks import (
    CLEAN,
    FORGED,
    SUBTRACTED,
    WINNING_CLIPS,
    Row,
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

WINDOW = 16  # frames of a window cut from footage
SIDE = 256  # pixels of its sides, at most
DRAWN = 20  # windows of each kind that is not footage
AVERAGED = 40  # clips whose average is taken for the mark
ANOTHER_KEY = b"another key"


@dataclass(frozen=True, kw_only=True)
class MarksRun:
    """Clips `skip` to `skip` + `clips` of a list of prompts, marked and attacked in turns, `passes`
    attacks a clip; and at most `windows` windows of `footage` that is not marked, under `keys`
    random keys. Clip n shows prompt n and is made with `seed` + n.
    """

    folder: Path
    prompts: Sequence[str]
    clips: int = 200
    skip: int = 0
    passes: int = 3
    footage: tuple[Path, ...] = ()
    windows: int = 200
    keys: int = 1_000_000
    seed: int = 9000

    def __post_init__(self) -> None:
        """Raises ValueError for too few prompts."""
        if len(self.prompts) < self.skip + self.clips:
            raise ValueError(
                f"prompts: expected {self.skip + self.clips} lines, got {len(self.prompts)}, write"
                " more or make fewer clips"
            )

    @cached_property
    def names(self) -> list[str]:
        """Of the clips."""
        return [f"{index:03d}" for index in range(self.skip, self.skip + self.clips)]

    @property
    def lacking(self) -> list[int]:
        """Numbers of the clips that are not made yet."""
        return [int(name) for name in self.names if not self.file(name).is_file()]

    def file(self, name: str) -> Path:
        """Where a clip is kept."""
        return self.folder / "clips" / f"clip-{name}.npz"

    def clip(self, name: str) -> Frames:
        """A clip that was made, unmarked."""
        with np.load(self.file(name)) as kept:
            return kept["frames"]

    @property
    def model(self) -> str:
        """The fingerprint of the model that made the clips; empty before there are any."""
        file = self.folder / "model.txt"
        return file.read_text().strip() if file.is_file() else ""

    def make(self, model: Model) -> None:
        """Make the clips that are lacking. Raises ValueError where others are of another model."""
        if self.model not in ("", model.fingerprint):
            raise ValueError(
                f"run: expected clips of the model {model.fingerprint[:12]}, got some of"
                f" {self.model[:12]} in {self.folder}, name a new folder"
            )
        self.file("").parent.mkdir(parents=True, exist_ok=True)
        (self.folder / "model.txt").write_text(model.fingerprint)
        numbers = self.lacking
        made = model.clips(
            [self.prompts[number] for number in numbers],
            [self.seed + number for number in numbers],
        )
        for number, frames in zip(numbers, made, strict=True):
            save(self.file(f"{number:03d}"), frames)

    def measure(self) -> Report:
        """Measure what is not measured yet, and report all of it."""
        self.look_elsewhere()
        self.look_at_footage()
        self.attack()
        self.attack_knowingly()
        return self.report()

    def look_elsewhere(self) -> None:
        """Rows of windows that our key has not marked: drawn ones, and made clips without a mark
        and with another key's.
        """
        done = {row.clip for row in self.unmarked}
        for name, frames in self.windows_elsewhere():
            if name not in done:
                append(self.unmarked_file, measure(name, CLEAN, frames, marked=False))

    def windows_elsewhere(self) -> Iterator[tuple[str, Frames]]:
        """Windows without our mark, and their names."""
        yield from synthetic(DRAWN)
        for name in self.names[:DRAWN]:
            yield f"unmarked {name}", self.clip(name)
        for name in self.names[:DRAWN]:
            marked = embed(self.clip(name), payload_of(name), ANOTHER_KEY)
            yield f"another key {name}", marked

    def look_at_footage(self) -> None:
        """Rows of unmarked windows, and the law of the null over random keys."""
        done = {row.clip for row in self.unmarked}
        share = self.windows // max(1, len(self.footage))
        scores: list[Float[np.ndarray, " n"]] = []
        for file in tqdm(self.footage, desc="footage", disable=None):
            chosen = spread(list(cut(opened(file))), share)
            for index, frames in enumerate(chosen):
                if f"{file.name} {index}" not in done:
                    row = measure(f"{file.name} {index}", CLEAN, frames, marked=False)
                    append(self.unmarked_file, row)
            if not self.law_file.is_file():
                keys = self.keys // len(self.footage)
                scores.append(null_scores(chosen[0], keys, seed=len(scores)))
        if scores:
            law = json.dumps(tail(np.concatenate(scores)))
            write_whole(self.law_file, lambda made: made.write_text(law))

    def attack(self) -> None:
        """Rows of marked clips after attacks."""
        done = {(row.clip, row.attack) for row in self.rows}
        left = [cell for cell in cells(self.names, self.passes) if cell not in done]
        for name, attack in tqdm(left, desc="attack", disable=None):
            append(self.rows_file, measure(name, attack, self.clip(name)))

    def attack_knowingly(self) -> None:
        """Rows of somebody who has many marked clips, and of somebody who has the public key."""
        done = {(row.clip, row.attack) for row in self.rows}
        left = [name for name in self.names[:WINNING_CLIPS] if (name, SUBTRACTED) not in done]
        known = self.names[WINNING_CLIPS : WINNING_CLIPS + AVERAGED]
        if left and known:
            estimate = average(embed(self.clip(name)[:1], payload_of(name)) for name in known)
            for name in left:
                append(self.rows_file, subtracted(name, self.clip(name), estimate))
        for file in self.footage:
            if (file.name, FORGED) not in done:
                row = measure(file.name, CLEAN, next(cut(opened(file))))
                append(self.rows_file, replace(row, attack=FORGED))

    def report(self) -> Report:
        """Of all rows that there are."""
        rows = self.rows
        unmarked = self.unmarked
        attacks = summary(rows)
        ratios = [row.psnr for row in rows if row.psnr is not None]
        windows = {
            "windows": len(unmarked),
            "found": sum(row.found for row in unmarked),
            "p_smallest": min((row.p_value for row in unmarked), default=None),
        }
        law = json.loads(self.law_file.read_text()) if self.law_file.is_file() else None
        return Report(
            text=f"{table(attacks)}\n\nunmarked windows: {windows}",
            figures={
                "attacks": attacks,
                "psnr": {"mean": float(np.mean(ratios)), "least": min(ratios)},
                "unmarked": windows,
                "null": law,
            },
        )

    @property
    def rows_file(self) -> Path:
        """Of marked clips."""
        return self.folder / "rows.jsonl"

    @property
    def rows(self) -> list[Row]:
        """Of marked clips, so far."""
        return read_rows(self.rows_file)

    @property
    def unmarked_file(self) -> Path:
        """Of what has no mark of ours."""
        return self.folder / "footage.jsonl"

    @property
    def unmarked(self) -> list[Row]:
        """Of what has no mark of ours, so far."""
        return read_rows(self.unmarked_file)

    @property
    def law_file(self) -> Path:
        """How scores are distributed under random keys."""
        return self.folder / "null.json"


def save(path: Path, frames: Frames) -> None:
    """Write a clip, whole. Raises OSError."""

    def fill(made: Path) -> None:
        with made.open("wb") as file:
            np.savez_compressed(file, frames=frames)

    write_whole(path, fill)


def opened(file: Path) -> Frames:
    """Footage, on white where it is transparent. Raises MediaError."""
    return Clip.load(file).over("white").frames


def cut(frames: Frames) -> Iterator[Frames]:
    """Windows side by side in space and one after the other in time."""
    height, width = (min(SIDE, side) for side in frames.shape[1:3])
    for first in range(0, len(frames) - WINDOW + 1, WINDOW):
        for top in range(0, frames.shape[1] - height + 1, height):
            for left in range(0, frames.shape[2] - width + 1, width):
                yield frames[first : first + WINDOW, top : top + height, left : left + width]


def spread(windows: list[Frames], count: int) -> list[Frames]:
    """At most `count` of them, from first to last."""
    places = np.linspace(0, len(windows) - 1, min(count, len(windows)))
    return [windows[place] for place in np.unique(places.round().astype(int))]
