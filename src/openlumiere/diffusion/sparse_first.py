"""Coarse to fine in time: while noise hides all but the path, only few of a clip's frames are
looked at.

Our choice, not the paper's, whose net sees every frame at every step: a small net that was trained
for minutes finds a path over 16 frames far more surely than over 80 (decision 18). No frame
is settled on the way: below `until` the net sees the whole clip.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Condition, Denoiser, Level

LEAST = 8  # frames that a path is found on; shorter clips are seen whole


def sparse_first(denoiser: Denoiser, sparse: Denoiser, *, spacing: int, until: int) -> Denoiser:
    """`denoiser`, but from diffusion time `until` up `sparse` on frames about `spacing` native
    frames apart, the clean clip linear in between.

    The two may be one; under windows `sparse` has shorter ones. The frames are evenly spaced from
    the first to the last, and each is conditioned on what is known of those around it. A clip
    without frame times, one of at most `2 LEAST - 1` frames and one whose frames are sparse already
    is left to `denoiser`. As the clean clip of all frames is predicted, any solver goes on with it.
    Wrap guided and clipped denoisers.
    """

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        if float(level.time.min()) < until:
            return denoiser(noisy, level, condition)
        places = sparse_places(condition.frame_times, spacing)
        if places is None:
            return denoiser(noisy, level, condition)
        few = noisy[:, :, places.round().long()]
        return between(sparse(few, level, condition.pick(places)), places, noisy.shape[2])

    return denoise


def sparse_places(times: Float[Tensor, " f"] | None, spacing: int) -> Float[Tensor, " k"] | None:
    """Places among the frames (0 is the first) that lie about `spacing` native frames apart; None
    where they save less than half.
    """
    if times is None or len(times) < 2 * LEAST:
        return None
    count = round(len(times) * float(times.diff().mean()) / spacing)
    if not LEAST <= count <= len(times) // 2:
        return None
    return torch.linspace(0, len(times) - 1, count, device=times.device)


def between(
    sparse: Float[Tensor, "b c k h w"], places: Float[Tensor, " k"], frames: int
) -> Float[Tensor, "b c f h w"]:
    """`frames` frames on straight lines between those at `places`, which begin at 0 and end at the
    last.
    """
    number = torch.arange(frames, device=places.device, dtype=places.dtype)
    after = torch.searchsorted(places, number, right=True).clamp(1, len(places) - 1)
    share = (number - places[after - 1]) / (places[after] - places[after - 1])
    return torch.lerp(sparse[:, :, after - 1], sparse[:, :, after], share.to(sparse)[:, None, None])
