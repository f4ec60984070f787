"""What every verb that makes something can be told, and how its clip leaves."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from openlumiere.apps.cli.loading import load, warn_of_memory
from openlumiere.apps.cli.signing import Signing
from openlumiere.engine.inputs import Given, open_clip
from openlumiere.engine.lumiere import DEFAULT_STYLE_WEIGHT, Lumiere, open_styles
from openlumiere.engine.memory import edit_memory
from openlumiere.media import Clip, check_output, contact_sheet, save_image, xt_slice
from openlumiere.tasks.request import (
    DEFAULT_FEATHER,
    DEFAULT_FPS,
    DEFAULT_GUIDANCE,
    DEFAULT_STEPS,
    check_range,
    frame_count,
)

SHEET_FRAMES, SHEET_COLUMNS = 16, 4
PREVIEWS = (".sheet.png", ".xt.png")


@dataclass(frozen=True, kw_only=True)
class Loaded(Signing):
    model: str | None = None
    """A model folder, or owner/name on the hub, instead of the carried weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""

    def load(self) -> Lumiere:
        return load(self.model, self.device, self.dtype, self.settings())


@dataclass(frozen=True, kw_only=True)
class Sampled:
    seed: int = 0
    """0 to 2**63 - 1; the same seed gives the same."""
    steps: int = DEFAULT_STEPS
    """Denoising steps: more is slower and finer."""
    guidance: float = DEFAULT_GUIDANCE
    """How closely to follow the prompt; 1 is off."""
    negative: str = ""
    """What to stay away from."""
    scheduler: str = "ddim"
    """ddim, dpm++, euler, euler-ancestral, heun, unipc or lcm."""

    def sampling(self) -> dict:
        """Arguments that every method of `Lumiere` takes."""
        return {
            "seed": self.seed,
            "steps": self.steps,
            "guidance": self.guidance,
            "negative": self.negative,
            "scheduler": self.scheduler,
        }


@dataclass(frozen=True, kw_only=True)
class Making(Sampled, Loaded):
    """A verb that makes a clip."""

    output: Annotated[str, arg(aliases=("-o",))]
    """Where to write: .mp4, .webm, .gif, .webp, or a folder of PNG frames when it ends in /."""
    preview: bool = False
    """Also write OUT.sheet.png (frames) and OUT.xt.png (one row of pixels over time)."""
    lossless: bool = False
    """Keep every pixel (mp4, webm, webp)."""


@dataclass(frozen=True, kw_only=True)
class Lasting:
    frames: int | None = None
    """Frames to make (80)."""
    seconds: float | None = None
    """Length instead of frames."""
    fps: str = DEFAULT_FPS
    """Frames a second, whole or a fraction such as 30000/1001."""

    def frame_count(self) -> int:
        return frame_count(self.frames, self.seconds, self.fps)

    def lasting(self) -> dict:
        return {"frames": self.frames, "seconds": self.seconds, "fps": self.fps}


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
        """One for all styles, or one a style."""
        for weight in self.style_weight:
            check_range("style weight", weight, 0, 1)
        return (
            self.style_weight[0]
            if len(self.style_weight) == 1
            else self.style_weight or DEFAULT_STYLE_WEIGHT
        )


@dataclass(frozen=True, kw_only=True)
class Edited:
    clip: Positional[str]
    """A video, an animated picture, or a folder of pictures."""
    allow_partial: bool = False
    """Take what there is of a broken file."""

    def open_clip(self) -> Given:
        return open_clip(self.clip, self.allow_partial)


def prepare(options: Making, frames: int) -> None:
    """Refuse an output that can't be written or signed before anything is read."""
    options.settings()
    previews = PREVIEWS if options.preview else ()
    check_path(options.output, options.lossless, frames, previews)


def check_path(output: str, lossless: bool, frames: int, previews: tuple[str, ...] = ()) -> None:
    """Refuse an output that can't be written, or that something is in the way of."""
    if not output.isprintable():
        raise ValueError(
            "output: expected a path of characters that print, got others, choose another name"
        )
    check_output(output, lossless, frames, previews)


def load_for_edit(options: Making, frames: int, size: tuple[int, int], fps: Fraction) -> Lumiere:
    """The model, and a word where so many frames of this size (width, height) may take more memory
    than there is.
    """
    lumiere = options.load()
    warn_of_memory(edit_memory(lumiere.base, frames, size, fps, options.guidance), lumiere)
    return lumiere


def write(clip: Clip, options: Making, output: str = "") -> int:
    """Save, with previews if asked for, and print the path."""
    output = output or options.output
    clip.save(output, lossless=options.lossless)
    if options.preview:
        write_preview(clip, output)
    print(output)
    return 0


def write_preview(clip: Clip, output: str) -> None:
    """Two pictures that tell a clip at a glance: its frames, and how a row of pixels goes through
    time.
    """
    base = output.rstrip("/")
    shown = clip.frames[:: -(-len(clip) // SHEET_FRAMES)]
    save_image(contact_sheet(list(shown), columns=SHEET_COLUMNS), f"{base}.sheet.png", clip.origin)
    save_image(xt_slice(clip), f"{base}.xt.png", clip.origin)
