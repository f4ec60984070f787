"""The frame of every `lumiere evaluate` verb: options that several share, and what is written.

What needs torch is imported when it is called, so that `--help` is there at once.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff

from openlumiere.media.write import check_folder, write_beside

if TYPE_CHECKING:
    from openlumiere.engine.lumiere import Lumiere
    from openlumiere.quality.bench import Frames, Report, Sheet

SECONDS = 5  # that every clip spans
NATIVE_FRAMES = 80


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What is measured."""

    model: str | None = None
    """A model folder instead of the bundled weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the nets."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How clips are generated."""

    frames: int = 16
    """Frames a clip, always over the same five seconds: fewer is faster and coarser, 80 are all."""
    steps: int = 20
    """Denoising steps."""
    guidance: float = 3.0
    """How closely to follow the prompt; 1 is off."""
    fast: Annotated[bool, FlagCreatePairsOff] = False
    """By the model's distilled weights, in 4 steps without guidance by default."""
    seed: int = 0
    """Draws what is asked for; clip n is made with seed + n."""

    @property
    def rate(self) -> Fraction:
        """Frames a second."""
        return Fraction(self.frames, SECONDS)


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is written."""

    out: Path | None = None
    """Where to write every figure: .json."""
    sheet: Path | None = None
    """Where to write a sheet of pictures: .png."""


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError where a value is out of its range, or no number."""
    if not low <= value <= high:
        raise ValueError(
            f"{name}: expected {low:g} to {high:g}, got {value:g}, choose one in between"
        )


def check_sampling(sampling: Sampling, least_frames: int = SECONDS) -> None:
    """Raise ValueError for numbers out of range; text to video takes a frame a second at least."""
    check_between("frames", sampling.frames, least_frames, NATIVE_FRAMES)
    check_between("steps", sampling.steps, 1, 1000)
    check_between("guidance", sampling.guidance, 0, 100)
    check_between("seed", sampling.seed, 0, 2**62)


def check_output(output: Output) -> None:
    """Raise ValueError, before the long work, for what can't be written or signed after it."""
    if output.out is not None:
        check_file(output.out, ".json")
    if output.sheet is not None:
        from openlumiere.engine.finish import check_keys
        from openlumiere.settings import Settings

        check_file(output.sheet, ".png")
        check_keys(Settings.load())


def check_file(path: Path, suffix: str) -> None:
    """Raise ValueError for what can't be written as a file that ends so."""
    if path.suffix != suffix or path.is_dir() or not path.parent.is_dir():
        raise ValueError(
            f"output: expected a {suffix} file in a folder that exists, got {path}, choose another"
            " path"
        )
    check_folder(path.parent)


def load(weights: Weights, usual: str | None = None) -> Lumiere:
    """The model that is measured: the one that is named, else the `usual` one of a measure, else
    the default.
    """
    from openlumiere.apps.cli import loading

    return loading.load(weights.model or usual, weights.device, weights.dtype)


@dataclass(frozen=True)
class LumiereModel:
    """A `Lumiere` as what makes the clips of a measure, as everybody's are made.

    `size` in pixels is the net's own where it is 0; `rate` is that at which the frames span five
    seconds where it is None. Clips keep their alpha with `alpha`, else colours alone.
    """

    lumiere: Lumiere
    sampling: Sampling
    size: int = 0
    rate: Fraction | None = None
    alpha: bool = False

    @property
    def fingerprint(self) -> str:
        """Of the model's weights and settings."""
        return self.lumiere.base.fingerprint()

    def clips(self, prompts: Sequence[str], seeds: Sequence[int]) -> Iterator[Frames]:
        """A clip a prompt, uint8 `[f, h, w, 3 or 4]`; a bar shows how far it is."""
        from tqdm import tqdm

        from openlumiere.media.alpha import opaque

        how = self.sampling
        asked = list(zip(prompts, seeds, strict=True))
        for prompt, seed in tqdm(asked, desc="evaluate", unit="clip", disable=None):
            made = self.lumiere.generate(
                prompt,
                seed=seed,
                frames=how.frames,
                fps=self.rate or how.rate,
                steps=how.steps,
                guidance=how.guidance,
                fast=how.fast,
                size=self.size,
                upscale=self.size > 0,
            ).frames
            yield opaque(made) if self.alpha else made[..., :3]


def finish(
    report: Report,
    verb: str,
    words: list[str],
    model: str,
    output: Output,
    table: Path | None = None,
) -> int:
    """Print what a measure found and the command that found it, and write what was asked for, what
    is printed to `table`; answers the exit code.

    `model` is the fingerprint of the model.
    """
    command = shlex.join(["lumiere", "evaluate", verb, *words])
    text = f"{report.text}\n\n    {command}\n"
    print(text, end="")
    if table is not None:
        write_beside(table, lambda made: made.write_text(text, encoding="utf-8"))
    if output.out is not None:
        write_json(output.out, {"command": command, "model": model, **report.figures})
        print(output.out)
    if output.sheet is not None and report.sheet is not None:
        save_sheet(report.sheet, output.sheet, command, model)
        print(output.sheet)
    return 0


def write_json(path: Path, figures: dict) -> None:
    """Whole, as UTF-8. Raises MediaError."""
    from openlumiere.quality.bench import plain

    text = json.dumps(plain(figures), indent=1, ensure_ascii=False) + "\n"
    write_beside(path, lambda made: made.write_text(text, encoding="utf-8"))


def save_sheet(sheet: Sheet, path: Path, command: str, model: str) -> None:
    """A picture that says by which command it was made, signed as clips are."""
    from openlumiere.engine.finish import ReportProvenance
    from openlumiere.media import contact_sheet, save_image

    picture = contact_sheet(sheet.pictures, sheet.columns, sheet.names)
    save_image(picture, path, ReportProvenance(command=command, model=model))
