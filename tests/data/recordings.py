"""Footage for the tests of ingestion: small clips drawn here, and plug-ins that misbehave."""

import os
import signal
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from openlumiere.data.ingest import IngestConfig
from openlumiere.media import Clip

SMALL = IngestConfig(side=32, frames=8, fps=Fraction(8), clips_a_shard=4)


def moving(seed: int, frames: int = 8, height: int = 36, width: int = 48) -> np.ndarray:
    """A bright square on a ground of its own, a few pixels further each frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 200, (3, 4, 3)).astype(np.uint8)
    ground = np.repeat(np.repeat(coarse, height // 3, 0), width // 4, 1)
    clip = np.repeat(ground[None], frames, 0)
    top, left = rng.integers(0, height - 12), rng.integers(0, width // 3)
    for number, frame in enumerate(clip):
        at = (left + 3 * number) % (width - 12)
        frame[top : top + 12, at : at + 12] = 255 - coarse[0, 0]
    return clip


def save(path: Path, *scenes: np.ndarray, fps: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Clip(np.concatenate(scenes), fps=fps).save(path)


def fill(folder: Path, count: int = 6, frames: int = 8) -> Path:
    """A folder of `count` files of one clip each, half of them nested."""
    for number in range(count):
        below = folder / "nested" / "more" if number % 2 else folder
        save(below / f"a_square_{number}.mp4", moving(number, frames))
    return folder


def mux(path: Path, *parts: np.ndarray, codec="mpeg4", fps=8, times=None, shape=None):
    """Write by PyAV itself: at `times` in milliseconds, with pixels of another shape, or (parts of
    several sizes) with frames that change size.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = parts[0].shape[2], parts[0].shape[1]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if shape:
            stream.codec_context.sample_aspect_ratio = shape
        if times:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        number = 0
        for part in parts:
            encoder = stream
            if part.shape != parts[0].shape:
                encoder = av.CodecContext.create(codec, "w")
                encoder.width, encoder.height = part.shape[2], part.shape[1]
                encoder.pix_fmt, encoder.framerate = stream.pix_fmt, fps
                encoder.time_base = Fraction(1, fps)
            for picture in part:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = times[number] if times else number
                frame.time_base = Fraction(1, 1000) if times else Fraction(1, fps)
                number += 1
                _send(container, stream, encoder.encode(frame))
            _send(container, stream, encoder.encode(None))
    return path


def _send(container, stream, packets):
    for packet in packets:
        packet.stream = stream
        container.mux(packet)


def crash(frames: np.ndarray) -> float:
    """A plug-in that takes its process with it where the picture is bright."""
    if frames.mean() > 230:
        os.kill(os.getpid(), signal.SIGSEGV)
    return 0.0


def hang(frames: np.ndarray) -> float:
    """A plug-in that never answers where the picture is bright."""
    if frames.mean() > 230:
        time.sleep(600)
    return 0.0


def brightness(picture: np.ndarray) -> float:
    """A plug-in per picture."""
    return float(picture.mean())
