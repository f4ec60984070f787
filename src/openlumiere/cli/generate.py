"""`lumiere generate PROMPT -o OUT`: a sentence becomes a clip."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import diffusers
import torch
import transformers
from tyro.conf import Positional, UseAppendAction, arg

from openlumiere.cli.arguments import parse
from openlumiere.cli.progress import progress
from openlumiere.cli.signing import Signing
from openlumiere.media import Clip, check_output, contact_sheet, save_image, xt_slice
from openlumiere.pipelines.lumiere import DEFAULT_STYLE_WEIGHT, Lumiere, Styles, open_styles
from openlumiere.pipelines.memory import cascade_memory, free_memory, gigabytes, parse_memory
from openlumiere.pipelines.request import (
    DEFAULT_FPS, DEFAULT_GUIDANCE, DEFAULT_SIZE, DEFAULT_STEPS, Request, check_choice, check_range, frame_count,
)  # fmt: skip

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHEET_FRAMES, SHEET_COLUMNS = 16, 4


@dataclass(frozen=True, kw_only=True)
class Generate(Signing):
    """Text to video: a five-second clip of 80 frames at 16 fps, unless told otherwise.

    Pixels of a frame x frames x steps may be up to 1.7e10: 80 frames of 1024 x 1024 in 200 steps.
    """

    prompt: Positional[str]
    """What the clip shows, in one of the trained languages; or what when: "0s: a cat sits | 3s: the cat jumps"."""
    output: Annotated[str, arg(aliases=("-o",))]
    """Where to write: .mp4, .webm, .gif, .webp, or a folder of PNG frames when it ends in /."""
    seed: int = 0
    """0 to 2**63 - 1; the same seed gives the same clip."""
    frames: int | None = None
    """Frames to make (80)."""
    seconds: float | None = None
    """Length instead of frames."""
    fps: str = DEFAULT_FPS
    """Frames a second, whole or a fraction such as 30000/1001."""
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
    """ddim, dpm++, euler, euler-ancestral, heun, unipc or lcm."""
    model: str | None = None
    """A model folder, or owner/name on the hub, instead of the carried weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    loop: bool = False
    """The last frame goes over into the first."""
    shot: UseAppendAction[tuple[str, ...]] = ()
    """What another shot shows, cut after the one before, with the same subject; may be given again."""
    no_upscale: bool = False
    """Enlarge by plain resampling instead of the super-resolution net."""
    memory_limit: str = ""
    """Choose windows and tiles that take no more: 6GiB, 1500MB."""
    style: UseAppendAction[tuple[str, ...]] = ()
    """A style that learn-style wrote, or a LoRA file (PEFT or kohya); may be given again."""
    style_weight: UseAppendAction[tuple[float, ...]] = ()
    """0 (off) to 1, for all styles or one for each (0.7)."""
    preview: bool = False
    """Also write OUT.sheet.png (frames) and OUT.xt.png (one row of pixels over time)."""
    lossless: bool = False
    """Keep every pixel (mp4, webm, webp)."""


def main(words: list[str]) -> int:
    options = parse(Generate, words, "generate")
    options.choose_signer()
    outputs = numbered(options.output, options.count)
    requests = [request(options, options.seed + index) for index in range(options.count)]
    for output in outputs:
        check_path(output, options.lossless, requests[0].frames)
    styles = open_styles(options.style)
    lumiere = load(options.model, options.device, options.dtype)
    warn_of_memory(lumiere, requests[0])
    for asked, output in zip(requests, outputs, strict=True):
        clip = make(lumiere, asked, styles, style_weights(options.style_weight))
        clip.save(output, lossless=options.lossless)
        if options.preview:
            write_preview(clip, output)
        print(output)
    return 0


def request(options: Generate, seed: int) -> Request:
    return Request(
        prompt=options.prompt, negative=options.negative, seed=seed, frames=frame_count(options.frames, options.seconds, options.fps),
        fps=options.fps, steps=options.steps, guidance=options.guidance, size=options.size, scheduler=options.scheduler,
        loop=options.loop, shots=options.shot, upscale=not options.no_upscale,
        memory_limit=parse_memory(options.memory_limit),
    )  # fmt: skip


def style_weights(given: tuple[float, ...]) -> float | tuple[float, ...]:
    """One for all styles, or one a style."""
    for weight in given:
        check_range("style weight", weight, 0, 1)
    return given[0] if len(given) == 1 else given or DEFAULT_STYLE_WEIGHT


def numbered(output: str, count: int) -> list[str]:
    """`cat.mp4` for one, `cat-1.mp4`, `cat-2.mp4` ... for several."""
    check_range("count", count, 1, 1000)
    if count == 1:
        return [output]
    end = "/" if output.endswith("/") else Path(output).suffix
    return [f"{output.removesuffix(end)}-{index + 1}{end}" for index in range(count)]


def check_path(output: str, lossless: bool, frames: int) -> None:
    if not output.isprintable():
        raise ValueError("output: expected a path of characters that print, got others, choose another name")
    check_output(output, lossless, frames)


def load(model: str | None, device: str, dtype: str) -> Lumiere:
    """The model on its device. Raises ValueError for a device or a precision that torch does not have here."""
    check_choice("dtype", dtype, tuple(DTYPES))
    check_device(device)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    return Lumiere.from_pretrained(model, device=device, dtype=DTYPES[dtype])


def check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device: expected one that torch can use, got {device!r} ({reason}), use cpu") from None


def warn_of_memory(lumiere: Lumiere, asked: Request) -> None:
    needed, free = cascade_memory(lumiere.base, lumiere.upscaler, asked), free_memory(lumiere.base.device)
    if needed > free:
        print(f"lumiere: this may take {gigabytes(needed)} of memory and {gigabytes(free)} are free; fewer frames take less", file=sys.stderr)


def make(lumiere: Lumiere, asked: Request, styles: Styles = (), weights: float | tuple[float, ...] = ()) -> Clip:
    with progress(asked.task) as on_step:
        return lumiere.make_of(asked, {}, styles, weights, on_step)


def write_preview(clip: Clip, output: str) -> None:
    """Two pictures that tell a clip at a glance: its frames, and how a row of pixels goes through time."""
    base = output.rstrip("/")
    shown = clip.frames[:: -(-len(clip) // SHEET_FRAMES)]
    save_image(contact_sheet(list(shown), columns=SHEET_COLUMNS), f"{base}.sheet.png", clip.origin)
    save_image(xt_slice(clip), f"{base}.xt.png", clip.origin)
