"""`lumiere evaluate defects CLIP`: flicker, frozen frames, jumps, seams, colour drift and broken
loops, with time and place.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.media import Clip, check_output, save_image
from openlumiere.quality.defects import find_defects, picture


@dataclass(frozen=True, kw_only=True)
class Defects:
    """Look for flaws in one clip. Exit code 0: none found; 1: some."""

    clip: Positional[Path]
    """A video, an animated picture, or a folder of pictures."""
    loop: bool = False
    """The clip is meant to loop."""
    json: bool = False
    """Print the flaws as JSON."""
    sheet: Annotated[Path | None, arg(aliases=("-o",))] = None
    """Where to write a picture of the flaws: .png."""


def main(words: list[str]) -> int:
    """Look and report; answers the exit code. ValueError is the user's mistake."""
    options = parse(Defects, words, "evaluate defects")
    if options.sheet is not None:
        check_output(options.sheet, lossless=True)
    clip = Clip.load(options.clip).over("white")
    found = find_defects(clip.frames, options.loop)
    if options.json:
        print(json.dumps([asdict(defect) for defect in found], indent=1))
    else:
        print("\n".join(defect.at(clip.fps) for defect in found) or "no flaw found")
    if found and options.sheet is not None:
        save_image(picture(clip, found), options.sheet)
        print(options.sheet)
    return 1 if found else 0
