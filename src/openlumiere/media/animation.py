"""Picture animations written through Pillow: gif, webp and apng."""

import io
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from openlumiere.media.alpha import VISIBLE
from openlumiere.media.limits import MediaError
from openlumiere.media.timing import Note, cumulative_ticks, runs

MILLISECONDS = 1000
HUNDREDTHS = 100
SAMPLE = 16  # frames that a clip's palette is drawn from
COLOURS = 256


def note_of(frames: np.ndarray, fps: Fraction) -> str:
    """Count, rate and size, as `Clip.load` finds them again."""
    return str(Note(len(frames), fps, *frames.shape[1:3]))


def write_gif(
    path: Path, frames: np.ndarray, fps: Fraction, lossless: bool = False, colours: int = COLOURS
) -> None:
    """One palette of `colours` for the whole clip, no dithering, since both would flicker
    otherwise; alpha from 128 on is opaque. No sound.
    """
    kept, durations = shown(frames, fps, HUNDREDTHS, "gif")
    pictures, settings = paletted(frames, kept, colours)
    save_animation(
        path,
        "GIF",
        pictures,
        duration=[10 * duration for duration in durations],
        loop=0,
        comment=note_of(frames, fps).encode(),
        optimize=False,
        **settings,
    )


def paletted(
    frames: np.ndarray, kept: list[int], colours: int
) -> tuple[list[Image.Image], dict[str, int]]:
    """The `kept` frames in one palette, and what Pillow has to know of their transparent index."""
    chosen = np.linspace(0, len(frames) - 1, min(SAMPLE, len(frames))).round().astype(int)
    if frames.shape[3] == 3:
        sample = np.concatenate(list(frames[chosen]))
        palette = Image.fromarray(sample).quantize(colours)
        return [_quantized(frames[k], palette) for k in kept], {}
    sample = frames[chosen]
    seen = sample[sample[..., 3] >= VISIBLE][:, :3]
    seen = seen if len(seen) else np.zeros((1, 3), np.uint8)  # nothing to be seen: any colour
    palette = Image.fromarray(seen[None]).quantize(colours - 1)
    pictures = []
    for k in kept:
        indices = np.array(_quantized(frames[k, ..., :3], palette))
        indices[frames[k, ..., 3] < VISIBLE] = COLOURS - 1
        picture = Image.fromarray(indices)
        picture.putpalette(_whole_palette(palette))
        pictures.append(picture)
    return pictures, {"transparency": COLOURS - 1, "disposal": 2}


def _soft_paletted(frames: np.ndarray, kept: list[int], colours: int) -> list[Image.Image]:
    """The `kept` frames in one palette whose colours have alpha of their own."""
    height = frames.shape[1]
    column = Image.fromarray(np.concatenate([frames[k] for k in kept]))
    method = Image.Quantize.FASTOCTREE
    whole = column.quantize(colours, method=method, dither=Image.Dither.NONE)
    return [
        whole.crop((0, height * row, whole.width, height * (row + 1))) for row in range(len(kept))
    ]


def _quantized(frame: np.ndarray, palette: Image.Image) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(frame))
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def _whole_palette(palette: Image.Image) -> list[int]:
    """256 colours, so that the last index is one of its own."""
    listed = palette.getpalette() or []
    return (listed + [0] * (3 * COLOURS))[: 3 * COLOURS]


def write_webp(
    path: Path, frames: np.ndarray, fps: Fraction, lossless: bool = False, quality: int = 90
) -> None:
    """Animated WebP that repeats for ever; alpha is exact at every quality. No sound."""
    kept, durations = shown(frames, fps, MILLISECONDS, "webp")
    save_animation(
        path,
        "WEBP",
        [Image.fromarray(frames[k]) for k in kept],
        duration=durations,
        loop=0,
        xmp=note_of(frames, fps).encode(),
        lossless=lossless,
        quality=quality,
        method=4,
    )


def write_apng(
    path: Path,
    frames: np.ndarray,
    fps: Fraction,
    lossless: bool = True,
    colours: int | None = None,
    loop: int = 0,
) -> None:
    """Animated PNG, lossless; with `colours`, one palette of so many, alpha included. `loop` 0
    repeats for ever. No sound.
    """
    kept, durations = shown(frames, fps, MILLISECONDS, "apng")
    text = PngInfo()
    text.add_text("Comment", note_of(frames, fps))
    pictures = [Image.fromarray(frames[k]) for k in kept]
    if colours is not None:
        pictures = _soft_paletted(frames, kept, colours)
    save_animation(path, "PNG", pictures, duration=durations, loop=loop, pnginfo=text, blend=0)


def shown(
    frames: np.ndarray, fps: Fraction, per_second: int, name: str
) -> tuple[list[int], list[int]]:
    """Indices of the frames that differ from the one before, and how many ticks each stays on the
    screen.
    """
    if fps > per_second:
        raise MediaError(
            f"at most {per_second} frames a second in a {name}", str(fps), "choose mp4 or webm"
        )
    ticks = cumulative_ticks(len(frames), fps, per_second)
    kept = runs(frames)
    edges = [ticks[k] for k in kept] + [ticks[-1]]
    stays = [b - a for a, b in itertools.pairwise(edges)]
    if max(stays) >= 2**16:
        raise MediaError(
            f"no still longer than {2**16 // per_second} s in a {name}",
            f"{max(stays) // per_second} s",
            "choose mp4",
        )
    return kept, stays


def save_animation(path: Path, kind: str, pictures: list[Image.Image], **settings) -> None:
    """Let Pillow write the pictures; one alone gets one duration."""
    first, *rest = pictures
    made = io.BytesIO()
    if len(pictures) == 1:
        settings["duration"] = settings["duration"][0]
    first.save(made, kind, save_all=True, append_images=rest, **settings)
    path.write_bytes(made.getvalue())
