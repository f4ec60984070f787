"""`lumiere restyle CLIP PROMPT -o OUT`: a clip in another style."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.options import Edited, Making, Styled, load_for_edit, prepare, write
from openlumiere.apps.cli.progress import progress


@dataclass(frozen=True, kw_only=True)
class Restyle(Making, Styled, Edited):
    """Put noise over a clip and take it away again under another sentence, all frames at once."""

    prompt: Positional[str]
    """What the clip shows when it is done."""
    strength: float = 0.6
    """0 gives the clip back, 1 makes all anew."""
    structure: float = 0.0
    """How long the clip's coarse shapes are held: 0 not at all, 0.5 keeps its motion, 1 its colours
    too.
    """


def main(words: list[str]) -> int:
    options = parse(Restyle, words, "restyle")
    clip = options.open_clip()
    prepare(options, len(clip.content))
    styles = options.open_styles()
    lumiere = load_for_edit(options, len(clip.content), clip.content.size, clip.content.fps)
    with progress("restyle") as on_step:
        made = lumiere.restyle(
            clip,
            options.prompt,
            strength=options.strength,
            structure=options.structure,
            style=styles,
            style_weight=options.weights(),
            on_step=on_step,
            **options.sampling(),
        )
    return write(made, options)
