"""`lumiere learn-style IMAGE... --name NAME -o STYLE.safetensors`: a style from one to five
pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.loading import load
from openlumiere.engine.inputs import open_picture
from openlumiere.engine.learn_style import Learning
from openlumiere.media.write import check_folder, write_beside


@dataclass(frozen=True, kw_only=True)
class LearnStyle:
    """Fine-tune the picture net on a style; --style of the other verbs mixes it in."""

    images: Positional[tuple[str, ...]]
    """One to five pictures of the style."""
    name: str
    """What the style is called."""
    output: Annotated[str, arg(aliases=("-o",))]
    """Where to write: .safetensors."""
    prompt: UseAppendAction[tuple[str, ...]] = ()
    """What a picture shows, apart from its style: for all, or again for each. Without it the style
    takes on what the pictures show.
    """
    learning: Annotated[Learning, arg(name="")] = Learning()
    model: str | None = None
    """A model folder instead of the carried weights."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, mps."""


def main(words: list[str]) -> int:
    options = parse(LearnStyle, words, "learn-style")
    output = Path(options.output)
    if output.suffix != ".safetensors":
        raise ValueError(
            f"output: expected a path that ends in .safetensors, got {options.output!r}, choose another name"
        )
    check_folder(output.parent)
    pictures = [open_picture(image) for image in options.images]
    lumiere = load(options.model, options.device, "float32")
    style = lumiere.learn_style(
        pictures, options.name, prompts=options.prompt, learning=options.learning
    )
    write_beside(output, style.save)
    print(output)
    return 0
