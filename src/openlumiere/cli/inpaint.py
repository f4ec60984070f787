"""`lumiere inpaint CLIP [PROMPT] --region R -o OUT`: something new in a part of a clip."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional

from openlumiere.cli.arguments import parse
from openlumiere.cli.options import Keeping, Sampling, Styled, load_model, prepare, write
from openlumiere.cli.progress import progress
from openlumiere.conditions import Region
from openlumiere.pipelines.inputs import open_clip


@dataclass(frozen=True, kw_only=True)
class Inpaint(Sampling, Keeping, Styled):
    """Fill a region of a clip from a sentence; all else stays."""

    clip: Positional[str]
    """A video, an animated picture, or a folder of pictures."""
    prompt: Positional[str] = ""
    """What the clip shows when it is done."""
    region: str
    """Where to make something new: a mask (picture or clip, white is inside), x0,y0,x1,y1 in fractions of the frame, corners "x,y x,y x,y", or either at frames "0: ...; 40: ..."."""
    allow_partial: bool = False
    """Take what there is of a broken file."""


def main(words: list[str]) -> int:
    options = parse(Inpaint, words, "inpaint")
    region = Region.parse(options.region)
    clip = open_clip(options.clip, options.allow_partial)
    prepare(options, len(clip.content))
    styles = options.open_styles()
    lumiere = load_model(options)
    with progress("inpaint") as on_step:
        made = lumiere.inpaint(
            clip, region, options.prompt, style=styles, style_weight=options.weights(), on_step=on_step,
            **options.keeping(), **options.sampling(),
        )  # fmt: skip
    return write(made, options)
