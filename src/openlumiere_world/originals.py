"""Frames from the sources' own files: WebP, SVG icons and Lottie, to RGBA pictures of one side at
16 frames a second.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from openlumiere_world.subjects import FPS

SIDE = 256
MARGIN = (
    4  # pixels kept clear around a drawing, so that sampling near its edge meets only transparency
)
INSIDE = SIDE - 2 * MARGIN
VISIBLE = 8  # alpha above this counts as drawn


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One file or icon to render. `svg` is the icon's text; `path` the file otherwise."""

    form: str  # "webp", "svg" or "lottie"
    kind: str
    path: str = ""
    svg: str = ""


def render(drawing: Drawing) -> list[Image.Image]:
    """The frames, 256 px, RGBA, at 16 fps; one frame for a still."""
    if drawing.form == "svg":
        return [_from_svg(drawing.svg)]
    if drawing.form == "lottie":
        return _from_lottie(Path(drawing.path))
    return _from_webp(Path(drawing.path), drawing.kind)


def open_still(file: Path | BinaryIO) -> Image.Image:
    """One picture as sprites are made of it. Raises OSError where Pillow can't read it."""
    with Image.open(file) as image:
        return _with_margin([image.convert("RGBA")])[0]


def visible_box(small: Image.Image) -> tuple[int, int, int, int] | None:
    """The box of what is seen of an RGBA picture, in its pixels; None where nothing is."""
    return small.getchannel("A").point(lambda alpha: 255 * (alpha > VISIBLE)).getbbox()


def halved(frame: Image.Image, factor: int) -> Image.Image:
    """The frame reduced by a whole factor, averaged with colours weighted by alpha."""
    return frame.convert("RGBa").reduce(factor).convert("RGBA")


def svg_text(icon: dict, table: dict) -> str:
    """A whole SVG document for one icon of an Iconify table."""
    left, top = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", table.get("width", 16))
    height = icon.get("height", table.get("height", 16))
    box = f'viewBox="{left} {top} {width} {height}" width="{width}" height="{height}"'
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {names} {box}>{icon['body']}</svg>"


def _from_svg(text: str) -> Image.Image:
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=text, width=INSIDE, skip_system_fonts=True)
    image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    if image.height > INSIDE:
        png = resvg_py.svg_to_bytes(svg_string=text, height=INSIDE, skip_system_fonts=True)
        image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    return _centred(image)


def _from_webp(path: Path, kind: str) -> list[Image.Image]:
    if kind == "still":
        return [open_still(path)]
    frames, ends = [], []
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(image.convert("RGBA"))
            ends.append(image.info["timestamp"] + image.info["duration"])
    return _with_margin([frames[number] for number in _shown(ends)])


def _from_lottie(path: Path) -> list[Image.Image]:
    from rlottie_python import LottieAnimation

    with LottieAnimation.from_file(str(path)) as animation:
        total, seconds = (
            animation.lottie_animation_get_totalframe(),
            animation.lottie_animation_get_duration(),
        )
        count = max(1, round(seconds * FPS))
        return [
            _lottie_frame(animation, min(total - 1, number * total // count))
            for number in range(count)
        ]


def _lottie_frame(animation, number: int) -> Image.Image:
    pixels = animation.lottie_animation_render(number, width=INSIDE, height=INSIDE)
    return _centred(
        Image.frombytes("RGBa", (INSIDE, INSIDE), pixels, "raw", "BGRa").convert("RGBA")
    )


def _shown(ends: list[int]) -> list[int]:
    """Which frame is on screen at each sixteenth of a second, from the frames' end times in
    milliseconds.
    """
    count = max(1, round(ends[-1] / 1000 * FPS))
    return [
        next(n for n, end in enumerate(ends) if end > min(tick * 1000 / FPS, ends[-1] - 1))
        for tick in range(count)
    ]


def _with_margin(frames: list[Image.Image]) -> list[Image.Image]:
    """Frames of SIDE; shrunk inside the margin where any of them reaches into it."""
    frames = [
        frame if frame.width == SIDE else frame.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        for frame in frames
    ]
    if not any(_touches_edge(frame) for frame in frames):
        return frames
    small = (
        frame.convert("RGBa").resize((INSIDE, INSIDE), Image.Resampling.LANCZOS).convert("RGBA")
        for frame in frames
    )
    return [_centred(frame) for frame in small]


def _touches_edge(frame: Image.Image) -> bool:
    box = frame.getchannel("A").getbbox()
    return box is not None and (min(box[:2]) < MARGIN or max(box[2:]) > SIDE - MARGIN)


def _centred(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", (SIDE, SIDE))
    canvas.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return canvas
