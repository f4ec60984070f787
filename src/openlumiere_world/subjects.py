"""A built world on disk: its items (one drawing of one subject in one style) and their sprites."""

import io
import lzma
import tarfile
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, features

from openlumiere.data import index, shards
from openlumiere.data.shards import Member

SIDES = (64, 256)  # pixels of a stored sprite's side
GRID = 64  # boxes are stored as four bytes on a grid of this many cells a side
COLUMNS = 8  # an animation is stored as a sheet of frames, this many in a row
FPS = 16
PACK_ROWS = "index.jsonl.xz"
PACK_SPRITES = "sprites.bin"

_TEXT = (
    "id",
    "subject",
    "base",
    "source",
    "style",
    "kind",
    "group",
    "appearance_en",
    "motion_en",
    "motion_it",
    "licence",
    "attribution",
    "package",
    "member",
    "boxes",
)
SCHEMA = {column: str for column in _TEXT} | {
    "frames": int,
    "fps": int,
    "names": dict,
    "tags": list,
    "media": list,
}


@dataclass(frozen=True, kw_only=True)
class Media:
    """Where an item's sprite sheet of one size lies."""

    side: int
    place: Member


@dataclass(frozen=True, kw_only=True)
class Item:
    """One drawing of one subject in one style, still or animated (a loop at `fps`)."""

    id: str  # source/subject
    subject: str  # code points
    base: str  # the same without skin tone
    source: str
    style: str
    kind: str  # "still" or "animated"
    group: str
    names: dict[str, str]  # language -> name
    tags: tuple[str, ...]
    appearance_en: str
    motion_en: str
    motion_it: str
    licence: str
    attribution: str
    package: str  # what it was rendered from: package@version
    member: str  # and which file or icon in it
    frames: int
    fps: int
    boxes: str  # hexadecimal: x0, y0, x1, y1 on the grid, a byte each, frame after frame
    media: tuple[Media, ...]

    @property
    def toned(self) -> bool:
        """Whether it has a skin tone."""
        return self.subject != self.base

    def frame_boxes(self) -> Float[np.ndarray, "f 4"]:
        """The visible box of each frame: x0, y0, x1, y1 in fractions of the sprite's side."""
        return _unpacked_boxes(self.boxes)

    def content(self) -> Float[np.ndarray, " 4"]:
        """The box that holds every frame's box."""
        return _content(self.boxes)


@lru_cache(maxsize=4096)
def _unpacked_boxes(boxes: str) -> Float[np.ndarray, "f 4"]:
    return np.frombuffer(bytes.fromhex(boxes), np.uint8).reshape(-1, 4) / GRID


@lru_cache(maxsize=4096)
def _content(boxes: str) -> Float[np.ndarray, " 4"]:
    each = _unpacked_boxes(boxes)
    return np.concatenate([each[:, :2].min(0), each[:, 2:].max(0)])


def to_row(item: Item) -> index.Row:
    """The row of the index that describes an item."""
    media = [asdict(entry.place) | {"side": entry.side} for entry in item.media]
    names = {language: name for language, name in item.names.items()}
    return vars(item) | {"tags": list(item.tags), "names": names, "media": media}


def from_row(row: dict[str, Any], where: str = "index") -> Item:
    """The item a row describes. Raises ValueError where a value cannot be true."""
    try:
        _require_texts([*row["tags"], *row["names"].values()])
        media = tuple(_media(entry) for entry in row["media"])
        item = Item(
            **{column: row[column] for column in SCHEMA}
            | {"tags": tuple(row["tags"]), "media": media}
        )
        boxes = item.frame_boxes()
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"expected a sound row in {where}, got {error}: build the world again"
        ) from None
    _check(item, boxes, where)
    return item


class World:
    """A built world: a folder with `index.parquet` and `shards/`, or a pack (one tar file)."""

    def __init__(self, items: list[Item], folder: Path):
        self.items = items
        self.folder = folder
        self.by_id = {item.id: item for item in items}
        self.casts: dict = {}  # split -> who may be drawn, made on first use
        self.sprite = lru_cache(maxsize=512)(self._sprite)

    @classmethod
    def open(cls, path: str | Path) -> "World":
        """Open a world. Raises ValueError when it is not one, or one of its rows is wrong."""
        path = Path(path)
        if path.is_dir():
            rows, folder = index.read(path / "index.parquet", SCHEMA), path / "shards"
        else:
            rows, folder = index.read_lines(_pack_rows(path), SCHEMA, path.name), path.parent
        items = [from_row(row, f"{path.name} row {n}") for n, row in enumerate(rows)]
        return cls(
            items if path.is_dir() else [_in_pack(item, path.name) for item in items], folder
        )

    def _sprite(self, id: str, side: int) -> UInt8[np.ndarray, "f s s 4"]:
        """The frames of an item, RGBA with colours multiplied by alpha (read-only: it is shared).

        `side` 32 is the 64 px sprite halved. Raises ValueError when that size is not in this world
        or its bytes are damaged.
        """
        stored = max(side, min(SIDES))
        frames = self._stored(self.by_id[id], stored)
        if side < stored:
            frames = _reduced(frames, stored // side)
        frames.setflags(write=False)
        return frames

    def _stored(self, item: Item, side: int) -> UInt8[np.ndarray, "f s s 4"]:
        sheet = shards.read(self.folder, self._place(item, side))
        return decode_sheet(sheet, item.frames, side, item.id)

    def _place(self, item: Item, side: int) -> Member:
        for entry in item.media:
            if entry.side == side:
                return entry.place
        held = [entry.side for entry in item.media]
        raise ValueError(
            f"expected {item.id} at {side} px, got only {held}: open a world that holds that size"
        )


def encode_sheet(frames: list[Image.Image]) -> Image.Image:
    """Frames (RGBA, square, one size) side by side, COLUMNS in a row."""
    side, rows = frames[0].width, -(-len(frames) // COLUMNS)
    sheet = Image.new("RGBA", (side * min(len(frames), COLUMNS), side * rows))
    for number, frame in enumerate(frames):
        sheet.paste(frame, (number % COLUMNS * side, number // COLUMNS * side))
    return sheet


def decode_sheet(data: bytes, count: int, side: int, name: str) -> UInt8[np.ndarray, "f s s 4"]:
    """The frames of a sheet, or of an animated image, premultiplied. Raises ValueError unless
    `count` frames of that side.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if getattr(image, "n_frames", 1) == count > 1:
            return _animation(image, count, side, name)
        pixels = np.asarray(image.convert("RGBa"))
    except (OSError, SyntaxError, EOFError) as error:
        remedy = (
            "build the world again"
            if data[4:8] != b"ftyp" or features.check("avif")
            else "install Pillow 11.3 or newer, which reads AVIF"
        )
        raise ValueError(f"expected a picture for {name}, got '{error}': {remedy}") from None
    rows = -(-count // COLUMNS)
    _require_shape(pixels.shape[:2], (rows * side, min(count, COLUMNS) * side), name)
    cells = pixels.reshape(rows, side, -1, side, 4).swapaxes(1, 2).reshape(-1, side, side, 4)
    return cells[:count].copy()


def _animation(
    image: Image.Image, count: int, side: int, name: str
) -> UInt8[np.ndarray, "f s s 4"]:
    _require_shape(image.size[::-1], (side, side), name)
    frames = np.empty((count, side, side, 4), np.uint8)
    for number in range(count):
        image.seek(number)
        frames[number] = np.asarray(image.convert("RGBA").convert("RGBa"))
    return frames


def _require_shape(got: tuple[int, int], expected: tuple[int, int], name: str) -> None:
    if got != expected:
        raise ValueError(
            f"expected a picture of {expected} px for {name}, got {got}: build the world again"
        )


def _reduced(frames: UInt8[np.ndarray, "f s s 4"], factor: int) -> UInt8[np.ndarray, "f t t 4"]:
    f, s = frames.shape[:2]
    cells = frames.reshape(f, s // factor, factor, s // factor, factor, 4)
    return np.rint(cells.mean((2, 4))).astype(np.uint8)


def _media(entry: dict) -> Media:
    kinds = {"shard": str, "offset": int, "length": int, "crc32": int, "side": int}
    index.validate(entry, kinds, "a media entry")
    return Media(
        side=entry["side"], place=Member(**{key: entry[key] for key in kinds if key != "side"})
    )


def _require_texts(values: list) -> None:
    wrong = [value for value in values if not isinstance(value, str)]
    if wrong:
        raise TypeError(f"{wrong[0]!r} among names and tags")


def _check(item: Item, boxes: np.ndarray, where: str) -> None:
    problems = {
        "a kind 'still' or 'animated'": item.kind in ("still", "animated"),
        "one frame or more": item.frames >= 1,
        "a box a frame": len(boxes) == item.frames,
        "boxes inside the sprite": bool(
            (boxes[:, :2] < boxes[:, 2:]).all() and boxes.max(initial=0) <= 1
        ),
        "a media entry": len(item.media) > 0,
        "a shard inside the folder": all(
            Path(m.place.shard).name == m.place.shard for m in item.media
        ),
        "places that are not negative": all(
            m.place.offset >= 0 and m.place.length > 0 for m in item.media
        ),
        "a name in English": bool(item.names.get("en")),
    }
    for expected, holds in problems.items():
        if not holds:
            raise ValueError(
                f"expected {expected} in {where} ({item.id}), got something else: build the world"
                " again"
            )


def _in_pack(item: Item, name: str) -> Item:
    """The same item, its sprites in the pack file whatever that is called now."""
    media = tuple(replace(entry, place=replace(entry.place, shard=name)) for entry in item.media)
    return replace(item, media=media)


def _pack_rows(path: Path) -> str:
    try:
        with tarfile.open(path, "r:") as tar:
            rows = tar.extractfile(PACK_ROWS)
            if rows is None:
                raise KeyError(f"{PACK_ROWS} is no file")
            return lzma.decompress(rows.read()).decode()
    except (tarfile.TarError, lzma.LZMAError, OSError, KeyError, EOFError) as error:
        raise ValueError(
            f"expected a world folder or pack at {path}, got '{error}': build or pack one"
        ) from None
