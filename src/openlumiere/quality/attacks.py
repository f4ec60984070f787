"""What happens to clips on their way: codecs, sizes, rates, light, noise; each takes and gives
frames uint8 [f h w 3].
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from jaxtyping import UInt8
from PIL import Image

Frames = UInt8[np.ndarray, "_ _ _ 3"]
Attack = Callable[[Frames, np.random.Generator], Frames]

RATE = 16
BT709, LIMITED = 1, 1
CODECS = {  # encoder, decoder, options
    "h264": ("libx264", "h264", {"preset": "medium"}),
    "h265": ("libx265", "hevc", {"preset": "fast", "x265-params": "log-level=none:pools=1"}),
    "vp9": ("libvpx-vp9", "vp9", {"deadline": "good", "cpu-used": "5", "b": "0"}),
}


def coded(frames: Frames, codec: str, crf: int) -> Frames:
    """Through a codec and back, 4:2:0 at this quality; odd sizes lose a row or a column."""
    frames = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    encoder, decoder, options = CODECS[codec]
    write: Any = VideoCodecContext.create(encoder, "w")
    write.height, write.width = frames.shape[1:3]
    write.pix_fmt = "yuv420p"
    write.time_base = Fraction(1, RATE)
    write.framerate = Fraction(RATE)
    write.thread_count = 1
    write.colorspace = BT709
    write.color_range = LIMITED
    write.options = {**options, "crf": str(crf)}
    read: Any = VideoCodecContext.create(decoder, "r")
    packets = [
        packet for k, frame in enumerate(frames) for packet in write.encode(_as_yuv(frame, k))
    ]
    packets += write.encode()
    shown = [frame for packet in packets for frame in read.decode(packet)] + read.decode()
    return np.stack(
        [
            one.reformat(format="rgb24", src_colorspace=BT709, src_color_range=LIMITED).to_ndarray()
            for one in shown
        ]
    )


def _as_yuv(frame: np.ndarray, k: int) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    picture = picture.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED)
    picture.pts, picture.time_base = k, Fraction(1, RATE)
    return picture


def resized(
    frames: Frames, height: int, width: int, kernel: Image.Resampling = Image.Resampling.BICUBIC
) -> Frames:
    """To another size, by this kernel."""
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize((width, height), kernel)) for frame in frames]
    )


def halved(frames: Frames) -> Frames:
    """To half the size and back."""
    height, width = frames.shape[1:3]
    return resized(resized(frames, height // 2, width // 2), height, width)


def cropped(frames: Frames, draw: np.random.Generator, share: float = 0.7) -> Frames:
    """A window of `share` of each side, anywhere."""
    height, width = (round(share * side) for side in frames.shape[1:3])
    top, left = (
        draw.integers(frames.shape[1] - height + 1),
        draw.integers(frames.shape[2] - width + 1),
    )
    return frames[:, top : top + height, left : left + width]


def retimed(frames: Frames, rate: int) -> Frames:
    """The frames nearest to the moments of another rate."""
    count = round(len(frames) * rate / RATE)
    return frames[np.minimum(np.arange(count) * RATE // rate, len(frames) - 1)]


def dropped(frames: Frames, draw: np.random.Generator, share: float = 0.2) -> Frames:
    """Without a share of the frames, anywhere."""
    return frames[np.sort(draw.permutation(len(frames))[round(share * len(frames)) :])]


def leveled(frames: Frames, brightness: float = 1.0, contrast: float = 1.0) -> Frames:
    """Levels times `brightness`, then away from the middle by `contrast`."""
    return _levels((frames * np.float32(brightness) - 128) * np.float32(contrast) + 128)


def noisy(frames: Frames, draw: np.random.Generator, sigma: float = 5) -> Frames:
    """With normal noise of `sigma` levels."""
    return _levels(frames + sigma * draw.standard_normal(frames.shape, np.float32))


def _levels(frames: np.ndarray) -> Frames:
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def paletted(frames: Frames) -> Frames:
    """256 colours for the whole clip, no dithering, as `Clip.save` writes a gif."""
    palette = Image.fromarray(np.concatenate(list(frames))).quantize(256)
    return np.stack(
        [
            np.asarray(
                Image.fromarray(f)
                .quantize(palette=palette, dither=Image.Dither.NONE)
                .convert("RGB")
            )
            for f in frames
        ]
    )


def warped(frames: Frames, draw: np.random.Generator, most: float = 2.0) -> Frames:
    """Every place moved by up to `most` pixels, smoothly, by an amount drawn once for the clip:
    what synchronisation can't follow.
    """
    height, width = frames.shape[1:3]
    coarse = (
        Image.fromarray(draw.uniform(-most, most, (8, 8)).astype(np.float32)) for _ in range(2)
    )
    down, across = (
        np.asarray(moves.resize((width, height), Image.Resampling.BICUBIC)) for moves in coarse
    )
    rows = np.clip(np.rint(np.arange(height)[:, None] + down), 0, height - 1).astype(int)
    columns = np.clip(np.rint(np.arange(width) + across), 0, width - 1).astype(int)
    return frames[:, rows, columns]


def turned(frames: Frames, degrees: float) -> Frames:
    """Turned around the middle."""
    return np.stack(
        [
            np.asarray(Image.fromarray(frame).rotate(degrees, Image.Resampling.BICUBIC))
            for frame in frames
        ]
    )


ATTACKS: dict[str, Attack] = {
    "H.264 crf 23": lambda frames, draw: coded(frames, "h264", 23),
    "H.264 crf 28": lambda frames, draw: coded(frames, "h264", 28),
    "H.265 crf 28": lambda frames, draw: coded(frames, "h265", 28),
    "VP9 crf 32": lambda frames, draw: coded(frames, "vp9", 32),
    "half and back": lambda frames, draw: halved(frames),
    "crop to 70 %": lambda frames, draw: cropped(frames, draw),
    "12 fps, H.264 crf 23": lambda frames, draw: coded(retimed(frames, 12), "h264", 23),
    "24 fps, H.264 crf 23": lambda frames, draw: coded(retimed(frames, 24), "h264", 23),
    "20 % of frames dropped": lambda frames, draw: dropped(frames, draw),
    "brightness +-20 %": lambda frames, draw: leveled(frames, brightness=draw.choice([0.8, 1.2])),
    "contrast +-20 %": lambda frames, draw: leveled(frames, contrast=draw.choice([0.8, 1.2])),
    "noise, sigma 5": lambda frames, draw: noisy(frames, draw),
    "GIF palette": lambda frames, draw: paletted(frames),
    "crop to 70 %, H.264 crf 28": lambda frames, draw: coded(cropped(frames, draw), "h264", 28),
    "crop to 70 %, enlarged back, H.264 crf 23": lambda frames, draw: coded(
        resized(cropped(frames, draw), *frames.shape[1:3]), "h264", 23
    ),
    "half and back, H.264 crf 28": lambda frames, draw: coded(halved(frames), "h264", 28),
    "sent at half size, H.264 crf 28": lambda frames, draw: coded(
        resized(frames, *(side // 2 for side in frames.shape[1:3])), "h264", 28
    ),
    "H.265 crf 28, then H.264 crf 28": lambda frames, draw: coded(
        coded(frames, "h265", 28), "h264", 28
    ),
    "mirrored, H.264 crf 28": lambda frames, draw: coded(frames[:, :, ::-1], "h264", 28),
    "one frame of H.264 crf 28": lambda frames, draw: coded(frames, "h264", 28)[[len(frames) // 2]],
}

WINNING: dict[str, Attack] = {
    "warped by up to 2 pixels": lambda frames, draw: warped(frames, draw),
    "turned by 2 degrees": lambda frames, draw: turned(frames, 2),
    "a quarter and back": lambda frames, draw: resized(
        resized(frames, *(side // 4 for side in frames.shape[1:3])), *frames.shape[1:3]
    ),
    "H.264 crf 40": lambda frames, draw: coded(frames, "h264", 40),
}
"""Attacks expected to win."""
