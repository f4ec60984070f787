"""Known content for a net that cannot read it: guidance by replacement."""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from openlumiere.diffusion.denoiser import CONVERSIONS, Condition, Denoiser, Kind, Timestep, check_kind, noise_level, to_clean
from openlumiere.diffusion.known import keep


def replace_known(denoiser: Denoiser, kind: Kind, alphas_cumprod: Float[Tensor, " t"]) -> Denoiser:
    """Puts the known content in the place of the predicted clean clip at every step; the net itself is told nothing of it.

    Our choice, for nets without conditioning channels: the paper's net reads `<J, C, M>`. As the noise of the known places is
    implied by the prediction, a sampler moves them along `alpha content + sigma noise` by itself, so the net meets them at the right
    noise level (as RePaint's replacement does, Lugmayr et al. 2022, without its resampling). Wrap the guided, thresholded denoiser.
    """
    check_kind(kind)

    def denoise(noisy: Tensor, timestep: Timestep, condition: Condition) -> Tensor:
        prediction = denoiser(noisy, timestep, replace(condition, known=None))
        if condition.known is None:
            return prediction
        alpha, sigma = (value.to(noisy).reshape(-1, *[1] * (noisy.ndim - 1)) for value in noise_level(timestep, alphas_cumprod))
        clean = keep(condition.known, to_clean(prediction, noisy, alpha, sigma, kind))
        return CONVERSIONS[kind](clean, noisy, alpha, sigma, "sample")

    return denoise
