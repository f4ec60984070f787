"""Coarse to fine in time: while noise hides all but the path, only few of a clip's frames are
looked at.

Our choice, not the paper's, whose net sees every frame at every step: a small net that was trained
for minutes finds a path over 16 frames far more surely than over 80 (decision 18). No frame
is settled on the way: below `until` the net sees the whole clip.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.diffusion.denoiser import (
    CONVERSIONS,
    Condition,
    Denoiser,
    Kind,
    Timestep,
    check_kind,
    level_over,
    to_clean,
)
from openlumiere.diffusion.known import Known

LEAST = 8  # frames that a path is found on; shorter clips are seen whole
NEARER = (
    1e-4  # of two frames that know as much the nearer one counts; far below one place of a frame
)


def path_first(
    denoiser: Denoiser,
    sparse: Denoiser,
    kind: Kind,
    alphas_cumprod: Float[Tensor, " t"],
    *,
    spacing: int,
    until: int,
) -> Denoiser:
    """`denoiser`, but from timestep `until` up `sparse` on frames about `spacing` native frames
    apart, the clean clip linear in between.

    The two may be one; under windows `sparse` has shorter ones. The frames are evenly spaced from
    the first to the last, and each is told what is known of those around it. A clip without frame
    times, one of at most `2 LEAST - 1` frames and one whose frames are sparse already is left to
    `denoiser`. As the clean clip of all frames is predicted, any sampler goes on with it. Wrap
    guided and thresholded denoisers.
    """
    check_kind(kind)

    def denoise(noisy: Tensor, timestep: Timestep, condition: Condition) -> Tensor:
        places = (
            None
            if float(torch.as_tensor(timestep).min()) < until
            else sparse_places(condition.frame_times, spacing)
        )
        if places is None:
            return denoiser(noisy, timestep, condition)
        alpha, sigma = level_over(noisy, timestep, alphas_cumprod)
        few = noisy[:, :, places.round().long()]
        clean = to_clean(
            sparse(few, timestep, at_places(condition, places)), few, alpha, sigma, kind
        )
        return CONVERSIONS[kind](
            between(clean, places, noisy.shape[2]), noisy, alpha, sigma, "sample"
        )

    return denoise


def sparse_places(times: Float[Tensor, " f"] | None, spacing: int) -> Float[Tensor, " k"] | None:
    """Places among the frames (0 is the first) that lie about `spacing` native frames apart; None
    where they save less than half.
    """
    if times is None or len(times) < 2 * LEAST:
        return None
    count = round(len(times) * float(times.diff().mean()) / spacing)
    return (
        torch.linspace(0, len(times) - 1, count, device=times.device)
        if LEAST <= count <= len(times) // 2
        else None
    )


def at_places(condition: Condition, places: Float[Tensor, " k"]) -> Condition:
    """What is told of the frames at these places: known content of those around, shares of the
    nearest, times in between.
    """
    nearest = places.round().long()
    return replace(
        condition,
        known=None if condition.known is None else known_around(condition.known, places),
        frame_times=torch.lerp(
            condition.frame_times[places.floor().long()],
            condition.frame_times[places.ceil().long()],
            places.frac(),
        ),
        added=None
        if condition.added is None
        else {
            name: value[:, :, nearest] if value.ndim == 5 else value
            for name, value in condition.added.items()
        },
    )


def known_around(known: Known, places: Float[Tensor, " k"]) -> Known:
    """At each place the frame that knows most of all those for which the place is the nearest one."""
    frames = torch.arange(known.mask.shape[2], device=places.device)
    distance = (frames[:, None] - places).abs()
    worth = known.mask.float().mean((1, 3, 4))[:, :, None] - NEARER * distance.to(known.mask.device)
    near = distance.argmin(1)[:, None] == torch.arange(len(places), device=places.device)
    chosen = worth.masked_fill(~near.to(worth.device), -torch.inf).argmax(1)
    clips = range(len(chosen))
    return Known(
        content=torch.stack([known.content[clip][:, chosen[clip]] for clip in clips]),
        mask=torch.stack([known.mask[clip][:, chosen[clip]] for clip in clips]),
    )


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
