"""The loop: noise goes, step by step, under any diffusers scheduler."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.diffusion.denoiser import CONVERSIONS, SILENT, Condition, Denoiser, check_kind, to_clean

SCHEDULERS: dict[str, type] = {
    "ddim": diffusers.DDIMScheduler,
    "dpm++": diffusers.DPMSolverMultistepScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-ancestral": diffusers.EulerAncestralDiscreteScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
    "lcm": diffusers.LCMScheduler,
}


def make_scheduler(name: str, config: Mapping[str, Any]) -> diffusers.SchedulerMixin:
    """The scheduler of this name for a net trained under `config` (another scheduler's). Raises ValueError for an unknown name.

    Its own clipping is switched off: bounds on the clean clip are a denoiser's wrapper (`threshold`), alike for every scheduler.
    """
    if name not in SCHEDULERS:
        raise ValueError(f"expected a scheduler of {', '.join(SCHEDULERS)}, got {name!r}, choose one of these")
    return SCHEDULERS[name].from_config({**config, "clip_sample": False, "thresholding": False})


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of the net. `noisy` is the state after it in the scheduler's own scale, the finished clip at the last; `clean` what the net expects to come out."""

    index: int
    total: int
    timestep: Tensor
    noisy: Float[Tensor, "b c f h w"]
    clean: Float[Tensor, "b c f h w"]


@torch.no_grad()
def sample(
    denoiser: Denoiser, scheduler: diffusers.SchedulerMixin, noise: Float[Tensor, "b c f h w"], condition: Condition,
    *, steps: int, start: int = 0, seeds: Sequence[int] | None = None,
) -> Iterator[Step]:  # fmt: skip
    """Turns noise into a clip, yielding after each call of the net; the last step's `noisy` is the clip.

    `scheduler` is any of diffusers' for alpha^2 + sigma^2 = 1 nets; its config says what the net predicts, and it is left
    untouched. `noise` is unit Gaussian noise (`draw_noise`), or at a later `start` what `noise_to` made. `seeds`, one a clip,
    feed the schedulers that draw noise as they go. Heun calls the net twice a step, so it yields `2 steps - 1` times.
    """
    solver = Solver(scheduler, steps, start, seeds, noise.device)
    noisy = noise if start else noise * solver.scheduler.init_noise_sigma
    for index, timestep in enumerate(solver.timesteps):
        seen = solver.scheduler.scale_model_input(noisy, timestep)
        prediction = denoiser(seen, timestep, condition)
        clean = solver.clean(prediction, seen, index)
        noisy = solver.step(prediction, seen, noisy, index)
        yield Step(index=index, total=len(solver.timesteps), timestep=timestep, noisy=noisy, clean=clean)


class Solver:
    """A private copy of a scheduler, set to the steps of one run, that takes predictions of the net's kind."""

    def __init__(
        self, scheduler: diffusers.SchedulerMixin, steps: int, start: int, seeds: Sequence[int] | None, device: torch.device
    ) -> None:
        if not 0 <= start < steps:
            raise ValueError(f"expected 0 <= start < steps, got start {start} of {steps} steps, take more steps or start earlier")
        self.kind = check_kind(scheduler.config.prediction_type)
        self.taken = _taken_kind(scheduler)
        self.scheduler = type(scheduler).from_config(scheduler.config, prediction_type=self.taken)
        self.scheduler.set_timesteps(steps, device=device)
        self.first = 2 * start if isinstance(scheduler, diffusers.HeunDiscreteScheduler) else start
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(self.first)
        self.timesteps = self.scheduler.timesteps[self.first :]
        self.options = _step_options(self.scheduler, seeds)

    def level(self, index: int) -> tuple[float, float]:
        """alpha and sigma of the state before call `index`."""
        if hasattr(self.scheduler, "sigmas"):
            ratio = float(self.scheduler.sigmas[self.first + index])
            alpha = (1 + ratio**2) ** -0.5
            return alpha, ratio * alpha
        signal = float(self.scheduler.alphas_cumprod[int(self.timesteps[index])])
        return signal**0.5, (1 - signal) ** 0.5

    def clean(self, prediction: Tensor, seen: Tensor, index: int) -> Tensor:
        """The clean clip that the net expects."""
        return to_clean(prediction, seen, *self.level(index), self.kind)

    def step(self, prediction: Tensor, seen: Tensor, noisy: Tensor, index: int) -> Tensor:
        """The next state."""
        if self.taken != self.kind:
            prediction = CONVERSIONS[self.taken](prediction, seen, *self.level(index), self.kind)
        return self.scheduler.step(prediction, self.timesteps[index], noisy, return_dict=False, **self.options)[0]


def _taken_kind(scheduler: diffusers.SchedulerMixin) -> str:
    """The prediction kind that the scheduler is given: the net's, unless the scheduler cannot make use of it."""
    kind = scheduler.config.prediction_type
    refuses = kind == "sample" and isinstance(scheduler, (diffusers.EulerAncestralDiscreteScheduler, diffusers.HeunDiscreteScheduler))
    without_signal = kind == "epsilon" and scheduler.config.get("rescale_betas_zero_snr", False)
    return "v_prediction" if refuses or without_signal else kind


def _step_options(scheduler: diffusers.SchedulerMixin, seeds: Sequence[int] | None) -> dict[str, Any]:
    if seeds is None or "generator" not in inspect.signature(scheduler.step).parameters:
        return {}
    return {"generator": [_generator(seed, stream=1) for seed in seeds]}


def noise_to(
    clean: Float[Tensor, "b c f h w"], noise: Float[Tensor, "b c f h w"], scheduler: diffusers.SchedulerMixin, *, steps: int, start: int
) -> Float[Tensor, "b c f h w"]:
    """`clean` under the noise that step `start` of `steps` begins with, as `sample` takes it (SDEdit, Meng et al. 2022); the noise alone at start 0."""
    if start == 0:
        return noise
    solver = Solver(scheduler, steps, start, None, clean.device)
    alpha, sigma = solver.level(0)
    scale = 1.0 if float(solver.scheduler.init_noise_sigma) == 1 else 1 / alpha
    return scale * (alpha * clean + sigma * noise)


def draw_noise(shape: Sequence[int], seeds: Sequence[int]) -> Float[Tensor, "b ..."]:
    """Unit Gaussian noise, one clip of `shape` a seed, drawn on the CPU: neither batch, order nor device changes a clip.

    Raises ValueError for a seed outside 0 .. 2^63 - 1.
    """
    return torch.stack([torch.randn(*shape, generator=_generator(seed, stream=0)) for seed in seeds])


def _generator(seed: int, stream: int) -> torch.Generator:
    """A generator of its own for each seed and stream; torch's CPU generator reads 32 bits only, so the upper half is mixed in."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"expected a seed from 0 to 2**63 - 1, got {seed}, choose one in that range")
    mixed = (seed & 0xFFFFFFFF) ^ (seed >> 32) * 0x9E3779B1 ^ stream * 0x85EBCA6B
    return torch.Generator().manual_seed(mixed & 0xFFFFFFFF)
