"""What is given of a clip before it is made: each task fills a `Canvas`, in pixels, at the clip's
own size, length and rate.

A `Region` says where to make something new; what is known is its complement. `engine/fit.py` brings
a canvas to the net and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from openlumiere.media import Clip, load_mask
from openlumiere.media.sound import Sound

Points = tuple[tuple[float, float], ...]

MIN_SIDE, MAX_SIDE = 8, 4096  # pixels
MAX_RATIO = 4  # of the longer side to the shorter
BOX = 4  # numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """`frames` uint8 [f, h, w, 3] and which of their pixels are `known` (bool [f, h, w]); the
    others are made, whatever they hold.

    `anchors` are frames that the net must see even where the rate asks for fewer frames
    (`engine/fit.py`). Raises ValueError where the two do not belong together, or for sides that no
    net can take.
    """

    frames: UInt8[np.ndarray, "f h w 3"]
    known: Bool[np.ndarray, "f h w"]
    fps: Fraction
    audio: Sound | None = None
    anchors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.known.shape != self.frames.shape[:3]:
            raise ValueError(
                f"known: expected a mask {self.frames.shape[:3]}, got {self.known.shape}, give one value a pixel"
            )
        check_sides(*self.size)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.frames.shape[2], self.frames.shape[1]


def check_sides(width: int, height: int) -> None:
    """Sides of 8 to 4096 pixels, one at most four times the other."""
    short, long = sorted((width, height))
    if short < MIN_SIDE or long > MAX_SIDE or long > MAX_RATIO * short:
        expected = f"sides of {MIN_SIDE} to {MAX_SIDE} pixels, at most {MAX_RATIO} to 1"
        raise ValueError(f"size: expected {expected}, got {width}x{height}, scale or crop it first")


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """Where to make something new: inside a polygon that may move, or where a mask is white.

    `polygons` are pairs of a frame's number and corners (x, y) in fractions of the frame's width
    and height: between two of them the corners move evenly, before the first and after the last
    they rest. `mask` is float [h, w] or [f, h, w] in [0, 1], above 0.5 is inside. Make one with
    `Region.parse`, `Region.box` or `Region.of`.
    """

    polygons: tuple[tuple[int, Points], ...] = ()
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.mask is None) == (not self.polygons):
            raise ValueError(
                "region: expected polygons or a mask, got none or both, give one of them"
            )
        if self.mask is not None and self.mask.ndim not in (2, 3):
            raise ValueError(
                f"region: expected a mask [h, w] or [f, h, w], got shape {self.mask.shape}, give one channel"
            )
        for _, points in self.polygons:
            check_points(points, len(self.polygons[0][1]))

    @classmethod
    def box(cls, x0: float, y0: float, x1: float, y1: float) -> Region:
        """From the left upper corner to the right lower one, in fractions of width and height."""
        return cls(polygons=((0, corners(x0, y0, x1, y1)),))

    @classmethod
    def parse(cls, text: str) -> Region:
        """A mask's path, or numbers in fractions: a box `x0,y0,x1,y1`, corners `x,y x,y x,y`, or
        either at frames `0: ...; 40: ...`.
        """
        if is_file(text):
            return cls(mask=load_mask(text))
        try:
            keyed = [part.rpartition(":") for part in text.split(";")]
            polygons = tuple((int(frame or 0), read_points(points)) for frame, _, points in keyed)
        except ValueError as error:
            if str(error).startswith("region:"):
                raise
            expected = "a mask's path, x0,y0,x1,y1 or x,y x,y x,y in fractions"
            raise ValueError(
                f"region: expected {expected}, got {text[:200]!r}, check the path or the numbers"
            ) from None
        return cls(polygons=tuple(sorted(polygons)))

    @classmethod
    def of(
        cls, value: Region | str | Path | np.ndarray | tuple[float, float, float, float]
    ) -> Region:
        """Itself, what `parse` reads, a mask (bool, or float in [0, 1]; uint8 in 0..255) or a box."""
        if isinstance(value, Region):
            return value
        if isinstance(value, np.ndarray):
            return cls(
                mask=value / np.float32(255)
                if value.dtype == np.uint8
                else value.astype(np.float32)
            )
        return cls.parse(str(value)) if isinstance(value, (str, Path)) else cls.box(*value)

    def __str__(self) -> str:
        """What `parse` reads again; empty for a mask."""
        return "; ".join(
            f"{frame}: " + " ".join(f"{x!r},{y!r}" for x, y in points)
            for frame, points in self.polygons
        )

    def inside(self, frames: int, height: int, width: int) -> Bool[np.ndarray, "f h w"]:
        """True where something new is made. Raises ValueError for a mask of another size or length."""
        if self.mask is not None:
            return np.broadcast_to(
                self._checked_mask(frames, height, width) > 0.5, (frames, height, width)
            )
        if len(self.polygons) == 1:
            return np.broadcast_to(
                fill_polygon(self._corners(0), height, width), (frames, height, width)
            )
        return np.stack(
            [fill_polygon(self._corners(frame), height, width) for frame in range(frames)]
        )

    def _checked_mask(self, frames: int, height: int, width: int) -> np.ndarray:
        if self.mask.shape[-2:] != (height, width):
            got = f"{self.mask.shape[-1]}x{self.mask.shape[-2]}"
            raise ValueError(
                f"region: expected a mask of {width}x{height} pixels, got {got}, draw it at the size of what it masks"
            )
        if self.mask.ndim == 3 and len(self.mask) not in (1, frames):
            raise ValueError(
                f"region: expected a mask of 1 or {frames} frames, got {len(self.mask)}, give as many as there are"
            )
        return self.mask

    def _corners(self, frame: int) -> Float[np.ndarray, "n 2"]:
        moments = [moment for moment, _ in self.polygons]
        paths = np.array([points for _, points in self.polygons]).reshape(len(moments), -1)
        return np.array([np.interp(frame, moments, path) for path in paths.T]).reshape(-1, 2)


def is_file(text: str) -> bool:
    try:
        return text != "" and Path(text).exists()
    except (OSError, ValueError):
        return False


def read_points(text: str) -> Points:
    """Four numbers are a box, pairs of numbers are corners."""
    groups = [tuple(float(number) for number in group.split(",")) for group in text.split()]
    if len(groups) == 1 and len(groups[0]) == BOX:
        return corners(*groups[0])
    if any(len(group) != 2 for group in groups):
        raise ValueError("not pairs")
    return tuple(groups)


def corners(x0: float, y0: float, x1: float, y1: float) -> Points:
    if not (x0 < x1 and y0 < y1):
        raise ValueError(
            f"region: expected a box x0,y0,x1,y1 with x0 < x1 and y0 < y1, got {x0},{y0},{x1},{y1}, swap its corners"
        )
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def check_points(points: Points, count: int) -> None:
    if len(points) < 3 or len(points) != count:
        raise ValueError(
            f"region: expected polygons of {max(count, 3)} corners, got {len(points)}, give each frame as many"
        )
    if not all(-1 <= number <= 2 for point in points for number in point):
        raise ValueError(
            f"region: expected fractions of the frame's sides, -1 to 2, got {points}, divide pixels by the sides"
        )


def fill_polygon(
    points: Float[np.ndarray, "n 2"], height: int, width: int
) -> Bool[np.ndarray, "h w"]:
    """Pixels whose centre lies inside, by the even-odd rule: a ray to the right crosses the outline
    an odd number of times.
    """
    x, y = (np.arange(width) + 0.5) / width, ((np.arange(height) + 0.5) / height)[:, None]
    inside = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def keyframes(
    pictures: Mapping[int, UInt8[np.ndarray, "h w 3"]], frames: int, fps: Fraction
) -> Canvas:
    """Image to video: the pictures are known at their frames, nothing is elsewhere (paper: C =
    first frame then blanks).
    """
    first = next(iter(pictures.values()))
    for frame, picture in pictures.items():
        if not 0 <= frame < frames:
            raise ValueError(
                f"keyframes: expected frames from 0 to {frames - 1}, got {frame}, ask for a longer clip or an earlier frame"
            )
        if picture.shape != first.shape:
            raise ValueError(
                f"keyframes: expected pictures of {sides(first)}, got {sides(picture)} at frame {frame}, bring them to one size"
            )
    check_sides(first.shape[1], first.shape[0])
    canvas = np.zeros((frames, *first.shape), np.uint8)
    known = np.zeros(canvas.shape[:3], bool)
    for frame, picture in pictures.items():
        canvas[frame], known[frame] = picture, True
    return Canvas(frames=canvas, known=known, fps=fps, anchors=tuple(sorted(pictures)))


def sides(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def filled(clip: Clip, region: Region) -> Canvas:
    """Inpainting: the clip is known outside the region (paper: C = clip x M)."""
    width, height = clip.size
    return Canvas(
        frames=clip.frames,
        known=~region.inside(len(clip), height, width),
        fps=clip.fps,
        audio=clip.audio,
    )


def extended(clip: Clip, width: int, height: int) -> Canvas:
    """Outpainting: the clip, unscaled, is known in the middle of larger frames."""
    if width < clip.size[0] or height < clip.size[1]:
        expected = f"at least the clip's {clip.size[0]}x{clip.size[1]}"
        raise ValueError(
            f"to: expected {expected}, got {width}x{height}, give sides that hold it, or scale the clip first"
        )
    check_sides(width, height)
    x, y = (width - clip.size[0]) // 2, (height - clip.size[1]) // 2
    frames = np.zeros((len(clip), height, width, 3), np.uint8)
    known = np.zeros(frames.shape[:3], bool)
    inside = np.s_[:, y : y + clip.size[1], x : x + clip.size[0]]
    frames[inside], known[inside] = clip.frames, True
    return Canvas(frames=frames, known=known, fps=clip.fps, audio=clip.audio)


def partly_moving(
    picture: UInt8[np.ndarray, "h w 3"], region: Region, frames: int, fps: Fraction
) -> Canvas:
    """Cinemagraph: the picture is known in frame 0, and outside the region in every frame (as the
    paper).
    """
    known = ~region.inside(frames, *picture.shape[:2])
    known[0] = True
    return Canvas(frames=np.broadcast_to(picture, (frames, *picture.shape)), known=known, fps=fps)


def unheld(clip: Clip, held: bool = False) -> Canvas:
    """Restyling: every pixel is made, from where the clip's own lie; or with `held` every one is
    kept.
    """
    return Canvas(
        frames=clip.frames,
        known=np.broadcast_to(np.bool_(held), clip.frames.shape[:3]),
        fps=clip.fps,
        audio=clip.audio,
    )
