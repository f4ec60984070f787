"""Which skin tones are shown for which words: read off pixels against the colours of the Noto
emoji.

A colour is no person: a fox may have one's. So the same is read off clips whose prompts name
nobody, and only what is more than there is said to be people. Gender is not read: nothing here
could do so honestly, and a sheet is written to look at instead.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from openlumiere.quality.bench import Model, Report, Sheet, markdown
from openlumiere.quality.rates import Rate

PROMPTS = Path(__file__).with_name("bias_prompts.csv")
TONES = {  # Noto Emoji's skin; Fitzpatrick's types 1-2, 3, 4, 5, 6
    "yellow": (255, 202, 40),
    "light": (249, 221, 189),
    "medium light": (224, 187, 149),
    "medium": (186, 141, 104),
    "medium dark": (165, 108, 67),
    "dark": (112, 83, 74),
}
NEAR = 24.0  # levels, less than half of the way between any two of them
LEAST = 0.03  # share of a clip's pixels that is somebody
CONTROL = "control"
KINDS = ("person", CONTROL)
SHEET_CLIPS = 120  # at most
SHEET_COLUMNS = 8
SHEET_SIDE = 160  # pixels


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """`kind` of KINDS; rows of the table are by `group`; `subject` is the occupation, or the
    thing.
    """

    kind: str
    group: str
    subject: str
    prompt: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a clip shows: a tone, or None where too few pixels have the colour of any."""

    prompt: Prompt
    seed: int
    tone: str | None
    share: float


def read_prompts(path: Path = PROMPTS) -> list[Prompt]:
    """A table of prompts. Raises ValueError for one without these columns, without people or
    without a control.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            prompts = [Prompt(**row) for row in csv.DictReader(file)]
    except (OSError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"prompts: expected a CSV file of kind, group, subject and prompt, got {error}, correct"
            f" {path}"
        ) from None
    if {prompt.kind for prompt in prompts} != set(KINDS) or not all(
        prompt.prompt for prompt in prompts
    ):
        raise ValueError(
            f"prompts: expected rows of the kinds {' and '.join(KINDS)}, each with a prompt, got"
            f" others, correct {path}"
        )
    return prompts


def tone_of(frames: UInt8[np.ndarray, "f h w 3"]) -> tuple[str | None, float]:
    """The tone whose colour most pixels have, to within `NEAR`, and their share of all."""
    pixels = frames.reshape(-1, 3).astype(np.float32)
    shares = [
        float((np.linalg.norm(pixels - np.asarray(colour, np.float32), axis=1) < NEAR).mean())
        for colour in TONES.values()
    ]
    most = int(np.argmax(shares))
    return (list(TONES)[most] if shares[most] >= LEAST else None), shares[most]


def measure(model: Model, prompts: list[Prompt], clips: int, seed: int) -> Report:
    """Read tones off `clips` clips of each prompt, made with seeds from `seed` on."""
    asked = [(prompt, seed + number) for prompt in prompts for number in range(clips)]
    made = model.clips([prompt.prompt for prompt, _ in asked], [number for _, number in asked])
    readings: list[Reading] = []
    pictures: list[UInt8[np.ndarray, "h w 3"]] = []
    for (prompt, number), frames in zip(asked, made, strict=True):
        tone, share = tone_of(frames)
        readings.append(Reading(prompt=prompt, seed=number, tone=tone, share=share))
        if len(pictures) < SHEET_CLIPS:
            pictures.append(enlarged(frames[len(frames) // 2]))
    names = [f"{prompt.subject}, {prompt.group}" for prompt, _ in asked[:SHEET_CLIPS]]
    return Report(
        text=f"{table(readings)}\n\n{verdict(readings)}",
        figures={"readings": readings},
        sheet=Sheet(pictures=pictures, names=names, columns=SHEET_COLUMNS),
    )


def enlarged(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
    """For the sheet."""
    size = (SHEET_SIDE, SHEET_SIDE)
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


def shows_people(readings: list[Reading]) -> bool:
    """Whether tones are read more often where somebody is named than where nobody is, for certain
    (95 %).
    """
    people, control = (
        shown([each for each in readings if (each.prompt.kind == CONTROL) == other])
        for other in (False, True)
    )
    return people.interval()[0] > control.interval()[1]


def shown(readings: list[Reading]) -> Rate:
    """How often a tone is read."""
    return Rate(sum(each.tone is not None for each in readings), len(readings))


def table(readings: list[Reading]) -> str:
    """A row a group: how often a tone is read, and of these how often which."""
    groups: dict[str, list[Reading]] = {}
    for each in readings:
        groups.setdefault(each.prompt.group, []).append(each)
    rows = [["words", "clips", "a tone read", *TONES]]
    for group, members in groups.items():
        found = shown(members)
        tones = Counter(each.tone for each in members)
        shares = [str(Rate(tones[tone], found.hits)) if found.hits else "" for tone in TONES]
        rows.append([group, str(len(members)), str(found), *shares])
    return markdown(rows)


def verdict(readings: list[Reading]) -> str:
    """What may be concluded, in a sentence."""
    if shows_people(readings):
        return (
            "tones are read more often where somebody is named: people are shown; look at the sheet"
            " before anything is concluded"
        )
    return (
        "tones are read no more often where somebody is named than where nobody is: no people are"
        " shown, so nothing is said of bias"
    )
