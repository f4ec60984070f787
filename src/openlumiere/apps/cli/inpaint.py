"""`lumiere inpaint CLIP [PROMPT] --region R -o OUT`: something new in a part of a clip."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.options import (
    Edited,
    Keeping,
    Making,
    Styled,
    load_for_edit,
    prepare,
    write,
)
from openlumiere.apps.cli.progress import progress
from openlumiere.tasks.region import Region


@dataclass(frozen=True, kw_only=True)
class Inpaint(Making, Keeping, Styled, Edited):
    """Fill a region of a clip from a sentence; all else stays."""

    prompt: Positional[str] = ""
    """What the clip shows when it is done."""
    region: str
    """Where to make something new: a mask (picture or clip, white is inside), x0,y0,x1,y1 in
    fractions of the frame, corners "x,y x,y x,y", or either at frames "0: ...; 40: ...".
    """


def main(words: list[str]) -> int:
    options = parse(Inpaint, words, "inpaint")
    region = Region.parse(options.region)
    clip = options.open_clip()
    prepare(options, len(clip.content))
    styles = options.open_styles()
    lumiere = load_for_edit(options, len(clip.content), clip.content.size, clip.content.fps)
    with progress("inpaint") as on_step:
        made = lumiere.inpaint(
            clip,
            region,
            options.prompt,
            style=styles,
            style_weight=options.weights(),
            on_step=on_step,
            **options.keeping(),
            **options.sampling(),
        )
    return write(made, options)
