"""`lumiere upscale CLIP [PROMPT] -o OUT`: a clip in four times its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.loading import load
from openlumiere.apps.cli.options import check_path
from openlumiere.apps.cli.signing import Signing
from openlumiere.engine.inputs import open_clip
from openlumiere.engine.memory import parse_memory
from openlumiere.tasks.request import DEFAULT_LEVEL, UPSCALE_STEPS, check_range


@dataclass(frozen=True, kw_only=True)
class Upscale(Signing):
    """Enlarge a clip of any length by the super-resolution net, in windows and tiles; its rate and
    sound are kept.
    """

    clip: Positional[str]
    """A video, an animated picture, or a folder of pictures."""
    prompt: Positional[str] = ""
    """What it shows, if you like."""
    output: Annotated[str, arg(aliases=("-o",))]
    """Where to write: .mp4, .webm, .gif, .webp, or a folder of PNG frames when it ends in /."""
    steps: int = UPSCALE_STEPS
    """Denoising steps, 1 to 8 are enough."""
    noise: float = DEFAULT_LEVEL
    """How little to trust the clip's pixels, 0 to 1: more invents more."""
    seed: int = 0
    """0 to 2**63 - 1; the same seed gives the same clip."""
    memory_limit: str = ""
    """Choose windows and tiles that take no more: 6GiB, 1500MB."""
    allow_partial: bool = False
    """Take what there is of a broken file."""
    model: str | None = None
    """A model folder instead of the carried weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""
    dtype: str = "float32"
    """float32, bfloat16 or float16."""
    lossless: bool = False
    """Keep every pixel (mp4, webm, webp)."""


def main(words: list[str]) -> int:
    options = parse(Upscale, words, "upscale")
    settings = options.settings()
    check_range("noise", options.noise, 0, 1)
    limit = parse_memory(options.memory_limit)
    given = open_clip(options.clip, options.allow_partial)
    check_path(options.output, options.lossless, len(given.content))
    lumiere = load(options.model, options.device, options.dtype, settings)
    made = lumiere.upscale(
        given,
        options.prompt,
        seed=options.seed,
        steps=options.steps,
        noise=options.noise,
        memory_limit=limit,
    )
    made.save(options.output, lossless=options.lossless)
    print(options.output)
    return 0
