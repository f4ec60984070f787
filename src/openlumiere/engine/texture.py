"""A hole in a picture filled with texture from around it, coarse to fine: every patch over the hole
takes the colours of the known patch that is most like it, and overlapping patches vote (Wexler et
al. 2007, "Space-time completion of video", section 3, for one picture). The search is exhaustive:
at 128 pixels it is a product of matrices. Sizes are our choice.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from openlumiere.media.alpha import OPAQUE, spread
from openlumiere.quality.motion import Picture

SIDES = 32, 64, 128  # pixels of the longer side, coarse to fine
PATCH = 7  # pixels a side
ROUNDS = 5  # at each size
TOGETHER = 512  # patches that are looked for at once

Mask = Bool[np.ndarray, "h w"]
Small = UInt8[np.ndarray, "y x 3"]
SmallMask = Bool[np.ndarray, "y x"]


def textured(frame: Picture, known: Mask) -> Picture:
    """A frame whose hole is filled, at its own size; what is known stays bit by bit."""
    height, width = known.shape
    made = spread_over(frame, known)
    for side in SIDES:
        small, seen = brought_down(made, known, side)
        if min(seen.shape) >= PATCH and seen.any():
            small = voted(small, seen)
        large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        made = np.where(known[..., None], frame, large)
    return made


def brought_down(picture: Picture, known: Mask, longer: int) -> tuple[Small, SmallMask]:
    """Means of the pixels under each of a smaller picture's, and which of those are known whole;
    one whose longer side is shorter stays as it is.
    """
    height, width = known.shape
    scale = min(1.0, longer / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small, share = (
        cv2.resize(each, size, interpolation=cv2.INTER_AREA)
        for each in (picture, known.astype(np.float32))
    )
    return np.asarray(small), share == 1


def spread_over(frame: Picture, known: Mask) -> Picture:
    """The frame, the colours of what is known spread over what is not."""
    opacity = np.where(known, np.uint8(OPAQUE), np.uint8(0))[..., None]
    return spread(np.concatenate([frame, opacity], axis=-1))


def voted(picture: Picture, known: Mask) -> Picture:
    """The picture after some rounds of looking for patches and voting."""
    levels = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    mask = torch.from_numpy(known)[None, None].float()
    covered = F.unfold(mask, PATCH)[0]
    source, hidden = covered.amin(0) == 1, covered.amin(0) == 0
    if not source.any():
        return picture
    for _ in range(ROUNDS):
        patches = F.unfold(levels, PATCH)[0]
        votes = torch.zeros_like(patches)
        votes[:, hidden] = most_like(patches[:, hidden], patches[:, source])
        size = levels.shape[-2:]
        count = F.fold(hidden.float().expand(1, PATCH**2, -1), size, PATCH)
        mean = F.fold(votes[None], size, PATCH) / count.clamp(min=1)
        levels = torch.where(mask == 1, levels, mean)
    return levels[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()


def most_like(patches: Float[Tensor, "d n"], sources: Float[Tensor, "d m"]) -> Float[Tensor, "d n"]:
    """For each patch the source of least squared difference."""
    half_squares = sources.square().sum(0) / 2
    best = [(half_squares - some.T @ sources).argmin(1) for some in patches.split(TOGETHER, dim=1)]
    return sources[:, torch.cat(best)]
