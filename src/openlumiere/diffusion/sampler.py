"""The loop: noise goes, step by step, under any diffusers scheduler."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from jaxtyping import Float
from torch import Tensor

from openlumiere.diffusion.denoiser import (
    CONVERSIONS,
    SILENT,
    Condition,
    Denoiser,
    check_kind,
    to_clean,
)

SCHEDULERS: dict[str, type] = {
    "ddim": diffusers.DDIMScheduler,
    "dpm++": diffusers.DPMSolverMultistepScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-ancestral": diffusers.EulerAncestralDiscreteScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
    "lcm": diffusers.LCMScheduler,
}

TRAINED = {
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
}
"""What a scheduler's config says of the net's training; each scheduler class has defaults of its
own for these.
"""

TAKES_CLEAN = (
    diffusers.DDIMScheduler,
    diffusers.DDPMScheduler,
    diffusers.DPMSolverMultistepScheduler,
    diffusers.EulerDiscreteScheduler,
    diffusers.HeunDiscreteScheduler,
    diffusers.LCMScheduler,
    diffusers.UniPCMultistepScheduler,
)
"""Schedulers that can be given a clean prediction; the others are given the velocity."""


def make_scheduler(name: str, config: Mapping[str, Any]) -> diffusers.SchedulerMixin:
    """The scheduler of this name for a net trained under `config` (another scheduler's). Raises
    ValueError for an unknown name.

    diffusers' `from_config` drops what equals a default, although the default of the next class may
    differ (Heun and LCM begin at another beta): here the trained schedule is kept. The scheduler's
    own clipping is switched off, since bounds on the clean clip are a denoiser's wrapper
    (`threshold`), alike for every scheduler. "lcm" wants a net distilled for it and at most 50
    steps; "ddim" is a little off when the steps do not divide the trained timesteps.
    """
    if name not in SCHEDULERS:
        raise ValueError(
            f"expected a scheduler of {', '.join(SCHEDULERS)}, got {name!r}, choose one of these"
        )
    stated = {**config, "clip_sample": False, "thresholding": False}
    defaults = (
        set(config.get("_use_default_values", ())) - TRAINED - {"clip_sample", "thresholding"}
    )
    made = SCHEDULERS[name].from_config({**stated, "_use_default_values": sorted(defaults)})
    _end_silent(made)
    return made


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of the net: `noisy` is the state after it in the scheduler's own scale, at the last
    the finished clip.

    `clean` is what the net expects to come out (for previews), `index` counts calls from 0 to
    `total - 1`.
    """

    index: int
    total: int
    timestep: Tensor
    noisy: Float[Tensor, "b c f h w"]
    clean: Float[Tensor, "b c f h w"]


def sample(
    denoiser: Denoiser,
    scheduler: diffusers.SchedulerMixin,
    noise: Float[Tensor, "b c f h w"],
    condition: Condition,
    *,
    steps: int,
    start: int = 0,
    seeds: Sequence[int] | None = None,
) -> Iterator[Step]:
    """Turns noise into a clip, yielding after each call of the net; the last step's `noisy` is the
    clip.

    `scheduler` is any of diffusers' for alpha^2 + sigma^2 = 1 nets; its config says what the net
    predicts, and it is left untouched. `noise` is unit Gaussian noise (`draw_noise`), or at a later
    `start` what `noise_to` made. `seeds`, one a clip, feed the schedulers that draw noise as they
    go (without them torch's own generator does). The denoiser sees `alpha clean + sigma noise`
    under every scheduler. Heun calls the net twice a step. Raises ValueError for steps, a start or
    a scheduler that cannot be.
    """
    if seeds is not None and len(seeds) != len(noise):
        raise ValueError(
            f"expected a seed for each of {len(noise)} clips, got {len(seeds)}, give one a clip"
        )
    solver = Solver(scheduler, steps, start, seeds, noise.device)
    state = solver.begin(noise)
    for index, timestep in enumerate(solver.timesteps):
        with torch.no_grad():
            noisy = solver.look(state, index)
            prediction = denoiser(noisy, timestep, condition)
            state = solver.step(prediction, noisy, state, index)
            clean = solver.clean(prediction, noisy, index)
        yield Step(index=index, total=solver.calls, timestep=timestep, noisy=state, clean=clean)


def noise_to(
    clean: Float[Tensor, "b c f h w"],
    noise: Float[Tensor, "b c f h w"],
    scheduler: diffusers.SchedulerMixin,
    *,
    steps: int,
    start: int,
) -> Float[Tensor, "b c f h w"]:
    """`clean` under the noise that step `start` of `steps` begins with, as `sample` takes it
    (SDEdit, Meng et al. 2022).

    At start 0 that is the noise alone.
    """
    return (
        Solver(scheduler, steps, start, None, clean.device).hide(clean, noise) if start else noise
    )


class Solver:
    """A private copy of a scheduler, set for one run, that takes predictions of the net's kind and
    an end without signal.

    Where the trained schedule ends without signal (Lin et al. 2023) sigma / alpha is infinite, and
    diffusers' schedulers that count in it put 4096 in its place, from which Heun's second order
    goes far astray in few steps; and Heun lacks the option. Our rule: for all of them the step from
    no signal is exact, `alpha' clean + sigma' noise` at the next level, and the scheduler begins
    there.
    """

    def __init__(
        self,
        scheduler: diffusers.SchedulerMixin,
        steps: int,
        start: int,
        seeds: Sequence[int] | None,
        device: torch.device,
    ) -> None:
        _check_steps(scheduler, steps, start)
        self.kind = check_kind(scheduler.config.prediction_type)
        self.taken = _taken_kind(scheduler)
        self.scheduler = type(scheduler).from_config(scheduler.config, prediction_type=self.taken)
        self.by_sigma = hasattr(self.scheduler, "sigmas")
        _end_silent(self.scheduler)
        self.scheduler.set_timesteps(steps, device=device)
        self.calls_a_step = 2 if isinstance(scheduler, diffusers.HeunDiscreteScheduler) else 1
        self.leaps = (
            start == 0
            and self.by_sigma
            and _ends_silent(scheduler)
            and self._level_at(0)[0] <= SILENT
        )
        self._set_positions(start)
        self.options = _step_options(self.scheduler, seeds)

    def _set_positions(self, start: int) -> None:
        """Which of the scheduler's timesteps are called, in order; Heun's list has one for the
        first step and two for each later.
        """
        first = self.calls_a_step * (1 if self.leaps else start)
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(first)
        self.positions = [0] * self.leaps + list(range(first, len(self.scheduler.timesteps)))
        self.timesteps = self.scheduler.timesteps[self.positions]
        self.calls = len(self.positions)

    def level(self, index: int) -> tuple[float, float]:
        """alpha and sigma of the state before call `index`."""
        return self._level_at(self.positions[index])

    def _level_at(self, position: int) -> tuple[float, float]:
        if not self.by_sigma:
            signal = float(self.scheduler.alphas_cumprod[int(self.scheduler.timesteps[position])])
            return signal**0.5, (1 - signal) ** 0.5
        ratio = float(self.scheduler.sigmas[position])
        alpha = (1 + ratio**2) ** -0.5
        return alpha, ratio * alpha

    def begin(self, noise: Tensor) -> Tensor:
        """The state before the first call."""
        return noise if self.leaps or self.positions[0] else noise * self.scheduler.init_noise_sigma

    def hide(self, clean: Tensor, noise: Tensor) -> Tensor:
        """A clean clip as the state before the first call."""
        alpha, sigma = self.level(0)
        return self._as_state(alpha * clean + sigma * noise, alpha)

    def _as_state(self, noisy: Tensor, alpha: float) -> Tensor:
        """`noisy` in the scheduler's scale: as it is, or `clean + sigma / alpha noise`, told apart
        by how it begins.
        """
        return noisy if float(self.scheduler.init_noise_sigma) == 1 else noisy / alpha

    def look(self, state: Tensor, index: int) -> Tensor:
        """The state as `alpha clean + sigma noise`, which the net was trained on."""
        return (
            state
            if self._is_leap(index)
            else self.scheduler.scale_model_input(state, self.timesteps[index])
        )

    def clean(self, prediction: Tensor, noisy: Tensor, index: int) -> Tensor:
        """The clean clip that the net expects."""
        return to_clean(prediction, noisy, *self.level(index), self.kind)

    def step(self, prediction: Tensor, noisy: Tensor, state: Tensor, index: int) -> Tensor:
        """The next state."""
        if self._is_leap(index):
            return self._leap(self.clean(prediction, noisy, index), noisy)
        if self.taken != self.kind:
            prediction = CONVERSIONS[self.taken](prediction, noisy, *self.level(index), self.kind)
        return self.scheduler.step(
            prediction, self.timesteps[index], state, return_dict=False, **self.options
        )[0]

    def _is_leap(self, index: int) -> bool:
        return self.leaps and index == 0

    def _leap(self, clean: Tensor, noise: Tensor) -> Tensor:
        alpha, sigma = self._level_at(1)
        return self._as_state(alpha * clean + sigma * noise, alpha)


def _check_steps(scheduler: diffusers.SchedulerMixin, steps: int, start: int) -> None:
    most = (
        scheduler.config.get("original_inference_steps")
        if isinstance(scheduler, diffusers.LCMScheduler)
        else None
    )
    most = most or scheduler.config.num_train_timesteps
    if not 1 <= steps <= most:
        raise ValueError(
            f"expected 1 to {most} steps for {type(scheduler).__name__}, got {steps}, choose a number in that range"
        )
    if not 0 <= start < steps:
        raise ValueError(
            f"expected a start from 0 to {steps - 1} for {steps} steps, got {start}, take more steps or start earlier"
        )


def _taken_kind(scheduler: diffusers.SchedulerMixin) -> str:
    """The prediction kind that the scheduler is given: the net's, unless the scheduler cannot make
    use of it.
    """
    kind = scheduler.config.prediction_type
    refused = kind == "sample" and not isinstance(scheduler, TAKES_CLEAN)
    return "v_prediction" if refused or (kind == "epsilon" and _ends_silent(scheduler)) else kind


def _ends_silent(scheduler: diffusers.SchedulerMixin) -> bool:
    """Whether the trained schedule ends without signal, also where the scheduler does not know the
    option.
    """
    return (
        bool(scheduler.config.get("rescale_betas_zero_snr", False))
        or float(scheduler.betas[-1]) == 1
    )


def _end_silent(scheduler: diffusers.SchedulerMixin) -> None:
    """Ends a schedule that counts in sigma / alpha with diffusers' 2^-24 for no signal, whether its
    class knows the option or not.
    """
    if not hasattr(scheduler, "sigmas") or not _ends_silent(scheduler):
        return
    betas = (
        scheduler.betas
        if float(scheduler.betas[-1]) == 1
        else rescale_zero_terminal_snr(scheduler.betas)
    )
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, 0)
    scheduler.alphas_cumprod[-1] = 2**-24


def _step_options(
    scheduler: diffusers.SchedulerMixin, seeds: Sequence[int] | None
) -> dict[str, Any]:
    if seeds is None or "generator" not in inspect.signature(scheduler.step).parameters:
        return {}
    return {"generator": [seeded(seed, stream=1) for seed in seeds]}


def draw_noise(shape: Sequence[int], seeds: Sequence[int]) -> Float[Tensor, "b ..."]:
    """Unit Gaussian noise, one clip of `shape` a seed, drawn on the CPU: neither batch, order nor
    device changes a clip.

    Raises ValueError for a seed outside 0 .. 2^63 - 1.
    """
    return torch.stack([torch.randn(*shape, generator=seeded(seed, stream=0)) for seed in seeds])


def seeded(seed: int, stream: int) -> torch.Generator:
    """A generator of its own for each seed and stream; torch's CPU generator reads 32 bits only, so
    the upper half is mixed in.
    """
    if not 0 <= seed < 2**63:
        raise ValueError(
            f"expected a seed from 0 to 2**63 - 1, got {seed}, choose one in that range"
        )
    mixed = (seed & 0xFFFFFFFF) ^ (seed >> 32) * 0x9E3779B1 ^ stream * 0x85EBCA6B
    return torch.Generator().manual_seed(mixed & 0xFFFFFFFF)
