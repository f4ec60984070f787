"""Reading the packed cache: frames stay in their files until they are asked for."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from openlumiere_world.toys.pack import COMMAND, PARTS, SIDE, SUBJECTS, Item
from openlumiere_world.toys.subjects import Subject, told_apart

PICTURES = "pictures.npy"  # squares that a camera can pass over


def opened(file: Path) -> Tensor:
    """An array of the cache. Raises ValueError where it was not packed."""
    if not file.is_file():
        raise ValueError(
            f"cache: expected {file.name} in {file.parent}, got none, do: {COMMAND}, with"
            " --photographs FOLDER for those"
        )
    return torch.from_numpy(np.load(file))


class Cache:
    """All items of a packed cache, in the order of its parts; parts that are not there are passed
    over.

    Raises ValueError where there is none.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        if not (folder / SUBJECTS).is_file():
            raise ValueError(f"cache: expected {SUBJECTS} in {folder}, got none, do: {COMMAND}")
        subjects = json.loads((folder / SUBJECTS).read_text())
        self.subjects = told_apart({key: Subject(**value) for key, value in subjects.items()})
        self.items: list[Item] = []
        self.places: list[str] = []  # part of each item
        for part in PARTS:
            self._open(part)

    def _open(self, part: str) -> None:
        table = self.folder / f"{part}.json"
        if table.is_file():
            items = [
                Item(**(row | {"box": tuple(row["box"])})) for row in json.loads(table.read_text())
            ]
            self.items += items
            self.places += [part] * len(items)

    def frames(
        self, number: int, rows: list[int] | slice = slice(None)
    ) -> UInt8[Tensor, "f 128 128 4"]:
        """Some or all frames of an item, premultiplied."""
        item = self.items[number]
        mapped = self._mapped[self.places[number]]
        return torch.from_numpy(mapped[item.first : item.first + item.count][rows].copy())

    def pictures(self) -> UInt8[Tensor, "p H W 3"]:
        """Squares of photographs. Raises ValueError where the world was built without."""
        return opened(self.folder / PICTURES)

    @cached_property
    def _mapped(self) -> dict[str, np.ndarray]:
        return {part: mapped(self.folder / f"{part}.u8") for part in dict.fromkeys(self.places)}

    @cached_property
    def by_subject(self) -> dict[str, list[int]]:
        """Numbers of the items of each subject."""
        found: dict[str, list[int]] = {}
        for number, item in enumerate(self.items):
            found.setdefault(item.subject, []).append(number)
        return found


def mapped(file: Path) -> np.ndarray:
    """A part's frames [n, 128, 128, 4], mapped, not read."""
    return np.memmap(file, np.uint8, "r").reshape(-1, SIDE, SIDE, 4)
