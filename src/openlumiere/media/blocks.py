"""The block structure of gif, webp and png files: how many frames they hold, how long each stays,
and whether the end is there.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

FINEST = 1_000_000  # ticks a second at most: apng may give each frame a clock of its own


@dataclass(frozen=True)
class Blocks:
    """Counted without decoding: `stays` are ticks of 1 / `per_second` s, `end` is where the walk
    ended.

    `whole` is false where the file breaks off there. `hidden` counts pictures before the animation
    that are no part of it (apng's default image).
    """

    height: int
    width: int
    stays: list[int]
    comment: str
    whole: bool
    end: int
    per_second: int
    hidden: int = 0

    @property
    def frames(self) -> int:
        """Pictures in the file."""
        return len(self.stays)


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _colours(flags: int) -> int:
    """Bytes of the colour table announced by a gif's flags."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """Contents of a chain of gif sub-blocks and the place after it; IndexError where the data ends
    first.
    """
    parts = []
    while size := data[at]:
        parts.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return b"".join(parts), at + 1


def gif_blocks(data: bytes) -> Blocks:
    """Walk a gif block by block up to its trailer."""
    stays, comment, stay, whole = [], "", 0, False
    at = 13 + _colours(data[10]) if len(data) > 12 else len(data)
    try:
        while data[at] != 0x3B:
            if data[at] == 0x21:
                content, end = _sub_blocks(data, at + 2)
                if data[at + 1] == 0xF9:
                    stay = _number(content, 1, 2)
                if data[at + 1] == 0xFE:
                    comment += content.decode("latin-1")
                at = end
            elif data[at] == 0x2C:
                _, at = _sub_blocks(data, at + 11 + _colours(data[at + 9]))
                stays.append(stay)
                stay = 0
            else:
                break
        whole = data[at] == 0x3B
    except IndexError:
        pass
    return Blocks(_number(data, 8, 2), _number(data, 6, 2), stays, comment, whole, at, 100)


def webp_blocks(data: bytes) -> Blocks:
    """Walk a webp chunk by chunk up to the length in its header. A still has one frame that stays 0
    ticks.
    """
    end = _number(data, 4, 4) + 8
    at, stays, comment, still, size = 12, [], "", False, (0, 0)
    while at + 8 <= min(end, len(data)):
        name, length = data[at : at + 4], _number(data, at + 4, 4)
        body = data[at + 8 : at + 8 + min(length, 65536)]
        if at + 8 + length > len(data) or (not name.isalnum() and name not in (b"VP8 ", b"XMP ")):
            break
        if name == b"VP8X":
            size = _number(body, 7, 3) + 1, _number(body, 4, 3) + 1
        if name == b"ANMF":
            stays.append(_number(body, 12, 3))
        if name == b"XMP ":
            comment = body.decode("latin-1")
        if name in (b"VP8 ", b"VP8L"):
            still, size = True, (size if size != (0, 0) else _still_size(name, body))
        at += 8 + length + length % 2
    whole = end <= at <= len(data) + 1 and end <= len(data)
    return Blocks(*size, stays or [0] * still, comment, whole, at, 1000)


def png_blocks(data: bytes) -> Blocks:
    """Walk a png chunk by chunk up to IEND. One without an animation has one frame of 0 ticks."""
    at, size, comment, whole = 8, (0, 0), "", False
    stays: list[Fraction] = []
    filled, stated, hidden = 0, 0, 0
    while at + 12 <= len(data) and not whole:
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if at + 12 + length > len(data):
            break
        body = data[at + 8 : at + 8 + length]
        if name == b"IHDR" and length >= 8:
            size = int.from_bytes(body[4:8], "big"), int.from_bytes(body[:4], "big")
        if name == b"acTL":
            stated = int.from_bytes(body[:4], "big")
        if name == b"fcTL" and length >= 24:
            stays.append(_png_delay(body))
        if name == b"IDAT":
            hidden = int(not stays)
        if name in (b"IDAT", b"fdAT"):
            filled = len(stays)
        if name == b"tEXt" and body.startswith(b"Comment\0"):
            comment += body[8:65536].decode("latin-1")
        whole = name == b"IEND"
        at += 12 + length
    if not stated:
        return Blocks(*size, [0], comment, whole, at, 1)
    per_second = min(math.lcm(1000, *(stay.denominator for stay in stays)), FINEST)
    ticks = [round(stay * per_second) for stay in stays[:filled]]
    whole = whole and len(stays) == filled == stated
    return Blocks(*size, ticks, comment, whole, at, per_second, hidden)


def is_animated_png(data: bytes) -> bool:
    """Whether an animation is announced before the first pixels of a png."""
    return b"acTL" in data[: max(data.find(b"IDAT"), 0)]


def _png_delay(body: bytes) -> Fraction:
    """Seconds that the frame of an fcTL chunk stays; no denominator means hundredths."""
    top, bottom = int.from_bytes(body[20:22], "big"), int.from_bytes(body[22:24], "big")
    return Fraction(top, bottom or 100)


def mended_webp(data: bytes, blocks: Blocks) -> bytes:
    """The chunks of a broken webp that are whole, under a header that says so."""
    return data[:4] + (blocks.end - 8).to_bytes(4, "little") + data[8 : blocks.end]


def _still_size(name: bytes, body: bytes) -> tuple[int, int]:
    """Height and width in the header of a still's only chunk."""
    if name == b"VP8L":
        bits = _number(body, 1, 4)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return _number(body, 8, 2) & 0x3FFF, _number(body, 6, 2) & 0x3FFF
