"""Alpha: straight in every file, composited where a format or a picture has none.

`frames` are uint8 [f, h, w, 4]: red, green, blue as they are (straight, not multiplied by alpha),
then alpha, 0 transparent and 255 opaque.
"""

import numpy as np
from PIL import ImageColor

from openlumiere.media.limits import MediaError

OPAQUE = 255
LIGHT, DARK = 255, 204  # of the chequerboard
SQUARE = 8  # pixels, its squares
VISIBLE = 128  # from this alpha on a pixel is opaque where a format has one bit of alpha
NEARLY = 217  # alpha from which on a whole clip is meant to be opaque (85 %)
SPECKS = 1e-3  # share of a clip's pixels that may be less opaque all the same
REACH = 4  # halvings: colours reach over an edge for up to 16 pixels


def colour_of(colour: str | tuple[int, int, int]) -> tuple[int, int, int]:
    """Red, green and blue in 0..255 of a name ("white"), "#rrggbb", "rgb(1, 2, 3)" or a triple."""
    if not isinstance(colour, str):
        triple = tuple(colour)
        if len(triple) == 3 and all(0 <= int(value) <= 255 for value in triple):
            return int(triple[0]), int(triple[1]), int(triple[2])
        raise MediaError("a colour of three numbers in 0..255", repr(colour), 'pass "white"')
    try:
        return ImageColor.getrgb(colour.strip())[:3]
    except ValueError:
        expected = "a colour by name, #rrggbb or rgb(r, g, b)"
        raise MediaError(expected, repr(colour[:40]), 'write "white" or "#ffffff"') from None


def over(frames: np.ndarray, background: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """uint8 frames [f, h, w, 4] composited over a colour or over uint8 pictures that broadcast to
    [f, h, w, 3]; [f, h, w, 3] come back as they are.
    """
    if frames.shape[-1] == 3:
        return frames
    made = np.empty((*frames.shape[:-1], 3), np.uint8)
    behind = np.broadcast_to(np.asarray(background, np.uint8), made.shape)
    for frame, ground, target in zip(frames, behind, made, strict=True):
        alpha = frame[..., 3:].astype(np.uint16)
        mixed = frame[..., :3] * alpha + ground * (OPAQUE - alpha)
        target[:] = (mixed + OPAQUE // 2) // OPAQUE
    return made


def opaque(frames: np.ndarray) -> np.ndarray:
    """uint8 frames [f, h, w, 3] with an alpha of 255; those that have one come back as they are."""
    if frames.shape[-1] == 4:
        return frames
    return np.concatenate([frames, np.full_like(frames[..., :1], OPAQUE)], axis=-1)


def is_opaque(frames: np.ndarray) -> bool:
    """Whether frames or a picture [..., h, w, 3 or 4] let nothing through."""
    return frames.shape[-1] == 3 or bool((frames[..., 3] == OPAQUE).all())


def settled(frames: np.ndarray) -> np.ndarray:
    """uint8 frames [f, h, w, 3 or 4]; those that are nearly opaque everywhere, but for specks, lose
    their alpha: a net that makes alpha means a scene by it.
    """
    if frames.shape[-1] == 3 or np.mean(frames[..., 3] < NEARLY) > SPECKS:
        return frames
    return np.ascontiguousarray(frames[..., :3])


def chequerboard(height: int, width: int) -> np.ndarray:
    """White and grey squares, as editors draw transparency: uint8 [h, w, 3]."""
    y, x = np.mgrid[:height, :width] // SQUARE
    grey = np.where((x + y) % 2, DARK, LIGHT).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def on_chequerboard(frames: np.ndarray) -> np.ndarray:
    """Frames or one picture [..., h, w, 3 or 4] for the eye: alpha over a chequerboard, RGB as it
    is.
    """
    if frames.shape[-1] == 3:
        return frames
    board = chequerboard(*frames.shape[-3:-1])
    whole = frames.reshape(-1, *frames.shape[-3:])
    return over(whole, board).reshape(*frames.shape[:-1], 3)


def bled(frame: np.ndarray) -> np.ndarray:
    """One frame [h, w, 4] whose fully transparent pixels take the colours beside them.

    Encoders that store colour at half resolution average over the edge of a shape: without this
    its rim takes on whatever colour stands under the transparent pixels.
    """
    alpha = frame[..., 3]
    if alpha.all() or not alpha.any():
        return frame
    filled = _weighed(frame, frame[..., 3:].astype(np.float32) / OPAQUE, REACH)
    bled_frame = frame.copy()
    empty = alpha == 0
    bled_frame[empty, :3] = filled[empty].clip(0, 255).round()
    return bled_frame


def spread(frame: np.ndarray) -> np.ndarray:
    """The colours [h, w, 3] of a frame [h, w, 4] that may be shown with another alpha: those of
    pixels that are hardly seen are taken from what is seen around, however far; white where nothing
    is.
    """
    shown = frame[..., 3:] >= VISIBLE
    if shown.all():
        return frame[..., :3].copy()
    if not shown.any():
        return np.full_like(frame[..., :3], OPAQUE)
    weight = np.where(shown, frame[..., 3:] / OPAQUE, 0).astype(np.float32)
    filled = _weighed(frame, weight, (max(frame.shape[:2]) - 1).bit_length())
    return np.where(shown, frame[..., :3], filled.clip(0, OPAQUE).round()).astype(np.uint8)


def premultiplied(frame: np.ndarray) -> np.ndarray:
    """A picture [h, w, 3 or 4] whose colours, in float32, count as far as they are seen."""
    levels = frame.astype(np.float32)
    if frame.shape[-1] == 4:
        levels[..., :3] *= levels[..., 3:] / OPAQUE
    return levels


def straight(levels: np.ndarray) -> np.ndarray:
    """The reverse of `premultiplied`, in bytes; black where nothing is seen."""
    levels = levels.clip(0, OPAQUE)
    if levels.shape[-1] == 4:
        share = np.maximum(levels[..., 3:], 1e-6) / OPAQUE
        levels = np.concatenate([(levels[..., :3] / share).clip(0, OPAQUE), levels[..., 3:]], -1)
    return levels.round().astype(np.uint8)


def _weighed(frame: np.ndarray, weight: np.ndarray, levels: int) -> np.ndarray:
    """A frame's colours everywhere, by weights [h, w, 1], from up to `levels` halvings around."""
    height, width = frame.shape[:2]
    padding = ((0, -height % 2**levels), (0, -width % 2**levels), (0, 0))
    weight = np.pad(weight, padding)
    colour = np.pad(frame[..., :3].astype(np.float32), padding) * weight
    return _filled(colour, weight, levels)[0][:height, :width]


def _filled(colour: np.ndarray, weight: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours everywhere, from sums [h, w, 3] and weights [h, w, 1], and where there are any (1):
    those that are missing come from the same picture at half its size, and so on.
    """
    own, there = colour / np.maximum(weight, 1e-6), (weight > 0).astype(np.float32)
    if levels == 0:
        return own, there
    coarse, known = _filled(_halved(colour), _halved(weight), levels - 1)
    share = _twice(known)
    smooth = _twice(coarse * known) / np.maximum(share, 1e-6)
    return np.where(there > 0, own, smooth), (share > 0).astype(np.float32)


def _twice(planes: np.ndarray) -> np.ndarray:
    return _doubled(_doubled(planes, axis=0), axis=1)


def _doubled(planes: np.ndarray, axis: int) -> np.ndarray:
    """Twice as many rows or columns, linearly interpolated."""
    rows = np.moveaxis(planes, axis, 0)
    padded = np.concatenate([rows[:1], rows, rows[-1:]])
    doubled = np.repeat(0.75 * rows, 2, axis=0)
    doubled[::2] += 0.25 * padded[:-2]
    doubled[1::2] += 0.25 * padded[2:]
    return np.moveaxis(doubled, 0, axis)


def _halved(planes: np.ndarray) -> np.ndarray:
    height, width, channels = planes.shape
    return planes.reshape(height // 2, 2, width // 2, 2, channels).sum((1, 3))
