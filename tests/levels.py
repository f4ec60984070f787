"""Noise levels of the schedule that the bundled weights were trained with, for tests."""

import torch
from diffusers import DDIMScheduler

from openlumiere.contract import Level
from openlumiere.diffusion.process import VariancePreserving

TRAINED = VariancePreserving(
    DDIMScheduler(
        beta_schedule="linear",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        prediction_type="sample",
        clip_sample=False,
    )
)


def at(time) -> Level:
    """The level at a timestep, one for all clips or one each."""
    return TRAINED.level(torch.as_tensor(time))


def solver(steps, name="ddim", *, like=None, start=0, seeds=None, process=TRAINED):
    """A solver of the trained schedule."""
    like = torch.zeros(len(seeds or [0])) if like is None else like
    return process.solver(name, steps=steps, like=like, start=start, seeds=seeds)
