"""Alpha around nets that know colours alone.

At the door and in files alpha is straight. A net sees a clip composited over white, as its training
data were drawn; what it makes gets alpha back by one of two rules (our choice): the clip's `own`,
where a task keeps the shape, or, where it makes new things, what the net drew on the white that
stands for nothing is cut out (`made`). Known pixels are exact, alpha included.
"""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from openlumiere.media import Clip, alpha
from openlumiere.media.keying import background_of, keyed

log = logging.getLogger("openlumiere")

Outline = Literal["own", "made"]

WHITE = (255, 255, 255)
WHITISH = 32  # levels by which what a net draws as white may differ from it
OPAQUE = 255
KEEP = ""  # the background that changes nothing
CLEAR = "transparent"


def seen(frame: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """A frame as the net sees it: alpha over white."""
    return alpha.over(frame[None], WHITE)[0]


def cut_out(
    made: UInt8[np.ndarray, "h w 3"],
    given: UInt8[np.ndarray, "h w 4"],
    known: Bool[np.ndarray, "h w"],
    outline: Outline,
) -> UInt8[np.ndarray, "h w 4"]:
    """What a net made, with alpha: the given frame's where it is known, elsewhere by `outline`."""
    if outline == "own":
        return with_alpha(made, given[..., 3])
    cut = keyed(made[None], WHITE, WHITISH)[0]
    return np.where(known[..., None], with_alpha(made, given[..., 3]), cut)


def with_alpha(
    made: UInt8[np.ndarray, "h w 3"], opacity: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 4"]:
    """A frame that was drawn over white, with this alpha and straight colours: the white in it is
    taken out.
    """
    share = opacity[..., None].astype(np.float32) / OPAQUE
    straight = (made - (1 - share) * OPAQUE) / share.clip(min=1 / OPAQUE)
    colours = np.where(share > 0, straight.clip(0, OPAQUE).round(), OPAQUE)
    return np.concatenate([colours.astype(np.uint8), opacity[..., None]], axis=-1)


def solid(frames: UInt8[np.ndarray, "f h w 4"]) -> UInt8[np.ndarray, "f h w 3"]:
    """Straight colours of a clip with alpha, those of transparent pixels taken from beside them:
    what can be enlarged or mended without a rim. A frame of nothing is white.
    """
    colours = np.empty((*frames.shape[:3], 3), np.uint8)
    for frame, target in zip(frames, colours, strict=True):
        target[:] = alpha.bled(frame)[..., :3] if frame[..., 3].any() else OPAQUE
    return colours


def before(
    frames: UInt8[np.ndarray, "f h w c"], background: str | Clip
) -> UInt8[np.ndarray, "f h w d"]:
    """Frames before another background: "transparent", a colour, or a clip or picture that is
    scaled to cover them; "" leaves them as they are.

    RGB frames whose border is one colour have it taken out first; of others the background is
    kept, and said.
    """
    if background == KEEP:
        return frames
    if frames.shape[3] == 3:
        colour = background_of(frames)
        if colour is None:
            log.warning("background: what was made does not stand on one colour: it is kept")
            return frames
        frames = keyed(frames, colour)
    if background == CLEAR:
        return frames
    if isinstance(background, str):
        return alpha.over(frames, alpha.colour_of(background))
    return alpha.over(frames, covering(background, *frames.shape[:3]))


def covering(clip: Clip, count: int, height: int, width: int) -> UInt8[np.ndarray, "f h w 3"]:
    """A clip or picture scaled and cropped to cover frames of this size; it begins anew where it is
    shorter.
    """
    scale = max(width / clip.size[0], height / clip.size[1])
    size = max(width, round(clip.size[0] * scale)), max(height, round(clip.size[1] * scale))
    left = (size[0] - width) // 2
    top = (size[1] - height) // 2
    small = clip.over("white").frames[: min(len(clip), count)]
    pictures = np.empty((len(small), height, width, 3), np.uint8)
    for source, target in zip(small, pictures, strict=True):
        whole = Image.fromarray(source).resize(size, Image.Resampling.LANCZOS)
        target[:] = np.asarray(whole)[top : top + height, left : left + width]
    return pictures[np.arange(count) % len(pictures)]
