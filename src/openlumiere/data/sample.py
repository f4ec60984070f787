"""What sources of training clips answer, and the moments that they are asked for."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class Sample(NamedTuple):
    """Clips in [-1, 1] and what each shows."""

    pixels: Float[Tensor, "b 3 f h w"]
    captions: list[str]


def whole_times(times: Tensor, count: int, frames: int, unit: str) -> Int[Tensor, "b f"]:
    """Times of each of `count` clips, rounded to whole frames of a clip of `frames`.

    Raises ValueError for times outside of the clip; `unit` says which frames are counted.
    """
    whole = times.detach().cpu().round().long().expand(count, -1)
    if whole.numel() and not 0 <= int(whole.min()) <= int(whole.max()) < frames:
        raise ValueError(
            f"frame times: expected 0 to {frames - 1}, got {int(whole.min())} to"
            f" {int(whole.max())}, count in {unit}"
        )
    return whole
