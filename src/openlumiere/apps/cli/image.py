"""`lumiere image PROMPT -o OUT.png`: a sentence becomes a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.loading import warn_of_words
from openlumiere.apps.cli.options import Loaded, Sampled, check_path
from openlumiere.apps.cli.progress import progress
from openlumiere.tasks.request import DEFAULT_SIZE, Request, check_choice


@dataclass(frozen=True, kw_only=True)
class Image(Sampled, Loaded):
    """Text to image, by the picture net that the video net is inflated from."""

    prompt: Positional[str]
    """What the picture shows."""
    output: Annotated[str, arg(aliases=("-o",))]
    """Where to write: .png or .webp."""
    size: int = DEFAULT_SIZE
    """Side of the picture in pixels; 0 keeps the net's own."""


def main(words: list[str]) -> int:
    options = parse(Image, words, "image")
    options.settings()
    asked = Request(
        task="image", prompt=options.prompt, frames=1, size=options.size, **options.sampling()
    )
    check_choice("output", Path(options.output).suffix.lower(), (".png", ".webp"))
    check_path(options.output, lossless=True, frames=1)
    lumiere = options.load()
    warn_of_words(options.prompt, lumiere)
    with progress("image") as on_step:
        lumiere.make(asked, on_step).save(options.output, lossless=True)
    print(options.output)
    return 0
