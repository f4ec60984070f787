"""Writing: one encoder a format, chosen by extension."""

import io
import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from openlumiere.media.child import encode_sound
from openlumiere.media.limits import MediaError
from openlumiere.media.sound import Sound, SoundTrack
from openlumiere.media.timing import Note, cumulative_ticks, runs
from openlumiere.media.write import check_folder, write_beside

THREADS = 4  # fixed, since the encoders' bytes depend on it
BT709 = 1
LIMITED_RANGE = 1
FOLDER_NOTE = "clip.json"
COMPANIONS = {
    ".json": b"replay",
    ".provenance.json": b"claim",
}  # what an origin may write beside a clip, and its first key
KNOWN = (
    ".mp4, .webm, .gif, .webp, .png (one frame), or a path that ends in / (a folder of PNG frames)"
)


def write_clip(clip, path: str | os.PathLike, lossless: bool) -> Path:
    """Seal, encode, sign and rename, in this order; see `Clip.save`."""
    target = Path(path)
    encode = _encoder(os.fspath(path), target, lossless, len(clip.frames))
    frames = clip.frames if clip.origin is None else _sealed(clip)

    def fill(temporary: Path) -> None:
        encode(temporary, frames, clip.fps, clip.audio, lossless)
        if clip.origin is not None:
            clip.origin.sign(temporary)

    stale = _companions(target)
    write_beside(target, fill)
    for file, inode in stale.items():
        if file.stat().st_ino == inode:
            file.unlink()
    return target


def _companions(target: Path) -> dict[Path, int]:
    """What an origin wrote beside a file that is about to be replaced, by inode: it speaks of that
    file and of no other.
    """
    beside = (
        {target.with_name(target.name + end): first for end, first in COMPANIONS.items()}
        if os.path.exists(target)
        else {}
    )
    return {
        file: file.stat().st_ino
        for file, first in beside.items()
        if file.is_file() and _begins(file, first)
    }


def _begins(file: Path, key: bytes) -> bool:
    with open(file, "rb") as content:
        return content.read(20).strip(b'{"\n ').startswith(key)


def check_output(path: str | os.PathLike, lossless: bool = False, frames: int = 1) -> None:
    """Raise `MediaError` now where `Clip.save` would at the end: an extension, a folder or an
    option that can't be written.
    """
    target = Path(path)
    _encoder(os.fspath(path), target, lossless, frames)
    check_folder(target.parent)


def _encoder(text: str, target: Path, lossless: bool, count: int):
    """The function that writes this path, or `MediaError` for one that can't be written."""
    if text.endswith(("/", os.sep)):
        return _checked_folder(target)
    suffix = target.suffix.lower()
    if suffix not in ENCODERS:
        raise MediaError(f"one of {KNOWN}", suffix or "no extension", "change the output path")
    if os.path.isdir(target):
        raise MediaError(
            f"a file name ending in {suffix}", f"the folder {target}", "choose another name"
        )
    if suffix == ".gif" and lossless:
        raise MediaError(
            "lossless with mp4, webm, webp, png or a folder",
            "gif, which holds 256 colours",
            "choose one of those",
        )
    if suffix == ".png" and count != 1:
        raise MediaError(
            "one frame for a png", str(count), 'end the path in "/" for a folder of PNG frames'
        )
    return ENCODERS[suffix]


def _checked_folder(target: Path):
    """Only a folder of frames, or an empty one, may be replaced."""
    inside = {file.name for file in target.iterdir()} if os.path.isdir(target) else set()
    if os.path.isfile(target) or (inside and FOLDER_NOTE not in inside):
        raise MediaError(
            "a new, empty or earlier folder of frames", str(target), "choose another name"
        )
    return write_folder


def _sealed(clip) -> np.ndarray:
    """The marked frames of a made clip."""
    sealed = clip.origin.seal(clip.frames)
    if sealed.shape != clip.frames.shape or sealed.dtype != np.uint8:
        raise MediaError(
            f"sealed frames uint8 {clip.frames.shape}",
            f"{sealed.dtype} {sealed.shape}",
            "fix the clip's origin",
        )
    return sealed


def _note(frames: np.ndarray, fps: Fraction) -> str:
    return str(Note(len(frames), fps, *frames.shape[1:3]))


def write_mp4(
    path: Path, frames: np.ndarray, fps: Fraction, audio: Sound | None, lossless: bool
) -> None:
    """H.264: yuv420p at crf 16, odd sizes padded to even by repeating the edge (the note inside
    lets `Clip.load` cut it off).
    """
    if lossless:
        _write_video(
            path, frames, fps, audio, "libx264rgb", "rgb24", {"qp": "0", "preset": "medium"}
        )
    else:
        _write_video(
            path,
            frames,
            fps,
            audio,
            "libx264",
            "yuv420p",
            {"crf": "16", "preset": "medium"},
            even=True,
        )


def write_webm(
    path: Path, frames: np.ndarray, fps: Fraction, audio: Sound | None, lossless: bool
) -> None:
    """VP9, which takes any size as it is; lossless in rgb."""
    options = {"deadline": "good", "cpu-used": "4", "row-mt": "0", "b": "0"}
    if lossless:
        _write_video(path, frames, fps, audio, "libvpx-vp9", "gbrp", options | {"lossless": "1"})
    else:
        _write_video(path, frames, fps, audio, "libvpx-vp9", "yuv420p", options | {"crf": "20"})


def _write_video(
    path: Path,
    frames: np.ndarray,
    fps: Fraction,
    audio: Sound | None,
    codec: str,
    pixels: str,
    options: dict[str, str],
    even: bool = False,
) -> None:
    settings = {"fflags": "+bitexact"} | (
        {"movflags": "+faststart"} if path.suffix.lower() == ".mp4" else {}
    )
    with av.open(str(path), "w", options=settings) as container:
        container.metadata["comment"] = _note(frames, fps)
        stream = container.add_stream(codec, rate=fps, options=options)
        padding = (
            ((0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)) if even else ((0, 0),) * 3
        )
        _set_picture(stream.codec_context, np.pad(frames[0], padding), fps, pixels)
        track = audio and SoundTrack(
            encode_sound(audio, path.suffix.lower()), container, len(frames) / fps
        )
        if track:
            track.copy()
        for k, frame in enumerate(frames):
            container.mux(
                stream.encode(_video_frame(np.pad(frame, padding, "edge"), k, fps, pixels))
            )
        container.mux(stream.encode())


def _set_picture(codec, frame: np.ndarray, fps: Fraction, pixels: str) -> None:
    codec.height, codec.width = frame.shape[:2]
    codec.pix_fmt, codec.time_base, codec.thread_count = pixels, 1 / fps, THREADS
    if pixels == "yuv420p":
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = LIMITED_RANGE


def _video_frame(frame: np.ndarray, k: int, fps: Fraction, pixels: str) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    if pixels == "yuv420p":
        picture = picture.reformat(
            format=pixels,
            dst_colorspace=BT709,
            dst_color_range=LIMITED_RANGE,
            interpolation="BICUBIC",
        )
    picture.pts, picture.time_base = k, 1 / fps
    return picture


def write_gif(
    path: Path, frames: np.ndarray, fps: Fraction, audio: Sound | None, lossless: bool
) -> None:
    """One palette of 256 colours for the whole clip, no dithering, since both would flicker
    otherwise; no sound.
    """
    kept, durations = _shown(frames, fps, 100, "gif")
    sample = frames[np.linspace(0, len(frames) - 1, min(16, len(frames))).round().astype(int)]
    palette = Image.fromarray(np.concatenate(list(sample))).quantize(256)
    pictures = [
        Image.fromarray(frames[k]).quantize(palette=palette, dither=Image.Dither.NONE) for k in kept
    ]
    durations = [10 * duration for duration in durations]
    comment = _note(frames, fps).encode()
    _save_animation(
        path, "GIF", pictures, duration=durations, loop=0, comment=comment, optimize=False
    )


def write_webp(
    path: Path, frames: np.ndarray, fps: Fraction, audio: Sound | None, lossless: bool
) -> None:
    """Animated WebP that repeats for ever; no sound."""
    kept, durations = _shown(frames, fps, 1000, "webp")
    pictures = [Image.fromarray(frames[k]) for k in kept]
    xmp = _note(frames, fps).encode()
    _save_animation(
        path,
        "WEBP",
        pictures,
        duration=durations,
        loop=0,
        xmp=xmp,
        lossless=lossless,
        quality=90,
        method=4,
    )


def _shown(
    frames: np.ndarray, fps: Fraction, per_second: int, name: str
) -> tuple[list[int], list[int]]:
    """Indices of the frames that differ from the one before, and how many ticks each stays on the
    screen.
    """
    if fps > per_second:
        raise MediaError(
            f"at most {per_second} frames a second in a {name}", str(fps), "choose mp4 or webm"
        )
    ticks, kept = cumulative_ticks(len(frames), fps, per_second), runs(frames)
    edges = [ticks[k] for k in kept] + [ticks[-1]]
    stays = [b - a for a, b in zip(edges, edges[1:], strict=False)]
    if max(stays) >= 2**16:
        raise MediaError(
            f"no still longer than {2**16 // per_second} s in a {name}",
            f"{max(stays) // per_second} s",
            "choose mp4",
        )
    return kept, stays


def _save_animation(path: Path, kind: str, pictures: list[Image.Image], **settings) -> None:
    first, *rest = pictures
    made = io.BytesIO()
    if len(pictures) == 1:
        settings["duration"] = settings["duration"][0]
    first.save(made, kind, save_all=True, append_images=rest, **settings)
    path.write_bytes(made.getvalue())


def write_png(
    path: Path, frames: np.ndarray, fps: Fraction, audio: Sound | None, lossless: bool
) -> None:
    """A still: the only frame."""
    Image.fromarray(frames[0]).save(path, "PNG")


def write_folder(
    path: Path, frames: np.ndarray, fps: Fraction, audio: Sound | None, lossless: bool
) -> None:
    """frame_00000.png and so on, and `clip.json` with the rate and the count; no sound."""
    path.mkdir()
    for k, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"frame_{k:05d}.png", "PNG")
    (path / FOLDER_NOTE).write_text(json.dumps({"fps": str(fps), "frames": len(frames)}) + "\n")


ENCODERS = {
    ".mp4": write_mp4,
    ".webm": write_webm,
    ".gif": write_gif,
    ".webp": write_webp,
    ".png": write_png,
}
