"""Which reader a file gets, by its first bytes. Runs in the child process (`worker.py`)."""

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from openlumiere.media.blocks import is_animated_png
from openlumiere.media.frames import Decoded, FrameWriter
from openlumiere.media.limits import Limits, MediaError
from openlumiere.media.pillow import read_animation, read_avif, read_still
from openlumiere.media.video import read_video, read_video_sound

FOLDER_NOTE = "clip.json"
FOLDER_FPS = Fraction(16)
HEAD = 192 * 2 + 1
PICTURES = ("png", "jpeg", "bmp", "tiff", "ppm")
ANIMATIONS = ("gif", "webp", "avif")
FRAME_SUFFIXES = (".png", ".jpg", ".jpeg")
THUMBNAIL = re.compile(r"(?<![a-z])(thumb|thumbs|thumbnail|folder|albumart\w*)(?![a-z])", re.I)
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")
AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<?xml", b"<MPD", b"<smil", b"<asx", b"v=0")
STILLS = "png, jpeg, webp, gif, avif, bmp, tiff or ppm"
KNOWN = f"mp4, mov, webm, mkv, avi, mpeg-ts, ogg, {STILLS}"


def kind_of(head: bytes) -> str | None:
    """Our name of the format that starts with `head`, or None: nothing is tried out, so nothing
    else is ever opened.
    """
    starts = {
        "matroska": head.startswith(b"\x1a\x45\xdf\xa3"),
        "ogg": head.startswith(b"OggS"),
        "avi": head.startswith(b"RIFF") and head[8:12] == b"AVI ",
        "webp": head.startswith(b"RIFF") and head[8:12] == b"WEBP",
        "gif": head.startswith((b"GIF87a", b"GIF89a")),
        "png": head.startswith(b"\x89PNG\r\n\x1a\n"),
        "jpeg": head.startswith(b"\xff\xd8\xff"),
        "bmp": head.startswith(b"BM"),
        "tiff": head.startswith((b"II*\0", b"MM\0*")),
        "ppm": re.match(rb"P[4-6]\s", head) is not None,
        "avif": bool(brands(head) & set(AVIF_BRANDS)),
        "heic": head[8:12] in HEIC_BRANDS and head[4:8] == b"ftyp",
        "mov": head[4:8] in MP4_BOXES,
        "mpegts": any(
            len(head) > start + 2 * step and head[start::step][:3] == b"GGG"
            for start, step in ((0, 188), (4, 192))
        ),
    }
    return next((name for name, found in starts.items() if found), None)


def brands(head: bytes) -> set[bytes]:
    """What the first box of an mp4-like file calls it: its own brand and those it is compatible
    with.
    """
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[at : at + 4] for at in (8, *range(16, end, 4))}


def known_kind(path: Path) -> str:
    """The format of the regular file at `path`; `MediaError` for anything else."""
    if not path.is_file():
        raise MediaError("a regular file", str(path), "copy it to a file first")
    with open(path, "rb") as file:
        head = file.read(HEAD)
    kind = kind_of(head)
    if kind == "heic":
        got = f"the HEIC photograph {path.name}"
        raise MediaError(KNOWN, got, "save it as JPEG or PNG first")
    if kind is None:
        raise _unknown(path, head)
    return kind


def _unknown(path: Path, head: bytes) -> MediaError:
    if not head:
        return MediaError(KNOWN, f"an empty file ({path.name})", "convert it first")
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(PLAYLISTS):
        return MediaError(KNOWN, f"a playlist ({path.name})", "pass the media file itself")
    return MediaError(KNOWN, f"an unknown kind of file ({path.name})", "convert it first")


def read(path: Path, out: BinaryIO, limits: Limits, allow_partial: bool = False) -> Decoded:
    """Decode the clip at `path`; rgb24 or rgba frames go to `out` (open to read, too) one after
    another.
    """
    writer = FrameWriter(out, limits)
    if path.is_dir():
        return read_folder(path, writer)
    kind = known_kind(path)
    if kind == "avif":
        return read_avif(path, writer)
    if kind in ANIMATIONS or (kind == "png" and is_animated_png(path.read_bytes())):
        return read_animation(path, kind, writer, allow_partial)
    if kind in PICTURES:
        return read_still(path, kind, writer)
    return read_video(path, kind, writer, allow_partial)


def read_first_picture(path: Path, out: BinaryIO, limits: Limits) -> Decoded:
    """Decode the first frame of the picture at `path` to `out`."""
    kind = known_kind(path)
    if kind not in PICTURES + ANIMATIONS:
        raise MediaError(
            f"a picture ({STILLS})",
            f"a video ({path.name})",
            "use Clip.load and take a frame",
        )
    return read_still(path, kind, FrameWriter(out, limits))


def read_sound(path: Path, found: Decoded, out: Path) -> tuple[str | None, str]:
    """Keep the sound that belongs to the frames `found` in `path`, if any, in matroska file `out`:
    the name of its codec, and a word where there is sound that can't be kept.
    """
    if path.is_dir():
        return None, ""
    kind = known_kind(path)
    if kind in PICTURES + ANIMATIONS:
        return None, ""
    return read_video_sound(path, kind, found, out)


def read_folder(path: Path, writer: FrameWriter) -> Decoded:
    """The PNG and JPEG files of a folder in the order of the numbers in their names; 16 frames a
    second unless `clip.json` says.

    Hidden files and thumbnails are passed over. Links inside the folder are refused, since they may
    lead out of it.
    """
    files = frames_in(path, writer)
    fps, stated = _folder_note(path / FOLDER_NOTE, len(files))
    if not files or stated != len(files):
        raise MediaError(
            f"{stated or 'some'} PNG or JPEG frames",
            f"{len(files)} in {path.name}",
            "restore the missing frames",
        )
    for file in files:
        if file.is_symlink():
            raise MediaError(
                "frames that are files", f"the link {file.name}", "copy the picture into the folder"
            )
        read_still(file, known_kind(file), writer)
    return writer.done(fps)


def frames_in(folder: Path, writer: FrameWriter) -> list[Path]:
    """The files of a folder that are frames, in order."""
    visible = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in FRAME_SUFFIXES and not file.name.startswith(".")
    ]
    frames = [file for file in visible if not THUMBNAIL.search(file.stem)]
    if not frames:
        frames = visible
    if len(frames) < len(visible):
        writer.say(f"{len(visible) - len(frames)} thumbnails in the folder are passed over")
    return sorted(frames, key=_natural)


def _natural(file: Path) -> list[tuple[int, str]]:
    """Sort key by which frame_10 comes after frame_9; digits such as those raised are letters."""
    return [
        (int(part), "") if part.isdecimal() else (0, part)
        for part in re.split(r"(\d+)", file.stem[:255])
    ]


def _folder_note(note: Path, count: int) -> tuple[Fraction, int]:
    """Rate and count in `clip.json`, or 16 and `count` without one."""
    if not note.exists():
        return FOLDER_FPS, count
    try:
        said = json.loads(note.read_bytes()[:65536])
        return Fraction(str(said["fps"])[:32]), int(said["frames"])
    except (ValueError, KeyError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise MediaError(
            'clip.json like {"fps": "16", "frames": 80}', str(error), "mend it or remove it"
        ) from error
