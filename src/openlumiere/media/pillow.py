"""Pictures and picture animations through Pillow, checked against what their own blocks say."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from openlumiere.media.blocks import Blocks, gif_blocks, mended_webp, webp_blocks
from openlumiere.media.frames import Decoded, FrameWriter
from openlumiere.media.limits import Limits, MediaError
from openlumiere.media.timing import Note, cumulative_ticks, steady_rate

PER_SECOND = {"gif": 100, "webp": 1000}
STILL_FPS = Fraction(16)
BROWSER_PAUSE = Fraction(1, 10)  # what browsers make of a frame that is to stay 0 or 0.01 s


@contextmanager
def opened(
    path: Path, kind: str, limits: Limits, data: bytes | None = None
) -> Iterator[Image.Image]:
    """The picture at `path` (or in `data`), only as `kind`, its size within `limits` before a pixel
    is decoded.

    Whatever Pillow fails with becomes `MediaError`.
    """
    Image.MAX_IMAGE_PIXELS = limits.pixels
    with warnings.catch_warnings(action="ignore"):
        try:
            with Image.open(
                path if data is None else io.BytesIO(data), formats=[kind.upper()]
            ) as picture:
                limits.check(1, picture.height, picture.width)
                yield picture
        except (MediaError, MemoryError):
            raise
        except Exception as error:  # Pillow lets struct, zlib, index and many other errors through
            reason = str(error) or type(error).__name__
            raise MediaError(
                f"a whole {kind}", f"{path.name}: {reason}", "save or download it again"
            ) from error


def to_rgb(picture: Image.Image) -> np.ndarray:
    """uint8 [h, w, 3] of any mode: 16 and 32 bit grey by its upper 8 of 16 bits, floats from 0 to
    1, alpha over white.
    """
    if picture.mode.startswith("I"):
        grey = np.clip(np.asarray(picture).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        picture = Image.fromarray(grey)
    if picture.mode == "F":
        grey = np.nan_to_num(np.asarray(picture), nan=0.0).clip(0, 1)
        picture = Image.fromarray((grey * 255).round().astype(np.uint8))
    if picture.has_transparency_data or picture.mode in ("La", "RGBa"):
        colour = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return np.asarray(picture.convert("RGB"))


def read_still(path: Path, kind: str, writer: FrameWriter) -> Decoded:
    """The first frame, turned as its EXIF data says."""
    with opened(path, kind, writer.limits) as picture:
        picture.load()
        writer.write(to_rgb(ImageOps.exif_transpose(picture)))
        return writer.done(STILL_FPS)


def read_animation(path: Path, kind: str, writer: FrameWriter, allow_partial: bool) -> Decoded:
    """All frames of a gif or webp, those merged on writing restored from their times."""
    data = path.read_bytes()
    blocks = gif_blocks(data) if kind == "gif" else webp_blocks(data)
    writer.limits.check(blocks.frames, blocks.height, blocks.width)
    if not blocks.whole and not allow_partial:
        second = sum(blocks.stays) / PER_SECOND[kind]
        got = f"{path.name}, which breaks at second {second:.2f}, after {blocks.frames} frames"
        raise MediaError(f"a whole {kind}", got, "pass allow_partial=True to keep those")
    if kind == "webp" and not blocks.whole:
        data = mended_webp(data, blocks)
    try:
        with opened(path, kind, writer.limits, data) as picture:
            _write_frames(picture, writer, blocks)
    except MediaError:
        if not (allow_partial and writer.count):
            raise
    if writer.count != blocks.frames and not allow_partial:
        raise MediaError(
            f"{blocks.frames} frames as the file's blocks say",
            f"{writer.count}",
            "save or download it again",
        )
    note = believed(blocks, PER_SECOND[kind], allow_partial)
    return writer.done(*constant_rate(blocks.stays[: writer.count], PER_SECOND[kind], note))


def _write_frames(picture: Image.Image, writer: FrameWriter, blocks: Blocks) -> None:
    for k in range(blocks.frames):
        picture.seek(k)
        writer.write(to_rgb(picture))


def believed(blocks: Blocks, per_second: int, allow_partial: bool) -> Note | None:
    """Our note, where the pictures last as long as it says (one picture alone has no times).

    A note that is damaged or disagrees is an error, or None with `allow_partial`.
    """
    note = Note.find(blocks.comment)
    if note is None and not blocks.comment.startswith(Note.MARK):
        return None
    if note and (
        blocks.frames == 1
        or cumulative_ticks(note.frames, note.fps, per_second)[-1] == sum(blocks.stays)
    ):
        return note
    if allow_partial:
        return None
    said = (
        f"{note.frames} frames at {note.fps} a second as the file's note says"
        if note
        else "a whole note of the frames"
    )
    raise MediaError(said, "something else", "pass allow_partial=True to go by the pictures alone")


def constant_rate(
    stays: list[int], per_second: int, note: Note | None
) -> tuple[Fraction, list[int] | None, int]:
    """Rate, places and count of frames that stay `stays` ticks each; a `note` has the last word."""
    starts = np.cumsum([0, *stays]).tolist()
    if note:
        return (
            note.fps,
            [round(start * note.fps / per_second) for start in starts[:-1]],
            note.frames,
        )
    if len(stays) == 1:
        return STILL_FPS, None, 1
    seconds = [
        Fraction(stay, per_second) if stay * 100 > per_second else BROWSER_PAUSE for stay in stays
    ]
    times = np.cumsum([Fraction(0), *seconds]).tolist()
    fps, on_grid = steady_rate(times[:-1], Fraction(1, per_second))
    return fps, on_grid, max(on_grid[-1] + 1, round(times[-1] * fps))
