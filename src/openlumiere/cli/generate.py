"""`lumiere generate PROMPT -o OUT`: a sentence becomes a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg

from openlumiere.cli.arguments import parse
from openlumiere.cli.progress import progress
from openlumiere.media import Clip, check_output, contact_sheet, save_image, xt_slice
from openlumiere.pipelines.lumiere import (
    DEFAULT_GUIDANCE, DEFAULT_SIZE, DEFAULT_STEPS, Lumiere, check_range, check_request, frame_count,
)  # fmt: skip

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Text to video: a five-second clip of 80 frames at 16 fps, unless told otherwise."""

    prompt: Positional[str]
    """What the clip shows, in one of the trained languages."""
    output: Annotated[str, arg(aliases=("-o",))]
    """Where to write: .mp4, .webm, .gif, .webp, or a folder of PNG frames when it ends in /."""
    seed: int = 0
    """0 to 2**63 - 1; the same seed gives the same clip."""
    frames: int | None = None
    """Frames to make (80)."""
    seconds: float | None = None
    """Length instead of frames."""
    fps: int = 16
    """Frames a second."""
    steps: int = DEFAULT_STEPS
    """Denoising steps: more is slower and finer."""
    guidance: float = DEFAULT_GUIDANCE
    """How closely to follow the prompt; 1 is off."""
    negative: str = ""
    """What to stay away from."""
    count: int = 1
    """Clips to make, seeds counting up; files are numbered."""
    size: int = DEFAULT_SIZE
    """Side of the written frames in pixels; 0 keeps the net's own."""
    scheduler: str = "ddim"
    """ddim, dpm++, euler, heun, unipc or lcm."""
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


def main(words: list[str]) -> int:
    options = parse(Generate, words, "generate")
    outputs = numbered(options.output, options.count)
    for output in outputs:
        check_output(output, options.lossless)
    lumiere = load(options.model, options.device, options.dtype)
    for index, output in enumerate(outputs):
        clip = generate(lumiere, options, options.seed + index)
        clip.save(output, lossless=options.lossless)
        if options.preview:
            write_preview(clip, output)
        print(output)
    return 0


def numbered(output: str, count: int) -> list[str]:
    """`cat.mp4` for one, `cat-1.mp4`, `cat-2.mp4` ... for several."""
    check_range("count", count, 1, 1000)
    if count == 1:
        return [output]
    stem, end = (output.rstrip("/"), "/") if output.endswith("/") else (str(Path(output).with_suffix("")), Path(output).suffix)
    return [f"{stem}-{index + 1}{end}" for index in range(count)]


def load(model: str | None, device: str, dtype: str) -> Lumiere:
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}, name one of these")
    check_device(device)
    return Lumiere.from_pretrained(model, device=device, dtype=DTYPES[dtype])


def check_device(device: str) -> None:
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: expected one that torch can use, got {device!r} ({error}), use cpu") from None


def generate(lumiere: Lumiere, options: Generate, seed: int) -> Clip:
    with progress("generate", options.steps) as on_step:
        return lumiere.generate(
            options.prompt, seed=seed, negative=options.negative, frames=options.frames, seconds=options.seconds, fps=options.fps,
            steps=options.steps, guidance=options.guidance, size=options.size, scheduler=options.scheduler, on_step=on_step,
        )  # fmt: skip


def write_preview(clip: Clip, output: str) -> None:
    """Two pictures that tell a clip at a glance: its frames, and how a row of pixels goes through time."""
    base = output.rstrip("/")
    shown = clip.frames[:: max(1, len(clip.frames) // 16)][:16]
    save_image(contact_sheet(list(shown), columns=4), f"{base}.sheet.png")
    save_image(xt_slice(clip), f"{base}.xt.png")
