"""`lumiere mend CLIP [--region R] -o OUT`: what is broken in a clip, repaired."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional

from openlumiere.cli.arguments import parse
from openlumiere.cli.options import Keeping, Sampling, load_model, prepare, write
from openlumiere.cli.progress import progress
from openlumiere.conditions import Region
from openlumiere.pipelines.inputs import open_clip


@dataclass(frozen=True, kw_only=True)
class Mend(Sampling, Keeping):
    """Repair scratches, specks, lost frames, flicker and logos, found by themselves, or whatever is in a region."""

    clip: Positional[str]
    """A video, an animated picture, or a folder of pictures."""
    prompt: str = ""
    """What the clip shows."""
    region: str | None = None
    """Where it is broken, instead of looking for it: see lumiere inpaint --help."""
    allow_partial: bool = False
    """Take what there is of a broken file."""


def main(words: list[str]) -> int:
    options = parse(Mend, words, "mend")
    region = None if options.region is None else Region.parse(options.region)
    clip = open_clip(options.clip, options.allow_partial)
    prepare(options, len(clip.content))
    lumiere = load_model(options)
    with progress("mend") as on_step:
        made = lumiere.mend(clip, region, options.prompt, on_step=on_step, **options.keeping(), **options.sampling())
    return write(made, options)
