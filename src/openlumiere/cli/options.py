"""What every verb that makes something can be told, and how its clip leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from openlumiere.cli.generate import check_path, load, style_weights, write_preview
from openlumiere.cli.signing import Signing
from openlumiere.media import Clip
from openlumiere.pipelines.inputs import Given, open_clip
from openlumiere.pipelines.lumiere import Lumiere, open_styles
from openlumiere.pipelines.request import DEFAULT_FEATHER, DEFAULT_GUIDANCE, DEFAULT_STEPS


@dataclass(frozen=True, kw_only=True)
class Sampling(Signing):
    output: Annotated[str, arg(aliases=("-o",))]
    """Where to write: .mp4, .webm, .gif, .webp, or a folder of PNG frames when it ends in /."""
    seed: int = 0
    """0 to 2**63 - 1; the same seed gives the same clip."""
    steps: int = DEFAULT_STEPS
    """Denoising steps: more is slower and finer."""
    guidance: float = DEFAULT_GUIDANCE
    """How closely to follow the prompt; 1 is off."""
    negative: str = ""
    """What to stay away from."""
    scheduler: str = "ddim"
    """ddim, dpm++, euler, euler-ancestral, heun, unipc or lcm."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    preview: bool = False
    """Also write OUT.sheet.png (frames) and OUT.xt.png (one row of pixels over time)."""
    lossless: bool = False
    """Keep every pixel (mp4, webm, webp)."""

    def sampling(self) -> dict:
        """Arguments that every method of `Lumiere` takes."""
        return {"seed": self.seed, "steps": self.steps, "guidance": self.guidance, "negative": self.negative, "scheduler": self.scheduler}


@dataclass(frozen=True, kw_only=True)
class Keeping:
    keep: str = "exact"
    """exact: known pixels come back bit by bit; soft: the net makes them again, too."""
    feather: int = DEFAULT_FEATHER
    """Pixels beside known ones that are moved to meet them; 0 is a hard edge."""

    def keeping(self) -> dict:
        return {"keep": self.keep, "feather": self.feather}


@dataclass(frozen=True, kw_only=True)
class Styled:
    style: UseAppendAction[tuple[str, ...]] = ()
    """A style that learn-style wrote, or a LoRA file (PEFT or kohya); may be given again."""
    style_weight: UseAppendAction[tuple[float, ...]] = ()
    """0 (off) to 1, for all styles or one for each (0.7)."""

    def open_styles(self) -> list[Given]:
        """The files, read before the model is."""
        return open_styles(self.style)

    def weights(self) -> float | tuple[float, ...]:
        return style_weights(self.style_weight)


@dataclass(frozen=True, kw_only=True)
class Edited:
    clip: Positional[str]
    """A video, an animated picture, or a folder of pictures."""
    allow_partial: bool = False
    """Take what there is of a broken file."""

    def open_clip(self) -> Given:
        return open_clip(self.clip, self.allow_partial)


def prepare(options: Sampling, frames: int) -> None:
    """Refuse an output that can't be written or signed before anything is read."""
    options.choose_signer()
    check_path(options.output, options.lossless, frames)


def load_model(options: Sampling) -> Lumiere:
    return load(options.model, options.device, options.dtype)


def write(clip: Clip, options: Sampling) -> int:
    """Save, with previews if asked for, and print the path."""
    clip.save(options.output, lossless=options.lossless)
    if options.preview:
        write_preview(clip, options.output)
    print(options.output)
    return 0
