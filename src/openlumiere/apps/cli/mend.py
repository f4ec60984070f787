"""`lumiere mend CLIP [--region R] -o OUT`: what is broken in a clip, repaired."""

from __future__ import annotations

from dataclasses import dataclass

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.options import Edited, Keeping, Making, load_for_edit, prepare, write
from openlumiere.apps.cli.progress import progress
from openlumiere.tasks.region import Region


@dataclass(frozen=True, kw_only=True)
class Mend(Making, Keeping, Edited):
    """Repair scratches, specks, lost frames, flicker and logos, found by themselves, or whatever is
    in a region.
    """

    prompt: str = ""
    """What the clip shows."""
    region: str | None = None
    """Where it is broken, instead of looking for it: see lumiere inpaint --help."""


def main(words: list[str]) -> int:
    options = parse(Mend, words, "mend")
    region = None if options.region is None else Region.parse(options.region)
    clip = options.open_clip()
    prepare(options, len(clip.content))
    lumiere = load_for_edit(options, len(clip.content), clip.content.size, clip.content.fps)
    with progress("mend") as on_step:
        made = lumiere.mend(
            clip, region, options.prompt, on_step=on_step, **options.keeping(), **options.sampling()
        )
    return write(made, options)
