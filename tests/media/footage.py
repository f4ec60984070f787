"""Footage for the tests of `media`, and how they read it."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from openlumiere.media import Clip, MediaError, decode
from openlumiere.media.limits import STANDARD

SUFFIXES = (".mp4", ".webm", ".gif", ".webp")
RATES = (
    Fraction(12),
    Fraction(15),
    Fraction(16),
    Fraction(24),
    Fraction(25),
    Fraction(30),
    Fraction(24000, 1001),
    Fraction(30000, 1001),
)


def moving(count=12, height=48, width=64):
    """Smooth frames [f, h, w, 3] of which each second one repeats the one before."""
    y, x = np.mgrid[:height, :width]
    different = [
        np.stack([(x * 2 + 8 * k) % 256, (y * 3 + 5 * k) % 256, 0 * x + 9 * k], -1)
        for k in range((count + 1) // 2)
    ]
    return np.stack(different).astype(np.uint8).repeat(2, 0)[:count]


def flat(colour, count=6, height=32, width=48):
    return np.broadcast_to(np.uint8(colour), (count, height, width, 3)).copy()


def read_here(path, allow_partial=False, limits=STANDARD):
    """What the child process does, in this one, for speed: the clip and how many frames the file
    held.
    """
    out = io.BytesIO()
    found = decode.read(Path(path), out, limits, allow_partial)
    frames = np.frombuffer(out.getvalue(), np.uint8).reshape(
        -1, found.height, found.width, found.channels
    )
    assert len(frames) == found.stored
    return Clip(frames if found.order is None else frames[found.order], found.fps), found.stored


def error_of(path, **settings):
    """The one line that reading `path` ends in."""
    with pytest.raises(MediaError) as caught:
        read_here(path, **settings)
    line = str(caught.value)
    assert line.startswith("expected ") and ", got " in line and "; " in line and line.isprintable()
    return line


def encode(
    path,
    frames,
    codec="libx264",
    pixels="yuv420p",
    times=None,
    rate=16,
    options=None,
    tune=None,
    **settings,
):
    """A foreign video, straight from the encoder."""
    with av.open(str(path), "w", **settings) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.time_base = Fraction(1, 1000) if times else 1 / Fraction(rate)
        if tune:
            tune(stream)
        for k, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(
                frame, format="rgb24" if frame.shape[-1] == 3 else "rgba"
            )
            picture.pts = times[k] if times else k
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def far(one, other):
    """Mean distance in levels."""
    return np.abs(one.astype(int) - other).mean()


def see_through(count=5, height=48, width=64, seed=0):
    """A disc that moves, its rim half transparent, noise below: RGBA frames [f, h, w, 4]."""
    y, x = np.mgrid[:height, :width]
    frames = np.empty((count, height, width, 4), np.uint8)
    frames[..., :3] = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3))
    for k, frame in enumerate(frames):
        away = np.hypot(y - height / 2, x - width / 3 - 2 * k)
        frame[..., 3] = ((height / 3 - away) * 32).clip(0, 255)
    return frames


def calm(frames):
    """The same alpha over one slowly changing colour, which every encoder keeps well."""
    frames = frames.copy()
    for k, frame in enumerate(frames):
        frame[..., :3] = (200, 90 + 4 * k, 40)
    return frames
