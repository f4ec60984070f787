"""`lumiere data world build WORLD --scope world-128`: the toy world from one command.

It fetches the packages (`WORLD/packages`), renders the toys (`WORLD/toy-frames`) where models and a
Blender are named, and packs all frames: `WORLD` is then what `cache.py` reads. A package, a view of
a toy and a part of the cache are each complete or absent, so a build that was stopped is resumed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from openlumiere.media.write import write_whole
from openlumiere_world import sources
from openlumiere_world.sources import Source
from openlumiere_world.toys.cache import PICTURES
from openlumiere_world.toys.pack import (
    LOTTIE,
    PARTS,
    STYLES,
    SUBJECTS,
    Contents,
    Style,
    every_drawing,
    keep,
    pack,
    photograph_crops,
    sources_of,
    subjects_in,
)
from openlumiere_world.toys.render import (
    TABLE,
    check_blender,
    open_actions,
    render_toys,
)
from openlumiere_world.toys.subjects import Action, Subject, emoji_subjects, toy_actions

BUILT = "build.json"
PACKAGES = "packages"
TOY_FRAMES = "toy-frames"
TOYS_LEFT_OUT = (
    "the toys are left out: name their models with --toys DIR and a Python that has Blender with"
    " --blender PYTHON; a virtual environment of its own has it after: pip install bpy"
)
TOYS_OF_THE_PROJECT = "The project's toys are by Quaternius, CC0 1.0; others as their maker says."
PHOTOGRAPHS = "Photographs: as their own folder says."


@dataclass(frozen=True, kw_only=True)
class Toys:
    """Animated models (`glb/`) with the table of their actions, and a Python that has Blender."""

    models: Path
    blender: Path

    def check(self) -> None:
        """Raise ValueError where either is not what it should be."""
        open_actions(self.models)
        check_blender(self.blender)


def build(
    folder: Path,
    *,
    packages: Path | None = None,
    extra: Path | None = None,
    toys: Toys | None = None,
    photographs: Path | None = None,
    subjects: Path | None = None,
    styles: tuple[Style, ...] = STYLES,
) -> Path:
    """Build the toy world in `folder`, or resume a build that was stopped.

    `packages` keeps what is fetched, `folder/packages` where it is None. `extra` is a folder with
    the animated Noto emoji, `photographs` one that is searched for pictures, whatever its depth.
    `subjects` is a file of subjects' keys, one a line: they and `styles` alone are packed.

    Raises:
        ValueError: a package could not be fetched, an unknown key, toys that can't be rendered, or
            a folder that was built of other subjects or styles.
    """
    torch.set_num_threads(1)
    if toys is not None:
        toys.check()
    packages = packages or folder / PACKAGES
    for each in (folder, packages):
        each.mkdir(parents=True, exist_ok=True)
    emoji = emoji_subjects(sources.fetch(sources.NAMES, packages) / "package")
    keys = None if subjects is None else wanted_keys(subjects, emoji | toy_subjects(folder, toys))
    check_selection(folder, keys, styles)
    fetch_drawings(packages, extra, styles)
    render_missing(folder, toys, keys, styles)
    contents = Contents(
        packages=packages,
        toy_frames=folder / TOY_FRAMES,
        emoji={key: each for key, each in emoji.items() if keys is None or key in keys},
        actions=rendered_actions(folder, keys),
        styles=styles,
    )
    pack_parts(folder, contents, keys)
    keep(folder / "drawings.npy", lambda: every_drawing(packages, styles))
    if photographs is not None:
        keep(folder / "photographs.npy", lambda: photograph_crops(photographs))
        keep(folder / PICTURES, lambda: photograph_crops(photographs, 12, 256, least=240))
    write_text(folder / "ATTRIBUTION.md", attribution(folder, contents))
    return folder


def wanted_keys(file: Path, known: Iterable[str]) -> set[str]:
    """The keys in a file, one a line; empty lines are passed over. Raises ValueError."""
    keys = set(file.read_text(encoding="utf-8").split())
    unknown = sorted(keys - set(known))
    if unknown or not keys:
        got = unknown[0] if unknown else "none"
        raise ValueError(
            f"subjects: expected keys such as {', '.join(list(known)[:3])}, got {got}, "
            f"correct {file.name}"
        )
    return keys


def toy_subjects(folder: Path, toys: Toys | None) -> dict[str, Subject]:
    """Those of the models that are to be rendered, and of the frames that are there."""
    tables = [folder / TOY_FRAMES / TABLE] + ([toys.models / TABLE] if toys else [])
    actions = [action for table in tables if table.is_file() for action in toy_actions(table)]
    return {action.subject.key: action.subject for action in actions}


def check_selection(folder: Path, keys: set[str] | None, styles: tuple[Style, ...]) -> None:
    """Raise ValueError where the folder was built of other subjects or styles."""
    built = read_built(folder)
    if built and built["selection"] != selection(keys, styles):
        raise ValueError(
            f"world: expected the subjects and styles that {folder} was built of, got others, name"
            " another folder"
        )


def read_built(folder: Path) -> dict:
    """What an earlier build wrote about itself; empty where there was none."""
    file = folder / BUILT
    return json.loads(file.read_text()) if file.is_file() else {}


def selection(keys: set[str] | None, styles: tuple[Style, ...]) -> dict[str, list[str] | None]:
    """Which subjects and styles, for the file about the build; None is all."""
    return {"subjects": None if keys is None else sorted(keys), "styles": sorted(styles)}


def fetch_drawings(packages: Path, extra: Path | None, styles: tuple[Style, ...]) -> None:
    """Fetch and unpack what the styles are drawn in."""
    drawn = drawn_in(styles)
    wanted = [package for source in drawn for package in source.packages]
    for package in tqdm(wanted, desc="packages", unit="package"):
        sources.fetch(package, packages)
    if any(source.form == "lottie" for source in drawn):
        sources.unpack_lottie(extra, packages)


def drawn_in(styles: tuple[Style, ...]) -> list[Source]:
    """The sources of all parts in these styles."""
    return [source for part in PARTS for source in sources_of(part, styles)]


def render_missing(
    folder: Path, toys: Toys | None, keys: set[str] | None, styles: tuple[Style, ...]
) -> None:
    """Render the views that are missing of the chosen toys; say so where none are to be."""
    if "toy" not in styles:
        return
    if toys is None:
        if not (folder / TOY_FRAMES / TABLE).is_file():
            tqdm.write(TOYS_LEFT_OUT)
        return
    found = render_toys(toys.models, folder / TOY_FRAMES, toys.blender, keys=keys)
    for line in found.lines():
        tqdm.write(line)


def rendered_actions(folder: Path, keys: set[str] | None) -> list[Action]:
    """The chosen actions of the toys that were rendered."""
    table = folder / TOY_FRAMES / TABLE
    actions = toy_actions(table) if table.is_file() else []
    return [action for action in actions if keys is None or action.subject.key in keys]


def pack_parts(folder: Path, contents: Contents, keys: set[str] | None) -> None:
    """Pack the parts that are missing or were packed from something else, then who is in them."""
    packed = read_built(folder).get("parts", {})
    for part in contents.parts():
        fingerprint = contents.fingerprint(part)
        if packed.get(part) != fingerprint or not (folder / f"{part}.json").is_file():
            pack(contents, part, folder)
            packed[part] = fingerprint
            about = {"selection": selection(keys, contents.styles), "parts": packed}
            write_text(folder / BUILT, json.dumps(about, indent=1))
    subjects = subjects_in(folder, contents)
    write_text(folder / SUBJECTS, json.dumps({key: asdict(each) for key, each in subjects.items()}))


def attribution(folder: Path, contents: Contents) -> str:
    """The text of ATTRIBUTION.md: who drew what, under which licence, and what was changed."""
    drawn = [
        source
        for source in drawn_in(contents.styles)
        if source.packages or (contents.packages / LOTTIE).is_dir()
    ]
    rows = [
        f"| {source.style}, {source.kind} | {source.attribution} | {source.licence} |"
        for source in drawn
    ]
    return "\n".join(
        [
            "# Where the drawings come from",
            "",
            "Changes: every frame was brought to 128 pixels, animations to 16 frames a second.",
            f"Names: {sources.NAMES.spec} (MIT). Written captions: this project's own.",
            "",
            "| drawings | by | licence |",
            "|---|---|---|",
            *rows,
            "",
            *([TOYS_OF_THE_PROJECT] if contents.views() else []),
            *([PHOTOGRAPHS] if (folder / "photographs.npy").is_file() else []),
            "",
        ]
    )


def write_text(file: Path, text: str) -> None:
    """Complete or absent."""
    write_whole(file, lambda made: made.write_text(text, encoding="utf-8"))
