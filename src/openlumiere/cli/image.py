"""`lumiere image PROMPT -o OUT.png`: a sentence becomes a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from openlumiere.cli.arguments import parse
from openlumiere.cli.generate import check_path, load, make
from openlumiere.cli.signing import Signing
from openlumiere.pipelines.request import DEFAULT_GUIDANCE, DEFAULT_SIZE, DEFAULT_STEPS, Request, check_choice


@dataclass(frozen=True, kw_only=True)
class Image(Signing):
    """Text to image, by the picture net that the video net is inflated from."""

    prompt: Positional[str]
    """What the picture shows."""
    output: Annotated[str, arg(aliases=("-o",))]
    """Where to write: .png or .webp."""
    seed: int = 0
    """0 to 2**63 - 1; the same seed gives the same picture."""
    steps: int = DEFAULT_STEPS
    """Denoising steps."""
    guidance: float = DEFAULT_GUIDANCE
    """How closely to follow the prompt; 1 is off."""
    negative: str = ""
    """What to stay away from."""
    size: int = DEFAULT_SIZE
    """Side of the picture in pixels; 0 keeps the net's own."""
    scheduler: str = "ddim"
    """ddim, dpm++, euler, euler-ancestral, heun, unipc or lcm."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""


def main(words: list[str]) -> int:
    options = parse(Image, words, "image")
    options.choose_signer()
    asked = Request(
        task="image", prompt=options.prompt, negative=options.negative, seed=options.seed, frames=1, steps=options.steps,
        guidance=options.guidance, size=options.size, scheduler=options.scheduler,
    )  # fmt: skip
    check_choice("output", Path(options.output).suffix.lower(), (".png", ".webp"))
    check_path(options.output, lossless=True, frames=1)
    make(load(options.model, options.device, options.dtype), asked).save(options.output, lossless=True)
    print(options.output)
    return 0
