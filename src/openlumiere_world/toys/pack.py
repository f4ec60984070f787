"""The packed cache of the toy world: every frame as 128 x 128 premultiplied RGBA bytes in one file
that is mapped, not read.

`build.py` fetches and renders what is packed here. The cache holds each part's frames one after
another (`PART.u8`), what they are (`PART.json`), who is in them (`subjects.json`), and for the
codec all drawings of the packed styles (`drawings.npy`) and crops of photographs
(`photographs.npy`), and for clips of moved photographs larger ones (`pictures.npy`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageSequence
from tqdm import tqdm

from openlumiere.media.write import write_whole
from openlumiere_world.sources import BY_KEY, Source
from openlumiere_world.toys.subjects import (
    FAULTY_NOTO,
    Action,
    Subject,
    plain_code,
    written_motions,
)

SIDE = 128
RATE = 16  # frames a second
LIFT = 0.65  # exponent of the colours of toys, which are dark on a small picture (our choice)
LONGEST = 64  # frames of a sticker's loop
RULES = 2  # of packing; raise it when the same originals would give other frames or rows
SUBJECTS = "subjects.json"
COMMAND = "lumiere data world build WORLD --scope world-128"
FACTS = "facts.json"
Style = Literal["toy", "3d", "noto", "flat", "twemoji"]
STYLES: tuple[Style, ...] = get_args(Style)
TOYS = "toys"
SOURCES_OF = {  # keys of the sources of each part
    "stickers-3d": ("fluent-anim",),
    "stickers-noto": ("noto-anim",),
    "stills": ("fluent-3d", "noto", "fluent-flat", "twemoji"),
    TOYS: (),
}
PARTS = tuple(SOURCES_OF)
LOTTIE = "noto-lottie"
STILL_PACKAGES = {
    "noto": "iconify-json-noto",
    "flat": "iconify-json-fluent-emoji-flat",
    "twemoji": "iconify-json-twemoji",
}


@dataclass(frozen=True, kw_only=True)
class Item:
    """Frames `first` to `first + count` of the cache: a loop of `seconds`, or for one frame a
    still.

    `facts` of a toy are those of its rendering (`blender.py`); `box` is left, top, right and bottom
    of what is seen in any frame.
    """

    subject: str
    style: str  # toy, 3d, noto, flat, twemoji
    first: int
    count: int
    seconds: float
    motion: dict[str, str] = field(
        default_factory=dict
    )  # language -> a verb phrase in the third person
    view: str = ""
    facts: dict = field(default_factory=dict)
    box: tuple[int, int, int, int] = (0, 0, SIDE, SIDE)


class Writer:
    """Appends the frames of one part beside the older ones, which stay until it is closed."""

    def __init__(self, folder: Path, part: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.frames, self.table = folder / f"{part}.u8", folder / f"{part}.json"
        self.count = 0
        self.items: list[Item] = []
        self.beside = folder / f".{part}.u8"
        self.file = self.beside.open("wb")

    def add(self, frames: np.ndarray, **about: Any) -> None:
        """`frames` [n, 128, 128, 4], premultiplied bytes. Those in which nothing is seen are left
        out.
        """
        if not frames[..., 3].any():
            return
        self.file.write(np.ascontiguousarray(frames).tobytes())
        self.items.append(Item(first=self.count, count=len(frames), box=seen(frames), **about))
        self.count += len(frames)

    def close(self) -> None:
        """Write the table: the part is complete now. Without a table there is no part, so an older
        one goes before the frames are exchanged.
        """
        self.file.close()
        self.table.unlink(missing_ok=True)
        os.replace(self.beside, self.frames)
        text = json.dumps([asdict(item) for item in self.items])
        write_whole(self.table, lambda made: made.write_text(text))


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is packed: emoji by their code points, actions of toys, in some styles, out of the
    unpacked packages and the rendered frames of toys.
    """

    packages: Path
    toy_frames: Path
    emoji: dict[str, Subject]
    actions: list[Action]
    styles: tuple[Style, ...]

    def parts(self) -> list[str]:
        """Those that some of the styles are in."""
        drawn = [part for part in PARTS if sources_of(part, self.styles)]
        return [*drawn, TOYS] if "toy" in self.styles else drawn

    def views(self) -> list[tuple[Action, Path]]:
        """The rendered views that are complete: action and folder."""
        return [
            (action, facts.parent)
            for action in self.actions
            for facts in sorted((self.toy_frames / action.name).glob(f"*/{FACTS}"))
        ]

    def fingerprint(self, part: str) -> str:
        """Of what a part is packed from: another one is packed anew."""
        originals = [
            package.spec for each in sources_of(part, self.styles) for package in each.packages
        ]
        if part == TOYS:
            originals = [f"{folder.parent.name}/{folder.name}" for _, folder in self.views()]
        if part == "stickers-noto":
            originals = [LOTTIE] if (self.packages / LOTTIE).is_dir() else []
        text = json.dumps([RULES, part, sorted(self.emoji), originals])
        return hashlib.sha256(text.encode()).hexdigest()


def sources_of(part: str, styles: tuple[Style, ...]) -> list[Source]:
    """The sources of drawings of a part in some styles."""
    return [BY_KEY[key] for key in SOURCES_OF[part] if BY_KEY[key].style in styles]


def pack(contents: Contents, part: str, cache: Path) -> None:
    """Write a part."""
    writer = Writer(cache, part)
    FILLERS[part](writer, contents)
    writer.close()


def subjects_in(cache: Path, contents: Contents) -> dict[str, Subject]:
    """Those of which the parts hold anything."""
    tables = [json.loads((cache / f"{part}.json").read_text()) for part in contents.parts()]
    packed = {row["subject"] for table in tables for row in table}
    toys = {action.subject.key: action.subject for action in contents.actions}
    return {key: each for key, each in (contents.emoji | toys).items() if key in packed}


def keep(file: Path, make: Callable[[], Iterator[np.ndarray]]) -> None:
    """Save an array of all that is made, unless it is there."""
    if not file.is_file():
        made = np.stack(list(tqdm(make(), desc=file.stem, unit="picture")))
        write_whole(file, lambda path: np.save(path, made))


def package(packages: Path, name: str) -> Path:
    """The unpacked package whose folder begins with that name. Raises ValueError."""
    found = sorted(packages.glob(f"{name}*/package"))
    if not found:
        raise ValueError(
            f"packages: expected the package {name} unpacked in {packages}, got none, delete"
            " what is left of it and build again"
        )
    return found[0]


def add_toys(writer: Writer, contents: Contents) -> None:
    """All views that are whole."""
    for action, folder in tqdm(contents.views(), desc="toys", unit="view"):
        facts = json.loads((folder / FACTS).read_text())
        pictures = sorted(folder.glob("*.png"))
        frames = [fitted(Image.open(picture), LIFT) for picture in pictures]
        writer.add(
            np.stack(frames),
            subject=action.subject.key,
            style="toy",
            seconds=facts["seconds"],
            motion=action.verbs,
            view=facts["view"],
            facts=facts,
        )


def add_fluent(writer: Writer, contents: Contents) -> None:
    """Animated stickers in 3D style that have a written motion."""
    motions = written_motions("fluent")
    files = {
        plain_code(file.stem): file
        for file in sorted(
            contents.packages.glob("lobehub-fluent-emoji-anim-*/package/assets/*.webp")
        )
    }
    chosen = [code for code in contents.emoji if code in files and code in motions]
    for code in tqdm(chosen, desc="animated 3D stickers", unit="sticker"):
        with Image.open(files[code]) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                frames, seconds = animation(picture)
                writer.add(frames, subject=code, style="3d", seconds=seconds, motion=motions[code])


def animation(picture: Image.Image) -> tuple[np.ndarray, float]:
    """Frames at 16 a second, and how long all of them take."""
    shown, lasts = [], []
    for frame in ImageSequence.Iterator(picture):
        shown.append(frame.convert("RGBA").copy())
        lasts.append(frame.info.get("duration", 42) / 1000)
    ends = np.cumsum(lasts)
    picked = resampled(float(ends[-1]))
    rows = [
        min(int(np.searchsorted(ends, moment, side="right")), len(shown) - 1) for moment in picked
    ]
    return np.stack([fitted(shown[row]) for row in rows]), len(picked) / RATE


def resampled(seconds: float) -> np.ndarray:
    """Moments of the world's rate within a loop of so many seconds."""
    return np.arange(min(max(round(seconds * RATE), 2), LONGEST)) / RATE


def add_noto(writer: Writer, contents: Contents) -> None:
    """Animated stickers in Noto style that have a written motion."""
    from rlottie_python import LottieAnimation

    motions = written_motions("noto")
    files = {
        plain_code(file.stem): file
        for file in sorted((contents.packages / LOTTIE).rglob("*.json"))
        if file.is_file()
    }
    known = motions.keys() & files.keys() - FAULTY_NOTO
    chosen = [code for code in contents.emoji if code in known]
    for code in tqdm(chosen, desc="animated Noto stickers", unit="sticker"):
        drawn = LottieAnimation.from_file(str(files[code]))
        rate = drawn.lottie_animation_get_framerate()
        total = drawn.lottie_animation_get_totalframe()
        moments = resampled(total / rate)
        rows = [min(round(moment * rate), total - 1) for moment in moments]
        pictures = (drawn.render_pillow_frame(row, width=2 * SIDE, height=2 * SIDE) for row in rows)
        frames = np.stack([fitted(picture) for picture in pictures])
        seconds = len(rows) / RATE
        writer.add(frames, subject=code, style="noto", seconds=seconds, motion=motions[code])


def add_stills(writer: Writer, contents: Contents) -> None:
    """Each subject once in each of the styles that has it."""
    names = {key: subject.names["en"] for key, subject in contents.emoji.items()}
    drawn = stills(contents.packages, names, contents.styles)
    for style, code, picture in tqdm(drawn, desc="stills", unit="drawing"):
        writer.add(fitted(picture)[None], subject=code, style=style, seconds=0.0)


FILLERS: dict[str, Callable[[Writer, Contents], None]] = {
    "stickers-3d": add_fluent,
    "stickers-noto": add_noto,
    "stills": add_stills,
    TOYS: add_toys,
}


def stills(
    packages: Path, names: dict[str, str], styles: tuple[Style, ...]
) -> Iterator[tuple[str, str, Image.Image]]:
    """Style, code point and picture of those that are named, in the styles' order."""
    if "3d" in styles:
        yield from stills_3d(package(packages, "lobehub-fluent-emoji-3d"), names)
    codes = {squashed(name): code for code, name in names.items()}
    for style, name in STILL_PACKAGES.items():
        if style in styles:
            folder = package(packages, name)
            for icon, picture in icons(folder, lambda icon: squashed(icon) in codes):
                yield style, codes[squashed(icon)], picture


def stills_3d(folder: Path, names: dict[str, str]) -> Iterator[tuple[str, str, Image.Image]]:
    """The same of the package of 3D drawings, whose files are named by code points."""
    for file in sorted(folder.glob("assets/*.webp")):
        if plain_code(file.stem) in names:
            with Image.open(file) as opened:
                yield "3d", plain_code(file.stem), opened.convert("RGBA")


def squashed(name: str) -> str:
    """Names compare by their letters and digits."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def icons(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, Image.Image]]:
    """Name and picture of the icons of an unpacked Iconify package, twice a frame's side."""
    import resvg_py

    listed = json.loads((folder / "icons.json").read_text())
    for name, icon in listed["icons"].items():
        if wanted(name):
            wide, tall = (icon.get(side, listed.get(side, 16)) for side in ("width", "height"))
            svg = (
                '<svg xmlns="http://www.w3.org/2000/svg" '
                'xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'viewBox="0 0 {wide} {tall}" width="{2 * SIDE}" '
                f'height="{2 * SIDE}">{icon["body"]}</svg>'
            )
            yield name, Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg))))


def every_drawing(packages: Path, styles: tuple[Style, ...]) -> Iterator[np.ndarray]:
    """All emoji that have a name, in these of the four styles of stills, for the codec."""
    entries = json.loads((package(packages, "emojibase-data") / "en/data.json").read_text())
    names = {
        plain_code(entry["hexcode"]): entry["label"]
        for entry in entries
        if entry.get("group") not in (None, 2)
    }
    for _, _, picture in stills(packages, names, styles):
        yield fitted(picture)


def photograph_crops(
    folder: Path, each: int = 10, side: int = 144, least: int = 100
) -> Iterator[np.ndarray]:
    """Squares `side` pixels wide of the pictures in a folder, of several sizes from `least` pixels
    of 900 on, by a seed.
    """
    random = np.random.default_rng(0)
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in (".jpg", ".png", ".webp") and file.stat().st_size > 100_000
    ]
    for file in files:
        with Image.open(file) as opened:
            opened.draft("RGB", (1600, 1000))
            picture = opened.convert("RGB")
        picture.thumbnail((900, 900), Image.Resampling.BICUBIC)
        for _ in range(each):
            size = max(int(min(picture.size) * random.choice([1, 0.75, 0.5, 0.35, 0.25])), least)
            left, top = (
                int(random.integers(0, whole - min(size, whole) + 1)) for whole in picture.size
            )
            crop = picture.crop((left, top, left + size, top + size))
            yield np.asarray(crop.resize((side, side), Image.Resampling.BICUBIC))


def fitted(picture: Image.Image, lift: float = 1.0) -> np.ndarray:
    """[128, 128, 4] premultiplied bytes, brought down by antialiased bicubic; an exponent below 1
    makes colours lighter.
    """
    levels = np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255
    levels[..., :3] = levels[..., :3] ** lift
    levels[..., :3] *= levels[..., 3:]
    if levels.shape[:2] != (SIDE, SIDE):
        levels = brought_down(levels)
    return (levels * 255 + 0.5).astype(np.uint8)


def brought_down(levels: np.ndarray) -> np.ndarray:
    """Levels [h, w, 4] at a frame's side, by antialiased bicubic."""
    planes = torch.from_numpy(levels).permute(2, 0, 1)[None]
    small = F.interpolate(planes, size=(SIDE, SIDE), mode="bicubic", antialias=True)[0].clamp(0, 1)
    small[:3] = torch.minimum(small[:3], small[3:])
    return small.permute(1, 2, 0).numpy()


def seen(frames: np.ndarray, least: int = 16) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is at least that opaque in any frame."""
    opaque = np.any(frames[..., 3] >= least, axis=0)
    columns = np.flatnonzero(np.any(opaque, axis=0))
    rows = np.flatnonzero(np.any(opaque, axis=1))
    if not len(columns):
        return 0, 0, SIDE, SIDE
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
