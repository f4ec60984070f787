"""Pictures and picture animations through Pillow, checked against what their own blocks say."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from openlumiere.media.blocks import Blocks, gif_blocks, mended_webp, png_blocks, webp_blocks
from openlumiere.media.frames import Decoded, FrameWriter
from openlumiere.media.limits import KEEP_PART, Limits, MediaError
from openlumiere.media.pixels import from_pillow
from openlumiere.media.timing import Note, cumulative_ticks, steady_rate

WALKS = {"gif": gif_blocks, "webp": webp_blocks, "png": png_blocks}
CLOCKS = {"gif": 100, "webp": 1000, "png": 1000}  # ticks a second that we write with
STILL_FPS = Fraction(16)
MILLISECONDS = 1000
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
            source = path if data is None else io.BytesIO(data)
            with Image.open(source, formats=[kind.upper()]) as picture:
                limits.check(1, picture.height, picture.width)
                yield picture
        except (MediaError, MemoryError):
            raise
        except Exception as error:  # Pillow lets struct, zlib, index and many other errors through
            reason = str(error) or type(error).__name__
            raise MediaError(
                f"a whole {kind}", f"{path.name}: {reason}", "save or download it again"
            ) from error


def read_still(path: Path, kind: str, writer: FrameWriter) -> Decoded:
    """The first frame, upright and in sRGB (`from_pillow`)."""
    with opened(path, kind, writer.limits) as picture:
        writer.write(from_pillow(picture, writer.say))
        return writer.done(STILL_FPS)


def read_animation(path: Path, kind: str, writer: FrameWriter, allow_partial: bool) -> Decoded:
    """All frames of a gif, webp or png, those merged on writing restored from their times."""
    data = path.read_bytes()
    blocks = WALKS[kind](data)
    writer.limits.check(blocks.frames, blocks.height, blocks.width)
    if not blocks.whole and not allow_partial:
        second = sum(blocks.stays) / blocks.per_second
        got = f"{path.name}, which breaks at second {second:.2f}, after {blocks.frames} frames"
        raise MediaError(f"a whole {kind}", got, KEEP_PART)
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
    note = believed(blocks, CLOCKS[kind], allow_partial)
    return writer.done(*constant_rate(blocks.stays[: writer.count], blocks.per_second, note))


def _write_frames(picture: Image.Image, writer: FrameWriter, blocks: Blocks) -> None:
    for index in range(blocks.hidden, blocks.hidden + blocks.frames):
        picture.seek(index)
        writer.write(from_pillow(picture, writer.say))


def read_avif(path: Path, writer: FrameWriter) -> Decoded:
    """All frames of an avif picture or sequence, at the times that it says."""
    with opened(path, "avif", writer.limits) as picture:
        frames = getattr(picture, "n_frames", 1)
        writer.limits.check(frames, picture.height, picture.width)
        stays = []
        for index in range(frames):
            picture.seek(index)
            writer.write(from_pillow(picture, writer.say))
            stays.append(round(picture.info.get("duration", 0)))
    return writer.done(*constant_rate(stays, MILLISECONDS, None))


def believed(blocks: Blocks, clock: int, allow_partial: bool) -> Note | None:
    """Our note, where the pictures last as long as it says (one picture alone has no times).

    A note that is damaged or disagrees is an error, or None with `allow_partial`.
    """
    note = Note.find(blocks.comment)
    if note is None and not blocks.comment.startswith(Note.MARK):
        return None
    if note and (blocks.frames == 1 or _agrees(note, blocks, clock)):
        return note
    if allow_partial:
        return None
    expected = "a whole note of the frames"
    if note:
        expected = f"{note.frames} frames at {note.fps} a second as the file's note says"
    raise MediaError(expected, "something else", KEEP_PART)


def _agrees(note: Note, blocks: Blocks, clock: int) -> bool:
    """Whether the pictures last as long as a note says, rounded to the ticks of `clock`."""
    said = cumulative_ticks(note.frames, note.fps, clock)[-1]
    return Fraction(said, clock) == Fraction(sum(blocks.stays), blocks.per_second)


def constant_rate(
    stays: list[int], per_second: int, note: Note | None
) -> tuple[Fraction, list[int] | None, int]:
    """Rate, places and count of frames that stay `stays` ticks each; a `note` has the last word."""
    starts = np.cumsum([0, *stays]).tolist()
    if note:
        places = [round(start * note.fps / per_second) for start in starts[:-1]]
        return note.fps, places, note.frames
    if len(stays) == 1:
        return STILL_FPS, None, 1
    seconds = [
        Fraction(stay, per_second) if stay * 100 > per_second else BROWSER_PAUSE for stay in stays
    ]
    times = np.cumsum([Fraction(0), *seconds]).tolist()
    fps, on_grid = steady_rate(times[:-1], Fraction(1, per_second))
    return fps, on_grid, max(on_grid[-1] + 1, round(times[-1] * fps))
