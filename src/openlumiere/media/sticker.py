"""Stickers: a clip cropped to its subject and written within the limits of the place it is for.

`PLACES` is the table of limits, with their sources. `make_sticker` searches quality, colours and
rate until the file fits, and says what was given up.
"""

import difflib
import io
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from openlumiere.media.alpha import bled, opaque
from openlumiere.media.animation import write_apng, write_gif, write_webp
from openlumiere.media.blocks import png_blocks
from openlumiere.media.clip import Clip
from openlumiere.media.keying import ground_of, keyed
from openlumiere.media.limits import MediaError
from openlumiere.media.movie import VP9, write_video
from openlumiere.media.timing import runs

PlaceName = Literal[
    "telegram",
    "telegram-emoji",
    "whatsapp",
    "discord",
    "slack",
    "line",
    "signal",
    "imessage",
]
Format = Literal["webm", "webp", "apng", "gif"]
Words = tuple[str, ...]

SIGNATURE = 16_000  # bytes kept free for the manifest of a generated clip
VISIBLE = 32  # of 255: alpha from which a pixel counts for the subject's box
HAZE = 16  # of 255: fainter alpha, such as an autoencoder leaves around a subject, becomes none
WEBM_3_S = Fraction(2999, 1000)  # webm's times are whole milliseconds: the last may be rounded up
LOOK = 32  # pixels a side at which frames are compared for a loop
SHORTEST_LOOP = Fraction(3, 5)  # of the time allowed: a better loop may cost the rest
SHARES = tuple(Fraction(*share) for share in ((1, 1), (2, 3), (1, 2), (1, 3), (1, 4)))
FALLING = ("webm", "webp")  # formats whose bytes fall with quality
SLOWEST = Fraction(5)  # frames a second below which the rate is not lowered


@dataclass(frozen=True, kw_only=True)
class Place:
    """What one place takes. `width` x `height` in pixels: the canvas, filled up with transparent
    pixels where `exact`, else the box that the longer side touches. Times in seconds.

    `source` is where the limits were read.
    """

    name: PlaceName
    format: Format
    suffix: str
    width: int
    height: int
    exact: bool
    seconds: Fraction
    rate: Fraction
    size: int  # bytes
    margin: int  # pixels left free around the subject, our choice
    fewest: int = 1  # frames
    most: int | None = None  # frames
    loops: int = 0  # times that it plays, 0 for ever
    pack: tuple[int, int] = (1, 200)  # stickers in a pack
    source: str = ""


PLACES: dict[str, Place] = {
    place.name: place
    for place in (
        Place(
            name="telegram",
            format="webm",
            suffix=".webm",
            width=512,
            height=512,
            exact=False,
            seconds=WEBM_3_S,
            rate=Fraction(30),
            size=256_000,
            margin=8,
            pack=(1, 120),
            source="core.telegram.org/stickers; TelegramStickersImport Limits.swift",
        ),
        Place(
            name="telegram-emoji",
            format="webm",
            suffix=".webm",
            width=100,
            height=100,
            exact=True,
            seconds=WEBM_3_S,
            rate=Fraction(30),
            size=256_000,
            margin=2,
            source="core.telegram.org/stickers; fStikBot pull 370",
        ),
        Place(
            name="whatsapp",
            format="webp",
            suffix=".webp",
            width=512,
            height=512,
            exact=True,
            seconds=Fraction(10),
            rate=Fraction(30),  # a frame may not be shorter than 8 ms
            size=500_000,
            margin=16,
            pack=(3, 30),
            source="WhatsApp StickerPackValidator.java",
        ),
        Place(
            name="discord",
            format="apng",
            suffix=".png",
            width=320,
            height=320,
            exact=True,
            seconds=Fraction(5),
            rate=Fraction(30),
            size=512_000,
            margin=6,
            source="discord-api-types",
        ),
        Place(
            name="slack",
            format="gif",
            suffix=".gif",
            width=128,
            height=128,
            exact=True,
            seconds=Fraction(5),
            rate=Fraction(20),
            size=128_000,
            margin=2,
            most=50,
            source="guides (gifcap, xconvert, makeemoji); Slack's own page was not read",
        ),
        Place(
            name="line",
            format="apng",
            suffix=".png",
            width=320,
            height=270,
            exact=False,
            seconds=Fraction(4),
            rate=Fraction(20),
            size=300_000,
            margin=10,
            fewest=5,
            most=20,
            loops=4,
            pack=(8, 24),
            source="LINE creator guideline",
        ),
        Place(
            name="signal",
            format="apng",
            suffix=".png",
            width=512,
            height=512,
            exact=True,
            seconds=Fraction(3),
            rate=Fraction(30),
            size=300_000,
            margin=16,
            source="sticker-convert compression.json",
        ),
        Place(
            name="imessage",
            format="apng",
            suffix=".png",
            width=408,
            height=408,
            exact=True,
            seconds=Fraction(2),
            rate=Fraction(30),
            size=500_000,
            margin=8,
            source="sticker-convert compression.json",
        ),
    )
}


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One try of an encoder: `name` says what it costs; `good` is worth a lower rate."""

    name: str
    write: Callable[[Path, np.ndarray, Fraction, int], None]
    good: bool = True


@dataclass(frozen=True, kw_only=True)
class Sticker:
    """An encoded sticker: `data` for a file that ends in `place.suffix`, what it holds, and in
    `words` what was changed or given up for the place.
    """

    place: Place
    data: bytes
    frames: np.ndarray
    fps: Fraction
    words: Words = ()


@dataclass(frozen=True, kw_only=True)
class Pace:
    """A sticker at one rate, the place's or a `lowered` one; its frames are marked, and prepared
    for the encoder, once for all qualities.
    """

    clip: Clip
    format: Format
    lowered: bool

    @cached_property
    def sealed(self) -> np.ndarray:
        """Frames [f, h, w, 4] with the mark of a generated clip."""
        origin = self.clip.origin
        return self.clip.frames if origin is None else origin.seal(self.clip.frames)

    @cached_property
    def written(self) -> np.ndarray:
        """Frames [f, h, w, 4] as the encoder takes them."""
        if self.format != "webm":
            return self.sealed
        return np.stack([bled(frame) for frame in self.sealed])


def place_of(name: str) -> Place:
    """The place of this name. Raises `MediaError` that names the nearest one."""
    if name in PLACES:
        return PLACES[name]
    close = difflib.get_close_matches(name, PLACES, 1)
    hint = f"perhaps you meant {close[0]}" if close else "choose one of them"
    raise MediaError(f"a place of {', '.join(PLACES)}", repr(name[:40]), hint)


def make_sticker(clip: Clip, place: Place | str) -> Sticker:
    """`clip` within the limits of `place`: a plain background taken out, trimmed to its best loop,
    cropped to the subject, brought to size, and encoded at the best quality that fits.

    A generated clip is marked (its `origin` seals the frames); the file is signed by who writes it.
    Raises `MediaError` for a clip in which nothing is to be seen, and where nothing fits.
    """
    place = place_of(place) if isinstance(place, str) else place
    words: list[str] = []
    subject = _with_alpha(clip, words)
    trimmed = _trimmed(subject, place, words)
    canvas = _placed(trimmed, place.width, place.height, place.margin, place.exact)
    tries: list[int] = []
    for pace, qualities in _attempts(canvas, place):
        found = _best(pace, qualities, place, tries)
        if found:
            quality, data = found
            words += _cost(canvas, pace.clip, quality)
            frames, fps = pace.sealed, pace.clip.fps
            return Sticker(place=place, data=data, frames=frames, fps=fps, words=tuple(words))
    if not tries:
        expected = f"at least {place.fewest} different frames for {place.name}"
        raise MediaError(expected, str(len(runs(canvas.frames))), "take a clip that moves more")
    expected = f"a sticker of at most {place.size} bytes for {place.name}"
    raise MediaError(expected, f"{min(tries)} at the lowest quality", "shorten the clip")


def _best(
    pace: Pace, qualities: tuple[Quality, ...], place: Place, tries: list[int]
) -> tuple[Quality, bytes] | None:
    """The best quality that fits at this rate, and its bytes; the sizes of what was encoded are
    added to `tries`.

    Where bytes fall with quality the poorest is tried early and then better ones as long as they
    fit, since at most rates nothing fits; at the place's own rate the best is tried first.
    """
    made: dict[str, bytes] = {}

    def fits(quality: Quality) -> bool:
        if quality.name not in made:
            made[quality.name] = encoded(pace.written, pace.clip.fps, place, quality)
            tries.append(len(made[quality.name]))
        data = made[quality.name]
        if place.format == "apng" and png_blocks(data).frames < place.fewest:
            return False  # fewer colours made frames equal, which the format merges
        return len(data) <= _room(place, pace.clip)

    if place.format in FALLING:
        best_first = () if pace.lowered else qualities[:1]
        fitting = [each for each in best_first if fits(each)]
        fitting = fitting or list(takewhile(fits, reversed(qualities)))
    else:
        fitting = list(islice(filter(fits, qualities), 1))
    return (fitting[-1], made[fitting[-1].name]) if fitting else None


def _room(place: Place, clip: Clip) -> int:
    """Bytes that pictures may take."""
    return place.size if clip.origin is None else place.size - SIGNATURE


def _with_alpha(clip: Clip, words: list[str]) -> Clip:
    """The clip as RGBA: its own alpha, or a plain background taken out, or opaque."""
    frames = clip.frames
    if not clip.has_alpha:
        ground = ground_of(frames)
        if ground is None:
            words.append("the background is not one colour: it is kept")
            return replace(clip, frames=opaque(frames))
        frames = keyed(frames, ground)
        name = "#{:02x}{:02x}{:02x}".format(*ground.colour)
        words.append(f"the plain background ({name}) is made transparent")
    if not (frames[..., 3] >= VISIBLE).any():
        what = "a fully transparent clip" if clip.has_alpha else "nothing before its background"
        raise MediaError("a clip in which something is to be seen", what, "choose another clip")
    return replace(clip, frames=np.where(frames[..., 3:] < HAZE, 0, frames).astype(np.uint8))


# Time


def _trimmed(clip: Clip, place: Place, words: list[str]) -> Clip:
    """At most as long as the place allows: the stretch whose end meets its beginning best."""
    most = math.floor(place.seconds * clip.fps)
    if len(clip) <= most:
        return clip
    if most < 1:
        raise MediaError(f"frames shorter than {place.seconds} s", f"{clip.fps} a second", "-")
    first, count = best_loop(clip.frames, most)
    made = replace(clip, frames=clip.frames[first : first + count])
    words.append(
        f"trimmed from {float(clip.seconds):.2f} to {float(made.seconds):.2f} s, "
        f"frames {first} to {first + count - 1}, where it loops best"
    )
    return made


def best_loop(frames: np.ndarray, most: int) -> tuple[int, int]:
    """First frame and number (at most `most`) of the stretch of RGBA `frames` [f, h, w, 4] after
    which the next frame is most like the first; of equal ones the longest, then the earliest.
    """
    seen = np.stack([_small(frame) for frame in frames])
    fewest = max(1, math.ceil(most * SHORTEST_LOOP))
    best = (np.inf, 0, most)
    for count in range(most, fewest - 1, -1):
        gaps = np.abs(seen[: len(seen) - count] - seen[count:]).mean((1, 2, 3))
        before_last = gaps[-1:]  # the last stretch has no next frame: ask how its beginning is met
        gaps = np.concatenate([gaps, before_last])
        first = int(gaps.argmin())
        if gaps[first] < best[0] - 1e-9:
            best = (float(gaps[first]), first, count)
    return best[1], best[2]


def _small(frame: np.ndarray) -> np.ndarray:
    """A frame as it is compared: small, colours multiplied by alpha."""
    picture = Image.fromarray(frame).convert("RGBa")
    small = picture.resize((LOOK, LOOK), Image.Resampling.BOX)
    return np.asarray(small).astype(np.float32)


def _paced(clip: Clip, rate: Fraction, most: int | None) -> Clip:
    """At most `rate` frames a second and `most` frames, evenly spread over the same time."""
    count = min(len(clip), math.floor(clip.seconds * rate), most or len(clip))
    count = max(count, 1)
    if count == len(clip):
        return clip
    chosen = [math.floor(Fraction(k * len(clip), count)) for k in range(count)]
    return replace(clip, frames=clip.frames[chosen], fps=count / clip.seconds)


# Space


def subject_box(frames: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (beyond the last pixel) of what is visible in any of the RGBA
    frames [f, h, w, 4].
    """
    seen = np.any(frames[..., 3] >= VISIBLE, axis=0)
    rows = np.flatnonzero(seen.any(axis=1))
    columns = np.flatnonzero(seen.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _placed(clip: Clip, width: int, height: int, margin: int, exact: bool = True) -> Clip:
    """Cropped to the subject of all frames and scaled into a canvas with a margin: this one if
    `exact`, else as much of it as the subject needs.
    """
    left, top, right, bottom = subject_box(clip.frames)
    inner = width - 2 * margin, height - 2 * margin
    scale = min(inner[0] / (right - left), inner[1] / (bottom - top))
    size = (
        min(max(1, round((right - left) * scale)), inner[0]),
        min(max(1, round((bottom - top) * scale)), inner[1]),
    )
    canvas = (width, height)
    if not exact:
        canvas = (_even(size[0] + 2 * margin, width), _even(size[1] + 2 * margin, height))
    frames = np.zeros((len(clip), canvas[1], canvas[0], 4), np.uint8)
    x, y = (canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2
    for frame, target in zip(clip.frames, frames, strict=True):
        part = Image.fromarray(np.ascontiguousarray(frame[top:bottom, left:right]))
        target[y : y + size[1], x : x + size[0]] = np.asarray(
            part.resize(size, Image.Resampling.LANCZOS)
        )
    return replace(clip, frames=frames)


def _even(side: int, most: int) -> int:
    """The next even side, as encoders and LINE ask for."""
    return min(side + side % 2, most)


# Bytes


def encoded(frames: np.ndarray, fps: Fraction, place: Place, quality: Quality) -> bytes:
    """The bytes of uint8 frames [f, h, w, 4] for a place."""
    seconds = len(frames) / fps
    plays = place.loops and max(1, min(place.loops, math.floor(place.seconds / seconds)))
    with tempfile.TemporaryDirectory(prefix="openlumiere-") as folder:
        path = Path(folder, f"sticker.{place.format}")
        quality.write(path, frames, fps, plays)
        return path.read_bytes()


def _attempts(clip: Clip, place: Place) -> Iterator[tuple[Pace, tuple[Quality, ...]]]:
    """Good qualities at falling rates first, then the poor ones, likewise. Rates at which too few
    frames differ are passed over.
    """
    full = _paced(clip, place.rate, place.most)
    rates = [full.fps * share for share in SHARES]
    rates = [rate for rate in rates if rate == full.fps or rate >= SLOWEST]
    clips = [_paced(full, rate, place.most) for rate in rates]
    paces = [
        Pace(clip=paced, format=place.format, lowered=len(paced) < len(full))
        for paced in clips
        if len(runs(paced.frames)) >= place.fewest
    ]
    for good in (True, False):
        qualities = tuple(quality for quality in LADDERS[place.format] if quality.good == good)
        for pace in paces:
            yield pace, qualities


def _cost(canvas: Clip, paced: Clip, quality: Quality) -> list[str]:
    """What the encoding gave up, in words."""
    words = []
    if len(paced) < len(canvas):
        words.append(f"{len(paced)} of {len(canvas)} frames kept ({float(paced.fps):.3g} a second)")
    if quality.name:
        words.append(quality.name)
    return words


def _webm(crf: int) -> Callable[[Path, np.ndarray, Fraction, int], None]:
    def write(path: Path, frames: np.ndarray, fps: Fraction, plays: int) -> None:
        options = VP9 | {"crf": str(crf), "auto-alt-ref": "0"}
        write_video(path, frames, fps, None, "libvpx-vp9", "yuva420p", options, bleed=False)

    return write


def _webp(quality: int) -> Callable[[Path, np.ndarray, Fraction, int], None]:
    def write(path: Path, frames: np.ndarray, fps: Fraction, plays: int) -> None:
        write_webp(path, frames, fps, quality=quality)

    return write


def _apng(colours: int | None) -> Callable[[Path, np.ndarray, Fraction, int], None]:
    def write(path: Path, frames: np.ndarray, fps: Fraction, plays: int) -> None:
        write_apng(path, frames, fps, colours=colours, loop=plays)

    return write


def _gif(colours: int) -> Callable[[Path, np.ndarray, Fraction, int], None]:
    def write(path: Path, frames: np.ndarray, fps: Fraction, plays: int) -> None:
        write_gif(path, frames, fps, colours=colours)

    return write


LADDERS: dict[str, tuple[Quality, ...]] = {
    "webm": (
        Quality(name="", write=_webm(24)),
        Quality(name="stronger compression (crf 32)", write=_webm(32)),
        Quality(name="stronger compression (crf 40)", write=_webm(40)),
        Quality(name="strong compression (crf 48)", write=_webm(48), good=False),
        Quality(name="strongest compression (crf 60)", write=_webm(60), good=False),
    ),
    "webp": (
        Quality(name="", write=_webp(85)),
        Quality(name="stronger compression (quality 65)", write=_webp(65)),
        Quality(name="stronger compression (quality 40)", write=_webp(40)),
        Quality(name="strong compression (quality 20)", write=_webp(20), good=False),
        Quality(name="strongest compression (quality 5)", write=_webp(5), good=False),
    ),
    "apng": (
        Quality(name="", write=_apng(None)),
        Quality(name="256 colours", write=_apng(256)),
        Quality(name="96 colours", write=_apng(96)),
        Quality(name="32 colours", write=_apng(32), good=False),
        Quality(name="12 colours", write=_apng(12), good=False),
    ),
    "gif": (
        Quality(name="", write=_gif(256)),
        Quality(name="96 colours", write=_gif(96)),
        Quality(name="32 colours", write=_gif(32)),
        Quality(name="12 colours", write=_gif(12), good=False),
    ),
}


def still_of(clip: Clip, width: int, height: int, margin: int = 0) -> bytes:
    """The first frame, cropped to its subject, scaled into a canvas and marked, as PNG bytes."""
    subject = _with_alpha(clip, [])
    first = replace(subject, frames=subject.frames[:1])
    if not (first.frames[..., 3] >= VISIBLE).any():
        first = subject
    placed = _placed(first, width, height, margin).frames
    if clip.origin is not None:
        placed = clip.origin.seal(placed)
    made = io.BytesIO()
    Image.fromarray(placed[0]).save(made, "PNG", optimize=True)
    return made.getvalue()
