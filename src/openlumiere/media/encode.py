"""Writing: which encoder a path gets, and the order of sealing, encoding, signing and renaming."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from openlumiere.media import alpha
from openlumiere.media.animation import write_apng, write_gif, write_webp
from openlumiere.media.limits import MediaError
from openlumiere.media.movie import write_mov, write_mp4, write_webm
from openlumiere.media.replace import (
    FOLDER_NOTE,
    check_companions,
    check_folder_of_frames,
    frame_name,
    ours_beside,
)
from openlumiere.media.sound import COPIED, Sound
from openlumiere.media.write import check_folder, write_beside

log = logging.getLogger("openlumiere")

KNOWN = (
    ".mp4, .webm, .mov, .gif, .webp, .apng, .png (one frame), "
    "or a path that ends in / (a folder of PNG frames)"
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What an encoder gets: `frames` uint8 [f, h, w, 3 or 4] at `fps`, already sealed."""

    frames: np.ndarray
    fps: Fraction
    audio: Sound | None
    lossless: bool


Encoder = Callable[[Path, Job], None]


def write_clip(
    clip, path: str | os.PathLike, lossless: bool, background: tuple[int, int, int]
) -> Path:
    """Seal, encode, sign and rename, in this order; see `Clip.save`."""
    target = Path(path)
    encode = _encoder(os.fspath(path), target, lossless, clip.frames)
    if getattr(clip.origin, "writes_record", False):
        _check_beside(path)
    shown = _for_format(clip.frames, target, background)
    frames = shown if clip.origin is None else _sealed(clip, shown)
    job = Job(frames=frames, fps=clip.fps, audio=_audible(clip, target), lossless=lossless)

    def fill(temporary: Path) -> None:
        encode(temporary, job)
        if clip.origin is not None:
            clip.origin.sign(temporary)

    stale = ours_beside(target)
    write_beside(target, fill)
    for file, inode in stale.items():
        if file.stat().st_ino == inode:
            file.unlink()
    return target


def _for_format(frames: np.ndarray, target: Path, background: tuple[int, int, int]) -> np.ndarray:
    """The frames as the format can hold them: mp4 knows no alpha."""
    if frames.shape[3] == 3 or target.suffix.lower() not in OPAQUE_FORMATS:
        return frames
    if alpha.is_opaque(frames):
        return frames[..., :3]
    colour = "#{:02x}{:02x}{:02x}".format(*background)
    log.warning("%s has no transparency: composited over %s", target.name, colour)
    return alpha.over(frames, background)


def _audible(clip, target: Path) -> Sound | None:
    """The clip's sound, where the format has a place for it."""
    if clip.audio is None or target.suffix.lower() in COPIED:
        return clip.audio
    log.warning("%s: the format holds no sound, which is left out", target.name or target)
    return None


def check_output(
    path: str | os.PathLike,
    lossless: bool = False,
    frames: int = 1,
    previews: Sequence[str] = (),
) -> None:
    """Raise `MediaError` now where `Clip.save` would at the end: an extension, a folder or an
    option that can't be written, a file in the way of what is written beside (`previews` are the
    endings of pictures that will be).
    """
    target = Path(path)
    _encoder(os.fspath(path), target, lossless, np.empty((frames, 1, 1, 3), np.uint8))
    _check_beside(path, previews)


def check_ending(path: str | os.PathLike) -> None:
    """Raise `MediaError` for the path of a file that no clip can be written to, by its ending."""
    suffix = Path(path).suffix.lower()
    if suffix not in ENCODERS:
        raise MediaError(f"one of {KNOWN}", suffix or "no extension", "change the output path")


def _check_beside(path: str | os.PathLike, previews: Sequence[str] = ()) -> None:
    target = Path(path)
    check_folder(target.parent)
    check_companions(target, previews, folder=os.fspath(path).endswith(("/", os.sep)))


def _encoder(text: str, target: Path, lossless: bool, frames: np.ndarray) -> Encoder:
    """The function that writes this path, or `MediaError` for one that can't be written."""
    if text.endswith(("/", os.sep)):
        return _checked_folder(target)
    suffix = target.suffix.lower()
    check_ending(target)
    if os.path.isdir(target):
        raise MediaError(
            f"a file name ending in {suffix}", f"the folder {target}", "choose another name"
        )
    if suffix == ".gif" and lossless:
        raise MediaError(
            "lossless with mp4, webm, mov, webp, apng, png or a folder",
            "gif, which holds 256 colours",
            "choose one of those",
        )
    if suffix == ".webm" and lossless and frames.shape[3] == 4:
        raise MediaError(
            "lossless with alpha in webp, apng, mov, png or a folder",
            "webm, which keeps colours beside alpha at half resolution",
            "choose one of those",
        )
    if suffix == ".png" and len(frames) != 1:
        raise MediaError(
            "one frame for a png",
            str(len(frames)),
            'choose .apng, or end the path in "/" for a folder of PNG frames',
        )
    return ENCODERS[suffix]


def _checked_folder(target: Path) -> Encoder:
    """Only a folder of frames, or an empty one, may be replaced."""
    check_folder_of_frames(target)
    return write_folder


def _sealed(clip, frames: np.ndarray) -> np.ndarray:
    """The marked frames of a generated clip."""
    sealed = clip.origin.seal(frames)
    if sealed.shape != frames.shape or sealed.dtype != np.uint8:
        raise MediaError(
            f"sealed frames uint8 {frames.shape}",
            f"{sealed.dtype} {sealed.shape}",
            "fix the clip's origin",
        )
    return sealed


def write_png(path: Path, job: Job) -> None:
    """A still: the only frame."""
    software = PngInfo()
    software.add_text("Software", "openlumiere")
    Image.fromarray(job.frames[0]).save(path, "PNG", pnginfo=software)


def write_folder(path: Path, job: Job) -> None:
    """frame_00000.png and so on, and `clip.json` with the rate and the count; no sound."""
    path.mkdir()
    for index, frame in enumerate(job.frames):
        Image.fromarray(frame).save(path / frame_name(index), "PNG")
    note = {"fps": str(job.fps), "frames": len(job.frames)}
    (path / FOLDER_NOTE).write_text(json.dumps(note) + "\n")


def _video(write: Callable[..., None]) -> Encoder:
    return lambda path, job: write(path, job.frames, job.fps, job.audio, job.lossless)


def _pictures(write: Callable[..., None]) -> Encoder:
    return lambda path, job: write(path, job.frames, job.fps, job.lossless)


ENCODERS: dict[str, Encoder] = {
    ".mp4": _video(write_mp4),
    ".webm": _video(write_webm),
    ".mov": _video(write_mov),
    ".gif": _pictures(write_gif),
    ".webp": _pictures(write_webp),
    ".apng": _pictures(write_apng),
    ".png": write_png,
}
OPAQUE_FORMATS = (".mp4",)
