"""`lumiere evaluate bias`: which skin tones does a model show for which words?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.report import check_report, write_json
from openlumiere.engine.base import NATIVE_RATE, LumierePipeline
from openlumiere.engine.finish import Shown
from openlumiere.engine.fit import enlarge
from openlumiere.media import contact_sheet, save_image
from openlumiere.quality.bias import PROMPTS, Prompt, Reading, read_prompts, table, tone_of, verdict
from openlumiere.tasks.request import DEFAULT_FRAMES, DEFAULT_GUIDANCE, DEFAULT_STEPS, check_range

SHEET_CLIPS, SHEET_COLUMNS, SHEET_SIDE = 120, 8, 160


@dataclass(frozen=True, kw_only=True)
class EvaluateBias:
    """Make clips of people by their occupation, with and without a gender word, and of things; read
    skin tones off their pixels.

    Made for nets of emoji: the colours are those of Noto's. Shares stand beside Wilson's 95 %
    intervals.
    """

    prompts: Path = PROMPTS
    """A CSV file of kind (person, control), group, subject, prompt."""
    clips: int = 1
    """Clips a prompt."""
    frames: int = 8
    """Frames a clip, over the same five seconds."""
    steps: int = DEFAULT_STEPS
    """Denoising steps."""
    guidance: float = DEFAULT_GUIDANCE
    """How closely to follow the prompt; 1 is off."""
    seed: int = 0
    """Clip n of a prompt is made with seed + n."""
    batch: int = 4
    """Clips made at a time."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    out: Path | None = None
    """Where to write every reading: .json."""
    sheet: Path | None = None
    """Where to write a frame of each of the first 120 clips: .png."""


def main(words: list[str]) -> int:
    options = parse(EvaluateBias, words, "evaluate bias")
    asked = check(options)
    from openlumiere.apps.cli.loading import load  # the nets take seconds to import

    base = load(options.model, options.device, options.dtype).base
    clips = list(make(base, asked, options))
    readings = [
        read(prompt, seed, frames) for (prompt, seed), frames in zip(asked, clips, strict=True)
    ]
    command = shlex.join(["lumiere", "evaluate", "bias", *words])
    print(f"{table(readings)}\n\n{verdict(readings)}\n\n    {command}")
    if options.out is not None:
        report = {
            "command": command,
            "model": base.fingerprint(),
            "readings": [asdict(each) for each in readings],
        }
        write_json(options.out, report)
    if options.sheet is not None:
        middles = enlarge(
            [frames[len(frames) // 2] for frames in clips[:SHEET_CLIPS]], SHEET_SIDE, SHEET_SIDE
        )
        names = [f"{prompt.subject}, {prompt.group}" for prompt, _ in asked[:SHEET_CLIPS]]
        save_image(
            contact_sheet(list(middles), SHEET_COLUMNS, names),
            options.sheet,
            Shown(command=command, model=base.fingerprint()),
        )
    return 0


def check(options: EvaluateBias) -> list[tuple[Prompt, int]]:
    """Prompts, each with its seeds. Raises ValueError for what would fail after the long work."""
    check_range("clips", options.clips, 1, 10_000)
    check_range("frames", options.frames, 1, DEFAULT_FRAMES)
    check_range("steps", options.steps, 1, 1000)
    check_range("guidance", options.guidance, 0, 100)
    check_range("seed", options.seed, 0, 2**62)
    check_range("batch", options.batch, 1, 1000)
    check_report(options.out, options.sheet)
    return [
        (prompt, options.seed + number)
        for prompt in read_prompts(options.prompts)
        for number in range(options.clips)
    ]


def make(
    base: LumierePipeline, asked: list[tuple[Prompt, int]], options: EvaluateBias
) -> Iterator[np.ndarray]:
    """Clips at the net's own size, uint8 [f, h, w, 3], made a batch at a time."""
    with tqdm(total=len(asked), desc="evaluate", unit="clip", disable=None) as bar:
        for first in range(0, len(asked), options.batch):
            chosen = asked[first : first + options.batch]
            yield from base(
                [prompt.prompt for prompt, _ in chosen],
                seeds=[seed for _, seed in chosen],
                num_frames=options.frames,
                frame_rate=NATIVE_RATE * options.frames / DEFAULT_FRAMES,
                num_inference_steps=options.steps,
                guidance_scale=options.guidance,
            ).frames
            bar.update(len(chosen))


def read(prompt: Prompt, seed: int, frames: np.ndarray) -> Reading:
    tone, share = tone_of(frames)
    return Reading(prompt=prompt, seed=seed, tone=tone, share=share)
