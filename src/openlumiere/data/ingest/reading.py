"""Frames of a file as the model sees them: in time by their time stamps, upright, square, small.

Runs in a reading process alone (`worker.py`). Files are opened by the readers of `media`; only the
frames that are shown at a tick of the model's rate are converted, at once to their final size.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from openlumiere.data.ingest.config import IngestConfig
from openlumiere.media import decode, video
from openlumiere.media.alpha import over
from openlumiere.media.digest import sha256_of_file
from openlumiere.media.light import is_hdr, to_sdr
from openlumiere.media.limits import Limits, MediaError
from openlumiere.media.picturing import Picturing
from openlumiere.media.upright import display_matrix, shown_size, upright

logger = logging.getLogger("openlumiere")

MOST_RATE = 1000
PIXELS = 2**26
SDR_LINES = 720  # from this height on, footage that doesn't say so is BT.709 (broadcast practice)
BT709, UNSPECIFIED = 1, 2
WHITE = (255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a file beside its pictures; sizes as displayed, in pixels."""

    sha256: str
    width: int
    height: int
    fps: str  # the mean rate it says, a fraction; "" where it says none
    interlaced: bool = False
    hdr: bool = False


class Tick(NamedTuple):
    """One moment of the model's clock: seconds from the file's first frame, and the frame shown."""

    time: Fraction
    frame: av.VideoFrame
    fresh: bool  # shown for the first time
    breaks: bool  # the clock starts anew here


Timed = tuple[Fraction, av.VideoFrame]


def limits_of(config: IngestConfig) -> Limits:
    """The budget of one file: `hours` at up to 240 frames a second, of any size up to 8K."""
    frames = int(config.hours * 3600 * 240) + 1
    return Limits(
        frames=frames,
        pixels=PIXELS,
        total_pixels=frames * PIXELS,  # they are never in memory together
        rate=MOST_RATE,
        seconds=max(600.0, 4 * 3600 * config.hours),
        memory=config.memory,
    )


class Reader:
    """The frames of one file with their times in seconds; `facts` is filled by the first of them.

    Iterating raises `MediaError` where the file is broken, is shorter than it says, holds frames of
    several sizes or is longer than `config.hours`. `on_frame` is called after each frame.
    """

    def __init__(self, path: Path, config: IngestConfig, on_frame: Callable[[], None]):
        self.path, self.config, self.on_frame = path, config, on_frame
        self.limits = limits_of(config)
        self.facts: Facts | None = None
        self.shape: Fraction | None = None  # of a pixel, width to height
        self.lasts = 1 / config.fps  # of the last frame, in seconds

    def __iter__(self) -> Iterator[Timed]:
        kind = "folder" if self.path.is_dir() else decode.known_kind(self.path)
        if kind in ("folder", *decode.PICTURES, *decode.ANIMATIONS):
            yield from self._pictures()
        else:
            yield from self._video(kind)

    def _pictures(self) -> Iterator[Timed]:
        """Small kinds are decoded whole by `media`, within the budget of a clip."""
        budget = replace(Limits(), memory=self.limits.memory)
        with tempfile.TemporaryFile() as out:
            found = decode.read(self.path, out, budget)
            out.flush()
            shape = (found.stored, found.height, found.width, found.channels)
            frames = np.memmap(out, np.uint8, "r", shape=shape)
            form = "rgba" if found.channels == 4 else "rgb24"
            self.lasts = 1 / found.fps
            self._know(found.width, found.height, str(found.fps))
            for place, index in enumerate(found.order or range(found.stored)):
                self.on_frame()
                frame = av.VideoFrame.from_ndarray(np.asarray(frames[index]), format=form)
                yield place / found.fps, frame

    def _video(self, kind: str) -> Iterator[Timed]:
        video.check_packets(self.path, kind, self.limits)
        with video.opened(self.path, kind, self.limits) as container:
            stream = video.picture_stream(container, self.path.name)
            video.check_header(stream, container, self.limits)
            self._check_length(container)
            rate = stream.average_rate or stream.guessed_rate
            self.lasts = 1 / rate if rate else self.lasts
            self.shape = stream.sample_aspect_ratio
            shown = Picturing(stream.sample_aspect_ratio, 0, self.limits, logger.info)
            reader = video.FrameReader(container, stream, self.limits, shown)
            count = 0
            try:
                for frame in self._checked(reader, str(rate or "")):
                    yield reader.times[count], frame
                    count += 1
            except (av.FFmpegError, MediaError) as error:
                raise video.broke_at(self.path, error, reader) from error
            if not count:
                raise MediaError("a whole video", f"{self.path.name}: no frame", "save it again")
            stated = video.stated_frames(container, stream)
            video.check_count(self.path, count, reader.packets, stated)
            if kind == "mov":
                video.check_length(self.path, reader, stream)

    def _checked(self, reader: video.FrameReader, rate: str) -> Iterator[av.VideoFrame]:
        size = None
        for frame in reader.frames():
            if size is None:
                size = (frame.width, frame.height)
                interlaced = reader.deinterlacer.graph is not None
                self._know(*displayed(frame, self.shape), rate, frame, interlaced)
            if (frame.width, frame.height) != size:
                got = f"{frame.width}x{frame.height} after {size[0]}x{size[1]}"
                raise MediaError("frames of one size", got, "convert it to one size")
            self.on_frame()
            yield frame

    def _check_length(self, container: av.container.InputContainer) -> None:
        hours = (container.duration or 0) / av.time_base / 3600
        if hours > self.config.hours:
            raise MediaError(
                f"at most {self.config.hours:g} hours", f"{hours:.1f}", "cut it or raise hours"
            )

    def _know(
        self,
        width: int,
        height: int,
        fps: str,
        frame: av.VideoFrame | None = None,
        interlaced: bool = False,
    ) -> None:
        self.facts = Facts(
            sha256=sha256_of(self.path),
            width=width,
            height=height,
            fps=fps,
            interlaced=interlaced,
            hdr=frame is not None and is_hdr(frame),
        )


def ticks(
    timed: Iterable[Timed], fps: Fraction, lasts: Callable[[], Fraction], most: int
) -> Iterator[Tick]:
    """The frame on the screen at each tick of `fps`, nothing blended.

    The clock starts at the first frame, and anew where times run backwards or a frame stays for
    more than `most` ticks: the rest of such a stay is left out.
    """
    origin, number, breaks, first = None, 0, False, None
    for (time, frame), following in _with_next(timed):
        first = time if first is None else first
        origin = time if origin is None else origin
        end = time + lasts() if following is None else following
        fresh, shown = True, 0
        while origin + number / fps < end and shown < most:
            yield Tick(origin + number / fps - first, frame, fresh, breaks)
            fresh, breaks, number, shown = False, False, number + 1, shown + 1
        if end < time or origin + number / fps < end:
            origin, number, breaks = None, 0, True


def _with_next(timed: Iterable[Timed]) -> Iterator[tuple[Timed, Fraction | None]]:
    """Each frame with the time of the frame after it."""
    held = None
    for item in timed:
        if held is not None:
            yield held, item[0]
        held = item
    if held is not None:
        yield held, None


class Framer:
    """Makes square pictures of frames: upright, at their display aspect, cropped or letterboxed."""

    def __init__(self, side: int, fit: str, shape: Fraction | None):
        self.side, self.fit, self.shape = side, fit, shape

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 [side, side, 3]; alpha over white, HDR tone-mapped (`media/light.py`)."""
        width, height = shown_size(frame.width, frame.height, self.shape)
        pick = min if self.fit == "crop" else max
        scale = self.side / pick(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = upright(_scaled(frame, *size), display_matrix(frame))
        return self._cropped(picture) if self.fit == "crop" else self._boxed(picture)

    def _cropped(self, picture: np.ndarray) -> np.ndarray:
        top, left = ((have - self.side) // 2 for have in picture.shape[:2])
        return np.ascontiguousarray(picture[top : top + self.side, left : left + self.side])

    def _boxed(self, picture: np.ndarray) -> np.ndarray:
        box = np.zeros((self.side, self.side, 3), np.uint8)
        top, left = ((self.side - have) // 2 for have in picture.shape[:2])
        box[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        return box


def _scaled(frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3], averaged where it shrinks."""
    if frame.colorspace == UNSPECIFIED and frame.height >= SDR_LINES:
        frame.colorspace = BT709
    method = "AREA" if width <= frame.width else "BICUBIC"
    if is_hdr(frame):
        return to_sdr(frame, (width, height), method)
    if any(component.is_alpha for component in frame.format.components):
        small = frame.reformat(width, height, "rgba", interpolation=method).to_ndarray()
        return over(small[None], WHITE)[0]
    return frame.reformat(width, height, "rgb24", interpolation=method).to_ndarray()


def displayed(frame: av.VideoFrame, shape: Fraction | None) -> tuple[int, int]:
    """Width and height on the screen: pixels of `shape` made square, and turned upright."""
    width, height = shown_size(frame.width, frame.height, shape)
    a, _, _, _ = display_matrix(frame)
    return (width, height) if a else (height, width)


def sha256_of(path: Path) -> str:
    """Of a file's bytes; of a folder, over its files' hashes by name."""
    if path.is_dir():
        lines = [f"{file.name} {sha256_of(file)}" for file in sorted(path.iterdir())]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    return sha256_of_file(path)
