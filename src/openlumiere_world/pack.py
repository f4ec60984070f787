"""`lumiere data world pack`: one small file with what a remote training machine needs; it opens
with Pillow alone.

A pack is a tar file of the sprites end to end, their index as compressed JSON lines, and
ATTRIBUTION.md. Animations are AVIF at 12 frames a second (a fifth of the bytes of WebP), stills
WebP. `World.open` reads a pack as it reads a folder.
"""

import hashlib
import io
import json
import lzma
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from openlumiere.data.shards import Member
from openlumiere.media.write import write_whole
from openlumiere_world.build import attribution
from openlumiere_world.grammar import NOUNS
from openlumiere_world.scope import WORLD_64, Scope
from openlumiere_world.sources import HELD_OUT_STYLE
from openlumiere_world.subjects import PACK_ROWS, PACK_SPRITES, Item, Media, World, to_row

FPS = 12
BUDGET = 20 * 2**20
QUALITY = {64: (55, 80), 256: (45, 75)}  # of AVIF animations, of WebP stills
FULL = {
    64: 1024,
    256: 4096,
}  # with fewer bytes left than this a pack is full: hardly anything would fit
INDEX_SHARE = 130  # bytes an item takes in the compressed index, about


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was written and what was left out, by kind and style."""

    path: Path
    bytes: int
    packed: dict[str, int]
    left_out: dict[str, int]

    def lines(self) -> list[str]:
        """A few lines for a person."""
        kept = [
            f"{self.path}: {sum(self.packed.values())} drawings in {self.bytes / 2**20:.1f} MiB"
        ]
        return kept + [
            f"{key}: {self.packed.get(key, 0)} packed, {self.left_out.get(key, 0)} left out"
            for key in sorted(self.packed | self.left_out)
        ]


def pack(
    world: World, target: Path, side: int = 64, budget: int = BUDGET, scope: Scope = WORLD_64
) -> Packed:
    """Write a pack of at most `budget` bytes with sprites of `side` px (64 or 256) that lie in the
    scope.

    At 64 px every animation without skin tone comes first, then stills, every style of a subject
    together; at 256 px everyday subjects in all styles come first, then animations and other stills
    by turns. The held-out style stays home.

    Raises:
        ValueError: another side, or a world that does not hold it.
    """
    if side not in QUALITY:
        raise ValueError(f"expected a side of {sorted(QUALITY)}, got {side}: pack one of those")
    room = budget - 2 * tarfile.RECORDSIZE  # the rest is for headers, padding and ATTRIBUTION.md
    sprites = bytearray()
    items: list[Item] = []
    for item in tqdm(
        _in_order(filter(scope.holds, world.items), side), desc="packing", unit="drawing"
    ):
        left = room - len(sprites) - (len(items) + 1) * INDEX_SHARE
        if left < FULL[side]:
            break
        item, data = _encoded(world, item, side)
        if len(data) <= left:
            items.append(_placed(item, side, len(sprites), data))
            sprites += data
    index = _index(items)
    while len(sprites) + len(index) > room:  # the estimate was short: the last ones stay behind
        del sprites[items.pop().media[0].place.offset - tarfile.BLOCKSIZE :]
        index = _index(items)
    _write(
        target,
        {
            PACK_SPRITES: bytes(sprites),
            PACK_ROWS: index,
            "ATTRIBUTION.md": attribution([to_row(item) for item in items]).encode(),
        },
    )
    return _summary([item for item in world.items if scope.holds(item)], target, items)


def _in_order(items: Iterable[Item], side: int) -> list[Item]:
    items = [item for item in items if not item.toned and item.style != HELD_OUT_STYLE]
    stills = sorted((item for item in items if item.kind == "still"), key=_still_order)
    animations = sorted(
        (item for item in items if item.kind == "animated"),
        key=lambda item: (_rank(item.base), item.id),
    )
    if side == 64:
        return animations + stills
    common = sum(item.base in NOUNS for item in stills)
    return stills[:common] + _by_turns(animations, stills[common:])


def _still_order(item: Item) -> tuple:
    """Everyday subjects first, flags and signs last; all styles of a subject together."""
    return (
        item.base not in NOUNS,
        item.group in ("flags", "symbols", "component", "none"),
        _rank(item.base),
        item.id,
    )


def _rank(subject: str) -> bytes:
    """A fixed shuffle, so that what fits is a fair choice."""
    return hashlib.sha256(subject.encode()).digest()


def _by_turns(first: list[Item], second: list[Item]) -> list[Item]:
    """Two of the second after each of the first."""
    turns = [part for n, item in enumerate(first) for part in (item, *second[2 * n : 2 * n + 2])]
    return turns + second[2 * len(first) :]


def _encoded(world: World, item: Item, side: int) -> tuple[Item, bytes]:
    """The item as it will be in the pack, and its bytes."""
    frames = world.sprite(item.id, side)
    moving, still = QUALITY[side]
    if len(frames) == 1:
        return item, _bytes(
            [_straight(frames[0])], format="webp", quality=still, method=5
        )  # 6 takes 40 times as long for 0.3 % of the bytes
    count = max(2, round(len(frames) * FPS / item.fps))
    kept = [number * len(frames) // count for number in range(count)]
    boxes = bytes.fromhex(item.boxes)
    fewer = replace(
        item, frames=count, fps=FPS, boxes=b"".join(boxes[4 * n : 4 * n + 4] for n in kept).hex()
    )
    pictures = [_straight(frames[n]) for n in kept]
    settings = {
        "quality": moving,
        "speed": 6,
        "subsampling": "4:4:4",
        "alpha_premultiplied": True,
        "max_threads": 1,
    }
    data = _bytes(
        pictures,
        format="avif",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / FPS),
        **settings,
    )
    return fewer, data


def _straight(frame: np.ndarray) -> Image.Image:
    return Image.fromarray(frame, "RGBa").convert("RGBA")


def _bytes(pictures: list[Image.Image], **settings) -> bytes:
    buffer = io.BytesIO()
    pictures[0].save(buffer, **settings)
    return buffer.getvalue()


def _placed(item: Item, side: int, start: int, data: bytes) -> Item:
    place = Member(
        shard=PACK_SPRITES,
        offset=tarfile.BLOCKSIZE + start,
        length=len(data),
        crc32=zlib.crc32(data),
    )
    return replace(item, media=(Media(side=side, place=place),))


def _index(items: list[Item]) -> bytes:
    lines = "\n".join(json.dumps(to_row(item), ensure_ascii=False) for item in items)
    return lzma.compress(lines.encode(), preset=9)


def _write(target: Path, members: dict[str, bytes]) -> None:
    def fill(made: Path) -> None:
        with tarfile.open(made, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in members.items():
                header = tarfile.TarInfo(name)
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))

    write_whole(target, fill)


def _summary(offered: list[Item], target: Path, items: list[Item]) -> Packed:
    kept = {item.id for item in items}
    count = Counter(_key(item) for item in items)
    missing = Counter(_key(item) for item in offered if item.id not in kept)
    return Packed(
        path=target, bytes=target.stat().st_size, packed=dict(count), left_out=dict(missing)
    )


def _key(item: Item) -> str:
    return f"{item.kind}, {item.style}" + (", skin tones" if item.toned else "")
