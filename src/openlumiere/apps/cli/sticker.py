"""`lumiere sticker`: sentences or clips become stickers for one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg

from openlumiere.apps.cli import many_imports
from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.console import Progress, progress
from openlumiere.apps.cli.forms import Model, Strict
from openlumiere.tasks.sticker import CLEAR_GROUND, GROUND, PlaceName, Sticker
from openlumiere.tasks.values import Sampling

if TYPE_CHECKING:
    from openlumiere.media import Clip

TOYS = "toys"  # the bundled model whose clips have alpha
STEPS = 10


@dataclass(frozen=True, kw_only=True)
class Options:
    """Stickers for a messenger, within its limits; drawn by the bundled model `toys` unless --model
    names another.
    """

    prompt: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="[PROMPT ...]", help="What a sticker shows, one sentence each."),
    ] = ()
    place: Annotated[PlaceName, arg(name="for", help="Where the stickers are to be used.")]
    output: Annotated[
        str, arg(aliases=("-o",), metavar="DIR", help="A new or empty folder for the pack.")
    ]
    clip: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="FILE", help="A clip instead of a sentence; may be given again."),
    ] = ()
    seed: Annotated[int, arg(help="Of the first sentence; the others count up.")] = 0
    steps: Annotated[
        int | None, arg(metavar="INT", help=f"Denoising steps ({STEPS}, or 4 with --fast).")
    ] = None
    fast: Annotated[
        bool,
        FlagCreatePairsOff,
        arg(help="By the model's distilled weights, in 4 steps without guidance by default."),
    ] = False
    name: Annotated[str, arg(metavar="TEXT", help="What the pack is called.")] = "Stickers"
    author: Annotated[str, arg(metavar="TEXT", help="Who the pack is by.")] = "openlumiere"
    emoji: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="EMOJI", help="For all stickers, or given again for each."),
    ] = ()
    strict: Strict = False
    allow_partial: Annotated[
        bool, FlagCreatePairsOff, arg(help="Take what there is of a broken file.")
    ] = False
    model: OmitArgPrefixes[Model] = field(default_factory=Model)


def main(words: list[str]) -> int:
    """Read the words, refuse what can't be written, make the clips, write and print the pack."""
    lines = [" ".join((Sticker.__doc__ or "").split()), "", "Examples:"]
    description = "\n".join([*lines, *(f"  {line}" for line in Sticker.examples)])
    options = parse(Options, words, "sticker", description=description)
    asked = Sticker(
        place=options.place,
        prompts=options.prompt,
        clips=options.clip,
        sampling=sampling_of(options),
        name=options.name,
        author=options.author,
        emoji=options.emoji or None,
    )
    with progress("sticker") as bar:
        return write(asked, options, bar)


def sampling_of(options: Options) -> Sampling:
    """How the clips are drawn."""
    steps = options.steps
    if steps is None and not options.fast:
        steps = STEPS
    return Sampling(seed=options.seed, steps=steps, fast=options.fast)


def write(asked: Sticker, options: Options, bar: Progress) -> int:
    """The pack in its folder; the paths of the stickers are printed."""
    with many_imports():
        from openlumiere.apps.cli.review import reviewed
        from openlumiere.media.sticker import place_of
        from openlumiere.media.sticker_pack import About, check_pack, write_stickers

    about = About(name=asked.name, author=asked.author, emoji=asked.emoji)
    count = len(asked.clips) or len(asked.prompts)
    check_pack(count, place_of(asked.place), Path(options.output), about)
    clips = clips_of(asked, options, bar)
    made = [reviewed(clip, strict=options.strict and not asked.clips) for clip in clips]
    bar.say("fitting the limits")
    pack = write_stickers(made, asked.place, options.output, about)
    for path in pack.stickers:
        print(path, flush=True)
    return 0


def clips_of(asked: Sticker, options: Options, bar: Progress) -> list[Clip]:
    """Clips from files, or drawn by the model."""
    if asked.clips:
        from openlumiere.media import Clip

        return [Clip.load(each.path, options.allow_partial) for each in asked.clips]
    with many_imports():
        from openlumiere.apps.cli import loading

    asked_model = options.model
    settings = loading.settings_of(asked_model.certificate, asked_model.key)
    name = asked_model.model or TOYS
    tasks = asked.tasks(CLEAR_GROUND if name == TOYS else GROUND)
    bar.say("loading the model")
    lumiere = loading.load(name, asked_model.device, asked_model.dtype, settings)
    loading.warn(tasks[0], lumiere)
    bar.say("sampling")
    clips = []
    for task in tasks:
        bar.begin_again()
        clips.append(lumiere.run(task, bar.on_step))
    return clips
