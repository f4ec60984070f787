"""From a finished clip back to the noise that it was made from: the slow part of `lumiere verify
--deep`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.diffusion.denoiser import NetDenoiser
from openlumiere.diffusion.guidance import threshold
from openlumiere.diffusion.inversion import invert
from openlumiere.diffusion.multidiffusion import multidiffuse
from openlumiere.engine.base import LumierePipeline
from openlumiere.engine.fit import encode_whole, fit
from openlumiere.engine.lumiere import WINDOWS
from openlumiere.media import Clip
from openlumiere.tasks.region import unheld

STEPS = 25


@torch.no_grad()
def noise_of(base: LumierePipeline, clip: Clip, steps: int = STEPS) -> Float[Tensor, "c f h w"]:
    """An estimate of the noise, by DDIM read backwards under the empty prompt; guidance, if there
    was any, isn't known and is left out.

    The clip is brought to the net's own size; that it is whole, neither cropped nor cut, is
    assumed.
    """
    canvas = unheld(clip)
    to = fit(canvas, base.native_size, base.side_multiple)
    net = NetDenoiser(base.stunet)
    if base.vae is None:
        net = threshold(
            net, base.scheduler.config.prediction_type, base.scheduler.alphas_cumprod, quantile=None
        )
    condition = base.condition([""], len(to.indices), frame_times=to.times(canvas.fps))
    clean = encode_whole(canvas, to, base.codec).to(base.device)
    return invert(multidiffuse(net, WINDOWS), base.scheduler, clean, condition, steps=steps)[0]
