"""Videos written through FFmpeg's encoders: mp4, webm and mov."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from openlumiere.media.alpha import bled
from openlumiere.media.child import encode_sound
from openlumiere.media.sound import Sound, SoundTrack
from openlumiere.media.timing import Note

THREADS = 4  # fixed, since the encoders' bytes depend on it
BT709 = 1
LIMITED_RANGE = 1
YUV = ("yuv420p", "yuva420p", "yuv444p10le", "yuva444p10le")
HALF_COLOUR = "yuva420p"  # colours at half resolution: transparent pixels beside a shape count
TEN_BIT_ALPHA = "yuva444p10le"
NO_PADDING = ((0, 0),) * 3
VP9 = {"deadline": "good", "cpu-used": "4", "row-mt": "0", "b": "0"}
FAST_START = (".mp4", ".mov")


def _x264() -> dict[str, str]:
    """x264's preset, without its AVX-512 code: with it one file in 400 came out with other bytes on
    a busy machine (16 of 6,900; without it none of 2,900, written 1.4 times as fast).
    """
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    has_avx512 = any(name.startswith(("AVX512", "X86_V4")) for name in found)
    return {"preset": "medium"} | ({"x264-params": "asm=AVX2"} if has_avx512 else {})


X264 = _x264()


def write_mp4(
    path: Path, frames: np.ndarray, fps: Fraction, audio: Sound | None, lossless: bool
) -> None:
    """H.264: yuv420p at crf 16, odd sizes padded to even by repeating the edge (the note inside
    lets `Clip.load` cut it off).
    """
    if lossless:
        options = X264 | {"qp": "0"}
        write_video(path, frames, fps, audio, "libx264rgb", "rgb24", options)
    else:
        options = X264 | {"crf": "16"}
        write_video(path, frames, fps, audio, "libx264", "yuv420p", options, even=True)


def write_webm(
    path: Path, frames: np.ndarray, fps: Fraction, audio: Sound | None, lossless: bool
) -> None:
    """VP9, which takes any size as it is; lossless in rgb. Alpha is a second, compressed stream."""
    if frames.shape[3] == 4:
        options = VP9 | {"crf": "20", "auto-alt-ref": "0"}
        write_video(path, frames, fps, audio, "libvpx-vp9", "yuva420p", options)
    elif lossless:
        write_video(path, frames, fps, audio, "libvpx-vp9", "gbrp", VP9 | {"lossless": "1"})
    else:
        write_video(path, frames, fps, audio, "libvpx-vp9", "yuv420p", VP9 | {"crf": "20"})


def write_mov(
    path: Path, frames: np.ndarray, fps: Fraction, audio: Sound | None, lossless: bool
) -> None:
    """ProRes 4444, whose alpha is exact; lossless: QuickTime animation."""
    has_alpha = frames.shape[3] == 4
    if lossless:
        write_video(path, frames, fps, audio, "qtrle", "argb" if has_alpha else "rgb24", {})
        return
    options = {"profile": "4444", "alpha_bits": "8" if has_alpha else "0"}
    pixels = "yuva444p10le" if has_alpha else "yuv444p10le"
    write_video(path, frames, fps, audio, "prores_ks", pixels, options)


def write_video(
    path: Path,
    frames: np.ndarray,
    fps: Fraction,
    audio: Sound | None,
    codec: str,
    pixels: str,
    options: dict[str, str],
    even: bool = False,
    bleed: bool = True,
) -> None:
    """Encode uint8 `frames` [f, h, w, 3 or 4] with `codec` in the pixel format `pixels`; `even`
    pads odd sides. Without `bleed` colours of transparent pixels are taken as they are.
    """
    suffix = path.suffix.lower()
    settings = {"fflags": "+bitexact"}
    if suffix in FAST_START:
        settings["movflags"] = "+faststart"
    with av.open(str(path), "w", options=settings) as container:
        container.metadata["comment"] = str(Note(len(frames), fps, *frames.shape[1:3]))
        stream = cast(av.VideoStream, container.add_stream(codec, rate=fps, options=options))
        padding = NO_PADDING
        if even:
            padding = ((0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0))
        _set_picture(stream, np.pad(frames[0], padding), fps, pixels)
        track = audio and SoundTrack(encode_sound(audio, suffix), container, len(frames) / fps)
        if track:
            track.copy()
        for index, frame in enumerate(frames):
            picture = np.pad(frame, padding, "edge")
            if bleed and pixels == HALF_COLOUR:
                picture = bled(picture)
            container.mux(stream.encode(_video_frame(picture, index, fps, pixels)))
        container.mux(stream.encode())


def _set_picture(stream: av.VideoStream, frame: np.ndarray, fps: Fraction, pixels: str) -> None:
    codec = stream.codec_context
    codec.height, codec.width = frame.shape[:2]
    codec.pix_fmt = pixels
    codec.time_base = 1 / fps
    codec.thread_count = THREADS
    if pixels == HALF_COLOUR:
        stream.metadata["alpha_mode"] = "1"
    if pixels in YUV:
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = LIMITED_RANGE


def _video_frame(frame: np.ndarray, index: int, fps: Fraction, pixels: str) -> av.VideoFrame:
    layout = "rgba" if frame.shape[2] == 4 else "rgb24"
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=layout)
    if pixels in YUV:
        picture = picture.reformat(
            format=pixels,
            dst_colorspace=BT709,
            dst_color_range=LIMITED_RANGE,
            interpolation="BICUBIC",
        )
    if pixels == TEN_BIT_ALPHA:
        _set_alpha(picture, frame[..., 3])
    picture.pts, picture.time_base = index, 1 / fps
    return picture


def _set_alpha(picture: av.VideoFrame, alpha: np.ndarray) -> None:
    """Put uint8 `alpha` [h, w] into a plane of 10 bits such that its upper 8 are exact, which
    FFmpeg's own scaling doesn't promise.
    """
    plane = picture.planes[3]
    rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
    wide = alpha.astype(np.uint16)
    rows[:, : alpha.shape[1]] = (wide << 2) | (wide >> 6)
    plane.update(rows.tobytes())
