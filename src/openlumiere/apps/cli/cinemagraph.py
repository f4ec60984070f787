"""`lumiere cinemagraph IMAGE [PROMPT] --region R -o OUT`: a picture of which a part moves."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.options import (
    Keeping,
    Lasting,
    Making,
    Styled,
    load_for_edit,
    prepare,
    write,
)
from openlumiere.apps.cli.progress import progress
from openlumiere.engine.inputs import open_picture
from openlumiere.engine.plan import scaled
from openlumiere.tasks.region import Region
from openlumiere.tasks.request import exact_rate


@dataclass(frozen=True, kw_only=True)
class Cinemagraph(Making, Lasting, Keeping, Styled):
    """Only the region moves; outside it every frame is the picture, pixel by pixel."""

    image: Positional[str]
    """The picture."""
    prompt: Positional[str] = ""
    """What happens in the region."""
    region: str
    """Where it moves: a mask picture (white is inside), x0,y0,x1,y1 in fractions of the frame, or
    corners "x,y x,y x,y".
    """
    loop: bool = False
    """The last frame goes over into the first."""
    motion: float = 1.0
    """How fast time runs: 0 is still, up to 4."""
    size: int = 0
    """Longer side of the clip in pixels; 0 is the picture's own."""


def main(words: list[str]) -> int:
    options = parse(Cinemagraph, words, "cinemagraph")
    prepare(options, options.frame_count())
    region, picture, styles = (
        Region.parse(options.region),
        open_picture(options.image),
        options.open_styles(),
    )
    lumiere = load_for_edit(
        options,
        options.frame_count(),
        scaled(picture.content.size, options.size),
        exact_rate(options.fps),
    )
    with progress("cinemagraph") as on_step:
        clip = lumiere.cinemagraph(
            picture,
            region,
            options.prompt,
            loop=options.loop,
            motion=options.motion,
            size=options.size,
            style=styles,
            style_weight=options.weights(),
            on_step=on_step,
            **options.lasting(),
            **options.keeping(),
            **options.sampling(),
        )
    return write(clip, options)
