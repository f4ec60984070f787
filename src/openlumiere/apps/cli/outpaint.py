"""`lumiere outpaint CLIP [PROMPT] --to WxH -o OUT`: a clip in larger frames."""

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
from openlumiere.tasks.request import parse_size


@dataclass(frozen=True, kw_only=True)
class Outpaint(Making, Keeping, Styled, Edited):
    """Make new what lies around a clip, which stays unscaled in the middle."""

    prompt: Positional[str] = ""
    """What the larger clip shows."""
    to: str
    """Width and height of the larger frames in pixels, as 640x360."""


def main(words: list[str]) -> int:
    options = parse(Outpaint, words, "outpaint")
    size = parse_size(options.to)
    clip = options.open_clip()
    prepare(options, len(clip.content))
    styles = options.open_styles()
    lumiere = load_for_edit(options, len(clip.content), size, clip.content.fps)
    with progress("outpaint") as on_step:
        made = lumiere.outpaint(
            clip,
            size,
            options.prompt,
            style=styles,
            style_weight=options.weights(),
            on_step=on_step,
            **options.keeping(),
            **options.sampling(),
        )
    return write(made, options)
