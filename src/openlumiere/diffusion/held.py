"""What is given taking the place of what is predicted: known content for a net that cannot read it,
and a clip's coarse shapes.
"""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
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
from openlumiere.diffusion.known import keep


def replace_known(denoiser: Denoiser, kind: Kind, alphas_cumprod: Float[Tensor, " t"]) -> Denoiser:
    """Puts the known content in the place of the predicted clean clip at every step; the net itself
    is told nothing of it.

    Our choice, for nets without conditioning channels: the paper's net reads `<J, C, M>`. As the
    noise of the known places is implied by the prediction, a sampler moves them along `alpha
    content + sigma noise` by itself, so the net meets them at the right noise level (as RePaint's
    replacement does, Lugmayr et al. 2022, without its resampling). Wrap the guided, thresholded
    denoiser.
    """
    check_kind(kind)

    def denoise(noisy: Tensor, timestep: Timestep, condition: Condition) -> Tensor:
        prediction = denoiser(noisy, timestep, replace(condition, known=None))
        if condition.known is None:
            return prediction
        alpha, sigma = level_over(noisy, timestep, alphas_cumprod)
        clean = keep(condition.known, to_clean(prediction, noisy, alpha, sigma, kind))
        return CONVERSIONS[kind](clean, noisy, alpha, sigma, "sample")

    return denoise


def hold_shapes(
    denoiser: Denoiser,
    kind: Kind,
    alphas_cumprod: Float[Tensor, " t"],
    source: Float[Tensor, "b c f h w"],
    size: int,
    share: float | int = 1,
) -> Denoiser:
    """Puts the coarse shapes of `source` (means over squares of `size` places) in the place of the
    predicted clean clip's.

    ILVR (Choi et al. 2021) on the clean prediction, frame by frame: what is finer than the squares
    is the net's own, and so is everything below the `share` of noise levels counted from the
    noisiest. Wrap it around all else, for `source` is the whole clip.
    """
    check_kind(kind)
    last = (1 - share) * len(alphas_cumprod)

    def denoise(noisy: Tensor, timestep: Timestep, condition: Condition) -> Tensor:
        prediction = denoiser(noisy, timestep, condition)
        if float(timestep) < last:
            return prediction
        alpha, sigma = level_over(noisy, timestep, alphas_cumprod)
        clean = to_clean(prediction, noisy, alpha, sigma, kind)
        return CONVERSIONS[kind](
            clean + coarse(source.to(clean) - clean, size), noisy, alpha, sigma, "sample"
        )

    return denoise


def coarse(clip: Float[Tensor, "b c f h w"], size: int) -> Float[Tensor, "b c f h w"]:
    """Means over squares of `size` places (smaller at the right and lower border), spread over them
    smoothly.
    """
    means = F.avg_pool3d(clip, (1, size, size), ceil_mode=True)
    return F.interpolate(means, clip.shape[2:], mode="trilinear", align_corners=False)
