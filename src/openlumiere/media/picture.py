"""Pictures of clips: a row of frames, a sheet, and a slice through time."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont

from openlumiere.media.alpha import on_chequerboard
from openlumiere.media.clip import Clip
from openlumiere.media.limits import MediaError

GAP = 4
CAPTION = 16


def filmstrip(clip: Clip, n: int = 8) -> np.ndarray:
    """`n` frames spread evenly from first to last, side by side, alpha
    over a chequerboard: uint8 [h, n * w, 3]."""
    if n < 1:
        raise MediaError("n of at least 1", str(n), "ask for one frame or more")
    chosen = np.linspace(0, len(clip) - 1, n).round().astype(int)
    return rearrange(on_chequerboard(clip.frames[chosen]), "n h w c -> h (n w) c")


def xt_slice(clip: Clip, row: int | None = None) -> np.ndarray:
    """One row of each frame (the middle one by default), stacked over time: uint8 [f, w, 3]. What
    holds still is upright.
    """
    height = clip.frames.shape[1]
    row = height // 2 if row is None else row
    if not 0 <= row < height:
        raise MediaError(f"a row from 0 to {height - 1}", str(row), "choose one inside the frame")
    rows = clip.frames[:, row]
    return np.ascontiguousarray(on_chequerboard(rows))


def contact_sheet(
    items: Sequence[Clip | np.ndarray], columns: int, captions: Sequence[str] | None = None
) -> np.ndarray:
    """Pictures (uint8 [h, w, 3 or 4]; a clip stands for its middle frame) in rows of `columns` on
    white, captions below, alpha over a chequerboard: uint8 [H, W, 3].

    Cells take the size of the largest picture. A caption is one line, cut at the cell's width.
    """
    pictures = [
        on_chequerboard(item.frames[len(item) // 2] if isinstance(item, Clip) else item)
        for item in items
    ]
    if not pictures or columns < 1:
        raise MediaError(
            "at least one picture and one column", f"{len(pictures)} and {columns}", "pass some"
        )
    if captions is not None and len(captions) != len(pictures):
        raise MediaError(
            f"{len(pictures)} captions", str(len(captions)), "pass one for each picture"
        )
    height = max(picture.shape[0] for picture in pictures) + GAP + (CAPTION if captions else 0)
    width = max(picture.shape[1] for picture in pictures) + GAP
    sheet = Image.new(
        "RGB", (min(columns, len(pictures)) * width, -(-len(pictures) // columns) * height), "white"
    )
    for k, picture in enumerate(pictures):
        sheet.paste(
            _cell(picture, captions[k] if captions else None, width, height),
            (k % columns * width, k // columns * height),
        )
    return np.asarray(sheet).copy()


def _cell(picture: np.ndarray, caption: str | None, width: int, height: int) -> Image.Image:
    cell = Image.new("RGB", (width, height), "white")
    cell.paste(Image.fromarray(picture), (GAP // 2, GAP // 2))
    if caption:
        place = GAP // 2, picture.shape[0] + GAP // 2
        ImageDraw.Draw(cell).text(
            place, _drawable(caption), fill="black", font=ImageFont.load_default(12)
        )
    return cell


def _drawable(caption: str) -> str:
    """One line without accents, which Pillow's own font lacks (as it does other scripts: those come
    out as boxes).
    """
    plain = unicodedata.normalize("NFKD", caption.encode("utf-8", "replace").decode())
    return " ".join(
        "".join(letter for letter in plain if not unicodedata.combining(letter)).split()
    )[:200]
