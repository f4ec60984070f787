"""What is held while a clip is denoised: known content, for a net that cannot read it, and a
clip's coarse shapes.
"""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import TIMES, Condition, Denoiser, Level


def held(denoiser: Denoiser) -> Denoiser:
    """Puts the known content in the place of the predicted clean clip at every step; the net itself
    reads nothing of it.

    Our choice, for nets without conditioning channels: the paper's net reads `<J, C, M>`. As the
    noise of the known places is implied by the prediction, a solver moves them along `alpha
    content + sigma noise` by itself, so the net meets them at the right noise level (as RePaint's
    replacement does, Lugmayr et al. 2022, without its resampling). Wrap the guided, clipped
    denoiser.
    """

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        clean = denoiser(noisy, level, replace(condition, known=None))
        return clean if condition.known is None else condition.known.paste(clean)

    return denoise


def shaped(
    denoiser: Denoiser, source: Float[Tensor, "b c f h w"], size: int, share: float | int = 1
) -> Denoiser:
    """Puts the coarse shapes of `source` (means over squares of `size` places) in the place of the
    predicted clean clip's.

    ILVR (Choi et al. 2021) on the clean prediction, frame by frame: what is finer than the squares
    is the net's own, and so is everything below the `share` of diffusion times counted from the
    noisiest. Wrap it around all else, for `source` is the whole clip.
    """
    last = (1 - share) * TIMES

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        clean = denoiser(noisy, level, condition)
        if float(level.time.max()) < last:
            return clean
        return clean + coarse(source.to(clean) - clean, size)

    return denoise


def coarse(clip: Float[Tensor, "b c f h w"], size: int) -> Float[Tensor, "b c f h w"]:
    """Means over squares of `size` places (smaller at the right and lower border), spread over them
    smoothly.
    """
    means = F.avg_pool3d(clip, (1, size, size), ceil_mode=True)
    return F.interpolate(means, clip.shape[2:], mode="trilinear", align_corners=False)
