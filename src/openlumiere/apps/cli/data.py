"""`lumiere data world build|pack`, `lumiere data inspect|ingest|latents|look`: what models learn
from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args

from tyro.conf import OmitArgPrefixes, Positional, arg

from openlumiere.apps.cli import ingest as footage
from openlumiere.apps.cli.arguments import parse
from openlumiere.tasks.base import nearest

ACTIONS = (
    "world build",
    "world pack",
    "world render-toys",
    "world words",
    "inspect",
    "ingest",
    "latents",
    "look",
)
Style = Literal["toy", "3d", "noto", "flat", "twemoji"]
STYLES: tuple[Style, ...] = get_args(Style)
USAGE = """usage: lumiere data VERB ... (lumiere data VERB --help tells more)

  world build DIR       fetch the drawings, render them, write shards and index, or a cache of toys
  world pack DIR -o TAR one small file for a machine far away
  world render-toys DIR -o DIR
                        render animated 3D toys by Blender
  world words -o MODEL  what a model that learns the world knows, into its folder
  inspect DIR [-o DIR]  count, check and show what is in a world
  ingest FOLDER -o SHARDS
                        cut your own videos into clips to train on
  latents SHARDS --model DIR
                        a model's latents and text states of those clips
  look SHARDS [-o PAGE] a page of those clips, and why others were dropped"""


@dataclass(frozen=True, kw_only=True)
class ToyWorld:
    """What only --scope world-128 takes."""

    toys: Path | None = None
    """A folder with animated models in glb/ and their table actions.csv, rendered before they are
    packed; without it the toys are left out, or packed from WORLD/toy-frames.
    """
    blender: Path | None = None
    """A Python that has the package bpy, which renders them."""
    photographs: Path | None = None
    """A folder of pictures for training the codec, whatever its depth."""
    subjects: Path | None = None
    """A file with the keys of the subjects to pack, one a line, such as fox or 1f680; left out, all
    are.
    """
    styles: tuple[Style, ...] = STYLES
    """What of them to pack."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """Build the sticker world or the toy world in a folder; a build that was stopped is resumed."""

    folder: Positional[Path]
    """Where the world lies (about 3 GB with the packages it comes from)."""
    extra: Path | None = None
    """A folder with noto-lottie.tar.xz; without it the animated Noto emoji are left out."""
    packages: Path | None = None
    """Where fetched packages are kept, for several worlds; left out, in the world's own folder."""
    workers: int = 2
    """Processes that render (not of world-128)."""
    skip_tones: bool = False
    """Leave out the skin tones of animations (half of the work); building again without this adds
    them (not of world-128).
    """
    scope: Literal["world-32", "world-64", "world-128"] = "world-64"
    """world-64 is all of the sticker world; world-32 what the 32 px model learns from: 24 drawings,
    built in half a minute; world-128 the toy world, that of the model of toys.
    """
    toy_world: Annotated[ToyWorld, arg(name="")] = field(default_factory=ToyWorld)


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Write a pack: one tar file that training opens like a world, with Pillow alone."""

    world: Positional[Path]
    """A built world."""
    output: Annotated[Path, arg(aliases=("-o",))]
    """Where to write the pack."""
    size: int = 64
    """Side of its sprites: 64 or 256."""
    mib: float = 20
    """The most it may weigh."""
    scope: str = "world-64"
    """What to pack of it: world-64 (as much as fits) or world-32."""


@dataclass(frozen=True, kw_only=True)
class WorldWords:
    """Write knows.json into a model's folder: the words of all that a part of the world draws, so
    that commands can say which words of a prompt the model was not trained on.
    """

    output: Annotated[Path, arg(aliases=("-o",), metavar="MODEL")]
    """The folder of a model."""
    scope: str = "world-32"
    """What it was trained on: world-32 or world-64."""


@dataclass(frozen=True, kw_only=True)
class RenderToys:
    """Render the actions of animated 3D toys; what is there is kept, what is missing is added."""

    folder: Positional[Path]
    """A folder with actions.csv and the models it names in glb/."""
    output: Annotated[Path, arg(aliases=("-o",))]
    """Where to write ACTION/VIEW/000.png and facts.json."""
    blender: Path
    """A Python that has the package bpy: Blender, in a virtual environment of its own."""
    views: tuple[Literal["side", "quarter", "front"], ...] = ("side", "quarter", "front")
    """From where."""


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Count what a world holds, draw clips, check them against their captions."""

    world: Positional[Path]
    """A built world, or a pack."""
    output: Annotated[Path | None, arg(aliases=("-o",))] = None
    """A folder for contact sheets with captions."""
    clips: int = 200
    """Clips to draw and check."""
    split: str = "train"
    """train, validation, composition or style."""
    seed: int = 0
    """The first clip's; the others count up."""
    scope: str = "world-64"
    """What to draw from: world-64 (everything) or world-32."""


def main(argv: list[str]) -> int:
    """Run one of the verbs: 0 done, 1 an inspection that found something wrong. ValueError is the
    user's mistake.
    """
    match argv:
        case ["world", "build", *words]:
            return build(parse(OmitArgPrefixes[Build], words, "data world build"))
        case ["world", "pack", *words]:
            return pack(parse(Pack, words, "data world pack"))
        case ["world", "render-toys", *words]:
            return render_toys(parse(RenderToys, words, "data world render-toys"))
        case ["world", "words", *words]:
            return world_words(parse(WorldWords, words, "data world words"))
        case ["inspect", *words]:
            return inspect(parse(Inspect, words, "data inspect"))
        case ["ingest", *words]:
            return footage.ingest(parse(footage.Ingest, words, "data ingest"))
        case ["latents", *words]:
            return footage.latents(parse(footage.Latents, words, "data latents"))
        case ["look", *words]:
            return footage.look(parse(footage.Look, words, "data look"))
        case [] | ["-h" | "--help", *_] | ["world", "-h" | "--help", *_]:
            print(USAGE)
            return 0 if argv else 2
    got = " ".join(argv[: 2 if argv[0] == "world" else 1])
    raise ValueError(
        f"data: expected one of {', '.join(ACTIONS)}, got {got[:100]!r}, "
        f"{nearest(got, ACTIONS, 'see lumiere data --help')}"
    )


def build(options: Build) -> int:
    """Fetch, render and write a world."""
    check_build(options)
    built = build_toys(options) if options.scope == "world-128" else build_stickers(options)
    print(built)
    return 0


def check_build(options: Build) -> None:
    """Raise ValueError for what can't be built."""
    if options.workers < 1:
        raise ValueError(f"workers: expected 1 or more, got {options.workers}, leave it out for 2")
    if options.extra and not options.extra.is_dir():
        raise ValueError(
            f"extra: expected a folder, got {options.extra}, name the folder that holds"
            " noto-lottie.tar.xz"
        )
    toys = options.toy_world
    if options.scope != "world-128" and toys != ToyWorld():
        raise ValueError(
            f"scope: expected world-128 with toys, photographs, subjects or styles, got"
            f" {options.scope}, add --scope world-128"
        )
    if (toys.toys is None) != (toys.blender is None):
        missing = "--toys DIR" if toys.toys is None else "--blender PYTHON (pip install bpy)"
        raise ValueError(f"toys: expected models and a Blender, got one of them, add {missing}")
    if toys.subjects is not None and not toys.subjects.is_file():
        raise ValueError(
            f"subjects: expected a file of keys, got {toys.subjects}, write one key a line"
        )
    if toys.photographs is not None and not toys.photographs.is_dir():
        raise ValueError(
            f"photographs: expected a folder, got {toys.photographs}, name one that holds pictures"
        )


def build_stickers(options: Build) -> Path:
    """The sticker world, or a part of it; answers its index."""
    from openlumiere_world.build import build

    scope = scope_named(options.scope)
    return build(
        options.folder,
        options.extra,
        options.workers,
        options.skip_tones,
        scope,
        options.packages,
    )


def build_toys(options: Build) -> Path:
    """The toy world; answers its folder."""
    from openlumiere_world.toys.build import Toys, build

    given = options.toy_world
    toys = None
    if given.toys is not None and given.blender is not None:
        toys = Toys(models=given.toys, blender=given.blender)
    return build(
        options.folder,
        packages=options.packages,
        extra=options.extra,
        toys=toys,
        photographs=given.photographs,
        subjects=given.subjects,
        styles=given.styles,
    )


def pack(options: Pack) -> int:
    """Write a pack, and say what is in it."""
    from openlumiere_world.pack import pack
    from openlumiere_world.subjects import World

    packed = pack(
        World.open(options.world),
        options.output,
        options.size,
        int(options.mib * 2**20),
        scope_named(options.scope),
    )
    print("\n".join(packed.lines()))
    print(packed.path)
    return 0


def world_words(options: WorldWords) -> int:
    """Write what a model knows, and the sha256 of its files again."""
    from openlumiere.models.folder import INDEX, write_checksums
    from openlumiere.models.knows import KNOWS, as_lines
    from openlumiere_world.vocabulary import known_words

    if not (options.output / INDEX).is_file():
        raise ValueError(
            f"output: expected the folder of a model, got {options.output}, name one that training"
            " exported"
        )
    known = known_words(scope_named(options.scope))
    path = options.output / KNOWS
    path.write_text(as_lines(known.model_dump()), encoding="utf-8")
    write_checksums(options.output)
    print(path)
    return 0


def render_toys(options: RenderToys) -> int:
    """Render, and say what could not be."""
    from openlumiere_world.toys.render import render_toys

    found = render_toys(options.folder, options.output, options.blender, options.views)
    print("\n".join(found.lines()))
    print(options.output)
    return 1 if found.missing else 0


def inspect(options: Inspect) -> int:
    """Count, check and show what is in a world."""
    from openlumiere_world.inspect import inspect
    from openlumiere_world.subjects import World

    report = inspect(
        World.open(options.world),
        options.output,
        options.clips,
        options.split,
        options.seed,
        scope_named(options.scope),
    )
    print("\n".join(report.lines()))
    if options.output:
        print(options.output)
    return 1 if report.problems else 0


def scope_named(name: str):
    """The part of the world that a person names."""
    from openlumiere_world.scope import SCOPES

    if name not in SCOPES:
        raise ValueError(
            f"scope: expected {' or '.join(SCOPES)}, got {name!r}, choose one of these"
        )
    return SCOPES[name]
