"""What is known of a clip before it is made: each task fills a `Canvas`, in pixels, at the clip's
own size, length and rate.

A `Region` says where to make something new; what is known is its complement. `engine/fit.py` brings
a canvas to the net and back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from openlumiere.engine.inputs import open_media
from openlumiere.media import Clip
from openlumiere.media.mask import mask_of
from openlumiere.media.sound import Sound
from openlumiere.tasks.region import Region

log = logging.getLogger("openlumiere")

Outline = Literal["own", "made"]
"""Where the alpha of what is made comes from: the given clip's own, or what the net drew."""

MIN_SIDE = 8  # pixels
MAX_SIDE = 4096
MAX_RATIO = 4  # of the longer side to the shorter
MOST = 0.99  # share of a mask that may be inside: more is a mask of everything


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """`frames` uint8 [f, h, w, 3], or [f, h, w, 4] with straight alpha, and which of their pixels
    are `known` (bool [f, h, w]); the others are made, whatever they hold.

    `outline` says where the alpha of what is made comes from (`engine/fit.py`).

    Of a `likely` canvas what is not known shows what is likely there, for nets that read it
    (`Reads.likely`).

    `anchors` are frames that the net must see even where the rate asks for fewer frames
    (`engine/fit.py`). Raises ValueError where the two do not belong together, or for sides that no
    net can take.
    """

    frames: UInt8[np.ndarray, "f h w c"]
    known: Bool[np.ndarray, "f h w"]
    fps: Fraction
    audio: Sound | None = None
    anchors: tuple[int, ...] = ()
    outline: Outline = "own"
    likely: bool = False

    def __post_init__(self) -> None:
        if self.known.shape != self.frames.shape[:3]:
            raise ValueError(
                f"known: expected a mask {self.frames.shape[:3]}, got {self.known.shape}, "
                "give one value a pixel"
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


def inside(region: Region, frames: int, height: int, width: int) -> Bool[np.ndarray, "f h w"]:
    """True where something new is made; what a region's mask holds must be open already.

    Raises ValueError for a mask of another size or length, and for a region of nothing or (a mask)
    of everything.
    """
    found = masked(region, frames, height, width)
    share = float(np.mean(found))
    if not share:
        raise ValueError(
            "region: expected a place to make something new, got none of the frame, "
            "make it larger, or white where it should be"
        )
    if region.mask is not None and share > MOST:
        raise ValueError(
            f"region: expected a mask that leaves something as it is, got {share:.1%} inside, "
            "draw white only where to make something new"
        )
    log.info("region: %.1f%% of the clip is made new", 100 * share)
    return found


def masked(region: Region, frames: int, height: int, width: int) -> Bool[np.ndarray, "f h w"]:
    """A region's pixels, however many they are."""
    shape = (frames, height, width)
    if region.mask is not None:
        mask = mask_of(open_media("region", region.mask).content.clip)
        return np.broadcast_to(checked(mask, *shape), shape)
    if len(region.polygons) == 1:
        return np.broadcast_to(fill_polygon(region.corners_at(0), height, width), shape)
    polygons = [region.corners_at(frame) for frame in range(frames)]
    return np.stack([fill_polygon(points, height, width) for points in polygons])


def checked(
    mask: Bool[np.ndarray, "n h w"], frames: int, height: int, width: int
) -> Bool[np.ndarray, "n h w"]:
    """The mask, if it is of this size, of one frame or of as many."""
    if mask.shape[-2:] != (height, width):
        got = f"{mask.shape[-1]}x{mask.shape[-2]}"
        raise ValueError(
            f"region: expected a mask of {width}x{height} pixels, got {got}, "
            "draw it at the size of what it masks"
        )
    if len(mask) not in (1, frames):
        raise ValueError(
            f"region: expected a mask of 1 or {frames} frames, got {len(mask)}, "
            "give as many as there are"
        )
    return mask


def fill_polygon(
    points: Float[np.ndarray, "n 2"], height: int, width: int
) -> Bool[np.ndarray, "h w"]:
    """Pixels whose centre lies inside, by the even-odd rule: a ray to the right crosses the outline
    an odd number of times.
    """
    x = (np.arange(width) + 0.5) / width
    y = ((np.arange(height) + 0.5) / height)[:, None]
    inside = np.zeros((height, width), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def keyframes(
    pictures: Mapping[int, UInt8[np.ndarray, "h w c"]], frames: int, fps: Fraction
) -> Canvas:
    """Image to video: the pictures are known at their frames, nothing is elsewhere (paper: C =
    first frame then blanks).
    """
    first = next(iter(pictures.values()))
    for frame, picture in pictures.items():
        if not 0 <= frame < frames:
            raise ValueError(
                f"keyframes: expected frames from 0 to {frames - 1}, got {frame}, "
                "ask for a longer clip or an earlier frame"
            )
        if picture.shape != first.shape:
            raise ValueError(
                f"keyframes: expected pictures of {sides(first)}, got {sides(picture)} at frame "
                f"{frame}, bring them to one size"
            )
    check_sides(first.shape[1], first.shape[0])
    canvas = np.zeros((frames, *first.shape), np.uint8)
    known = np.zeros(canvas.shape[:3], bool)
    for frame, picture in pictures.items():
        canvas[frame] = picture
        known[frame] = True
    anchors = tuple(sorted(pictures))
    return Canvas(frames=canvas, known=known, fps=fps, anchors=anchors, outline="made")


def sides(picture: np.ndarray) -> str:
    """Width and height as text."""
    return f"{picture.shape[1]}x{picture.shape[0]}"


def filled(clip: Clip, region: Region) -> Canvas:
    """Inpainting: the clip is known outside the region (paper: C = clip x M)."""
    width, height = clip.size
    return Canvas(
        frames=clip.frames,
        known=~inside(region, len(clip), height, width),
        fps=clip.fps,
        audio=clip.audio,
        outline="made",
    )


def extended(clip: Clip, width: int, height: int) -> Canvas:
    """Outpainting: the clip, unscaled, is known in the middle of larger frames."""
    if width < clip.size[0] or height < clip.size[1]:
        expected = f"at least the clip's {clip.size[0]}x{clip.size[1]}"
        raise ValueError(
            f"to: expected {expected}, got {width}x{height}, "
            "give sides that hold it, or scale the clip first"
        )
    check_sides(width, height)
    x = (width - clip.size[0]) // 2
    y = (height - clip.size[1]) // 2
    frames = np.zeros((len(clip), height, width, clip.frames.shape[3]), np.uint8)
    known = np.zeros(frames.shape[:3], bool)
    middle = np.s_[:, y : y + clip.size[1], x : x + clip.size[0]]
    frames[middle] = clip.frames
    known[middle] = True
    return Canvas(frames=frames, known=known, fps=clip.fps, audio=clip.audio, outline="made")


def partly_moving(
    picture: UInt8[np.ndarray, "h w c"], region: Region, frames: int, fps: Fraction
) -> Canvas:
    """Cinemagraph: the picture is known in frame 0, and outside the region in every frame (as the
    paper).
    """
    known = ~inside(region, frames, *picture.shape[:2])
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
