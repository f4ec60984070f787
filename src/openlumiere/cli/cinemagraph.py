"""`lumiere cinemagraph IMAGE [PROMPT] --region R -o OUT`: a picture of which a part moves."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional

from openlumiere.cli.arguments import parse
from openlumiere.cli.options import Keeping, Sampling, Styled, load_model, prepare, write
from openlumiere.cli.progress import progress
from openlumiere.conditions import Region
from openlumiere.pipelines.inputs import open_picture
from openlumiere.pipelines.request import DEFAULT_FPS, frame_count


@dataclass(frozen=True, kw_only=True)
class Cinemagraph(Sampling, Keeping, Styled):
    """Only the region moves; outside it every frame is the picture, pixel by pixel."""

    image: Positional[str]
    """The picture."""
    prompt: Positional[str] = ""
    """What happens in the region."""
    region: str
    """Where it moves: a mask picture (white is inside), x0,y0,x1,y1 in fractions of the frame, or corners "x,y x,y x,y"."""
    loop: bool = False
    """The last frame goes over into the first."""
    motion: float = 1.0
    """How fast time runs: 0 is still, up to 4."""
    frames: int | None = None
    """Frames to make (80)."""
    seconds: float | None = None
    """Length instead of frames."""
    fps: str = DEFAULT_FPS
    """Frames a second, whole or a fraction such as 30000/1001."""
    size: int = 0
    """Longer side of the clip in pixels; 0 is the picture's own."""


def main(words: list[str]) -> int:
    options = parse(Cinemagraph, words, "cinemagraph")
    prepare(options, frame_count(options.frames, options.seconds, options.fps))
    region, picture, styles = Region.parse(options.region), open_picture(options.image), options.open_styles()
    lumiere = load_model(options)
    with progress("cinemagraph") as on_step:
        clip = lumiere.cinemagraph(
            picture, region, options.prompt, loop=options.loop, motion=options.motion, frames=options.frames, seconds=options.seconds,
            fps=options.fps, size=options.size, style=styles, style_weight=options.weights(), on_step=on_step,
            **options.keeping(), **options.sampling(),
        )  # fmt: skip
    return write(clip, options)
