"""Guidance and thresholding: each takes a denoiser and returns a denoiser."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Condition, Denoiser, Level, broadcast, join


def guided(
    denoiser: Denoiser, unconditional: Condition, scale: float, *, rescale: float = 0.0
) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022): `without + scale (with - without)`; scale 1
    is off and costs nothing.

    `unconditional` gives the text (and whatever else is whole) of the empty or negative prompt, for
    one clip or one a clip; what is known and the frame times are those of the guided clip. Noise,
    velocity and clean clip are linear in each other, so guiding the clean clip guides what the net
    predicts. Both passes run as one batch. `rescale` in [0, 1] pulls the spread back to the
    conditional prediction's (Lin et al. 2023, section 3.4), here of the clean clip (our choice).
    Raises ValueError for a scale that is no number or a rescale outside [0, 1].
    """
    if not math.isfinite(scale):
        raise ValueError(
            f"expected a guidance scale that is a number, got {scale}, "
            "use 1 for none or a few units for more"
        )
    if not 0 <= rescale <= 1:
        raise ValueError(
            f"expected guidance rescale in [0, 1], got {rescale}, use 0 for none or 0.7"
        )
    if scale == 1:
        return denoiser

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        both = join([condition, _without(unconditional, condition)])
        clean = denoiser(torch.cat([noisy, noisy]), level.repeat(2), both)
        conditional, without = clean.chunk(2)
        combined = without + scale * (conditional - without)
        return rescale_spread(combined, conditional, rescale) if rescale else combined

    return denoise


def _without(unconditional: Condition, condition: Condition) -> Condition:
    """The unconditional text beside all else that conditions the clip."""
    if unconditional.batch not in (1, condition.batch):
        raise ValueError(
            f"expected 1 or {condition.batch} unconditional texts, got {unconditional.batch}, "
            "give one or one a clip"
        )
    if unconditional.batch == 1:
        unconditional = unconditional.repeat(condition.batch)
    unconditional = unconditional.to(condition.text.device, condition.text.dtype)
    return replace(
        condition,
        text=unconditional.text,
        text_mask=unconditional.text_mask,
        whole={**condition.whole, **unconditional.whole},
    )


def rescale_spread(
    guided: Float[Tensor, "b ..."], conditional: Float[Tensor, "b ..."], rescale: float
) -> Float[Tensor, "b ..."]:
    """`guided` with each clip's standard deviation moved towards the conditional's; all the way at
    `rescale` 1.
    """
    axes = tuple(range(1, guided.ndim))
    ratio = conditional.std(axes, keepdim=True) / guided.std(axes, keepdim=True).clamp(min=1e-8)
    return guided * (1 + rescale * (ratio - 1))


def clipped(
    denoiser: Denoiser, *, quantile: float | None = None, limit: float = math.inf
) -> Denoiser:
    """Holds the clean prediction of a pixel net in [-1, 1].

    `quantile` None clips to [-1, 1]. Dynamic thresholding (Saharia et al. 2022, section 2.3): clip
    to s, the `quantile` of each clip's magnitudes, at least 1 and at most `limit`, then divide by
    s. Wrap the guided denoiser, not the other way round.
    """
    if quantile is not None and not 0 < quantile <= 1:
        raise ValueError(
            f"expected a quantile in (0, 1], got {quantile}, use 0.995 or None for plain clipping"
        )

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        clean = denoiser(noisy, level, condition)
        if quantile is None:
            return clean.clamp(-1, 1)
        return dynamic_clip(clean, quantile, limit)

    return denoise


def dynamic_clip(
    clean: Float[Tensor, "b ..."], quantile: float, limit: float = math.inf
) -> Float[Tensor, "b ..."]:
    """Each clip clipped to its own quantile of magnitude s in [1, limit], and divided by s."""
    magnitude = clean.abs().flatten(1).float()
    rank = min(magnitude.shape[1], max(1, math.ceil(quantile * magnitude.shape[1])))
    spread = magnitude.kthvalue(rank, dim=1).values.clamp(1, limit)
    spread = broadcast(spread, clean)
    return clean.clamp(-spread, spread) / spread
