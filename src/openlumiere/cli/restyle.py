"""`lumiere restyle CLIP PROMPT -o OUT`: a clip in another style."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional

from openlumiere.cli.arguments import parse
from openlumiere.cli.options import Edited, Sampling, Styled, load_model, prepare, write
from openlumiere.cli.progress import progress


@dataclass(frozen=True, kw_only=True)
class Restyle(Sampling, Styled, Edited):
    """Put noise over a clip and take it away again under another sentence, all frames at once."""

    prompt: Positional[str]
    """What the clip shows when it is done."""
    strength: float = 0.6
    """0 gives the clip back, 1 makes all anew."""


def main(words: list[str]) -> int:
    options = parse(Restyle, words, "restyle")
    clip = options.open_clip()
    prepare(options, len(clip.content))
    styles = options.open_styles()
    lumiere = load_model(options)
    with progress("restyle") as on_step:
        made = lumiere.restyle(
            clip, options.prompt, strength=options.strength, style=styles, style_weight=options.weights(), on_step=on_step,
            **options.sampling(),
        )  # fmt: skip
    return write(made, options)
