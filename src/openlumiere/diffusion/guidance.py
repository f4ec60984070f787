"""Guidance and thresholding: each takes a denoiser and returns a denoiser."""

from __future__ import annotations

import math
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
    join,
    level_over,
    over,
    to_clean,
)


def guide(
    denoiser: Denoiser,
    unconditional: Condition,
    scale: float,
    *,
    rescale: float = 0.0,
    together: bool = True,
) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022): `without + scale (with - without)`; scale 1
    is off and costs nothing.

    `unconditional` gives the text (and added conditions) of the empty or negative prompt, for one
    clip or one a clip; what is known and the frame times are those of the guided clip. `rescale` in
    [0, 1] pulls the spread back to the conditional prediction's (Lin et al. 2023, section 3.4). The
    three prediction kinds are linear in each other, so one formula serves them. `together` runs
    both passes as one batch; else one after the other, in half the memory. Raises ValueError for a
    scale that is no number or a rescale outside [0, 1].
    """
    if not math.isfinite(scale):
        raise ValueError(
            f"expected a guidance scale that is a number, got {scale}, use 1 for none or a few units for more"
        )
    if not 0 <= rescale <= 1:
        raise ValueError(
            f"expected guidance rescale in [0, 1], got {rescale}, use 0 for none or 0.7"
        )
    if scale == 1:
        return denoiser
    both = _as_one_batch if together else _one_after_the_other

    def guided(noisy: Tensor, timestep: Timestep, condition: Condition) -> Tensor:
        conditional, without = both(
            denoiser, noisy, timestep, condition, _without(unconditional, condition)
        )
        prediction = without + scale * (conditional - without)
        return rescale_spread(prediction, conditional, rescale) if rescale else prediction

    return guided


def _without(unconditional: Condition, condition: Condition) -> Condition:
    """The unconditional text beside what else the clip is told."""
    if unconditional.batch not in (1, condition.batch):
        raise ValueError(
            f"expected 1 or {condition.batch} unconditional texts, got {unconditional.batch}, give one or one a clip"
        )
    if unconditional.batch == 1:
        unconditional = unconditional.repeat(condition.batch)
    unconditional = unconditional.to(condition.text.device, condition.text.dtype)
    added = condition.added if unconditional.added is None else unconditional.added
    return replace(
        condition, text=unconditional.text, text_mask=unconditional.text_mask, added=added
    )


def _as_one_batch(
    denoiser: Denoiser, noisy: Tensor, timestep: Timestep, condition: Condition, without: Condition
) -> tuple[Tensor, ...]:
    timestep = torch.as_tensor(timestep)
    timestep = timestep.repeat(2) if timestep.ndim else timestep
    return denoiser(torch.cat([noisy, noisy]), timestep, join([condition, without])).chunk(2)


def _one_after_the_other(
    denoiser: Denoiser, noisy: Tensor, timestep: Timestep, condition: Condition, without: Condition
) -> tuple[Tensor, ...]:
    return denoiser(noisy, timestep, condition), denoiser(noisy, timestep, without)


def rescale_spread(
    guided: Float[Tensor, "b ..."], conditional: Float[Tensor, "b ..."], rescale: float
) -> Float[Tensor, "b ..."]:
    """`guided` with each clip's standard deviation moved towards the conditional's; all the way at
    `rescale` 1.
    """
    axes = tuple(range(1, guided.ndim))
    ratio = conditional.std(axes, keepdim=True) / guided.std(axes, keepdim=True).clamp(min=1e-8)
    return guided * (1 + rescale * (ratio - 1))


def threshold(
    denoiser: Denoiser,
    kind: Kind,
    alphas_cumprod: Float[Tensor, " t"],
    *,
    quantile: float | None = 0.995,
    limit: float = math.inf,
) -> Denoiser:
    """Holds the clean prediction of a pixel net in [-1, 1], whatever kind it predicts.

    Dynamic thresholding (Saharia et al. 2022, section 2.3): clip to s, the `quantile` of each
    clip's magnitudes, at least 1 and at most `limit`, then divide by s. `quantile` None clips to
    [-1, 1]. Wrap the guided denoiser, not the other way round.
    """
    check_kind(kind)
    if quantile is not None and not 0 < quantile <= 1:
        raise ValueError(
            f"expected a quantile in (0, 1], got {quantile}, use 0.995 or None for plain clipping"
        )

    def bounded(noisy: Tensor, timestep: Timestep, condition: Condition) -> Tensor:
        alpha, sigma = level_over(noisy, timestep, alphas_cumprod)
        clean = to_clean(denoiser(noisy, timestep, condition), noisy, alpha, sigma, kind)
        clean = clean.clamp(-1, 1) if quantile is None else dynamic_clip(clean, quantile, limit)
        return CONVERSIONS[kind](clean, noisy, alpha, sigma, "sample")

    return bounded


def dynamic_clip(
    clean: Float[Tensor, "b ..."], quantile: float, limit: float = math.inf
) -> Float[Tensor, "b ..."]:
    """Each clip clipped to its own quantile of magnitude s in [1, limit], and divided by s."""
    magnitude = clean.abs().flatten(1).float()
    rank = min(magnitude.shape[1], max(1, math.ceil(quantile * magnitude.shape[1])))
    spread = magnitude.kthvalue(rank, dim=1).values.clamp(1, limit)
    spread = over(spread, clean)
    return clean.clamp(-spread, spread) / spread
