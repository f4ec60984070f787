"""How nets were trained to be noised and what they predict: all that knows prediction kinds,
schedules and diffusers' schedulers.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import diffusers
import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import TIMES, Level
from openlumiere.diffusion.sampler import seeded

Kind: TypeAlias = Literal["epsilon", "v_prediction", "sample"]
"""What a variance-preserving net predicts, in diffusers' words: noise, velocity or clean clip."""

Scale: TypeAlias = Tensor | float
Scheduler: TypeAlias = Any
"""One of diffusers' schedulers; they share habits, but no type."""

SILENT = 2.5e-4
"""An alpha up to this counts as no signal at all; diffusers puts 2^-12 in the place of zero where a
sigma would be infinite.
"""

SCHEDULERS: dict[str, Any] = {
    "ddim": diffusers.DDIMScheduler,
    "dpm++": diffusers.DPMSolverMultistepScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-ancestral": diffusers.EulerAncestralDiscreteScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
    "lcm": diffusers.LCMScheduler,
}

FLOW_SCHEDULERS: dict[str, Any] = {
    "ddim": diffusers.FlowMatchEulerDiscreteScheduler,  # the same step: Euler's in (alpha, sigma)
    "dpm++": diffusers.DPMSolverMultistepScheduler,
    "euler": diffusers.FlowMatchEulerDiscreteScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
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
    diffusers.CogVideoXDDIMScheduler,
    diffusers.DDIMScheduler,
    diffusers.DDPMScheduler,
    diffusers.DPMSolverMultistepScheduler,
    diffusers.EulerDiscreteScheduler,
    diffusers.HeunDiscreteScheduler,
    diffusers.LCMScheduler,
    diffusers.UniPCMultistepScheduler,
)
"""Schedulers that can be given a clean prediction; the others are given the velocity."""


@dataclass(frozen=True)
class VariancePreserving:
    """alpha^2 + sigma^2 = 1, by the schedule of betas of `scheduler`, the one that the model came
    with; its config says what the net predicts. It is never changed.
    """

    scheduler: Scheduler

    @property
    def kind(self) -> str:
        """What the net predicts. Raises ValueError for a kind that is none of the three."""
        return check_kind(self.scheduler.config.prediction_type)

    @property
    def steps(self) -> int:
        """Timesteps that the net was trained with."""
        return len(self.scheduler.alphas_cumprod)

    @property
    def thresholding(self) -> tuple[float | None, float]:
        """As the model's own scheduler says, DeepFloyd IF's for one."""
        config = self.scheduler.config
        if not config.get("thresholding", False):
            return None, math.inf
        return config.dynamic_thresholding_ratio, config.sample_max_value

    def signal(self, timestep: Tensor) -> Tensor:
        """alpha squared at whole trained timesteps, exactly as the schedule has it."""
        signal: Tensor = self.scheduler.alphas_cumprod.to(timestep.device)[timestep]
        return signal

    def level(self, time: Tensor | float) -> Level:
        """The level at a timestep; between whole ones sigma / alpha is interpolated, as diffusers
        does.
        """
        alpha, sigma = noise_level(time, self.scheduler.alphas_cumprod)
        return Level(alpha=alpha, sigma=sigma, time=torch.as_tensor(time))

    def clean(
        self, prediction: Float[Tensor, "b ..."], noisy: Float[Tensor, "b ..."], level: Level
    ) -> Float[Tensor, "b ..."]:
        """The clean clip that the net's prediction stands for; see `to_clean`."""
        return to_clean(prediction, noisy, *level.over(noisy), self.kind)

    def solver(
        self,
        scheduler: str | None,
        *,
        steps: int,
        like: Tensor,
        start: int = 0,
        seeds: Sequence[int] | None = None,
    ) -> VariancePreservingSolver:
        """A solver of one run; see `contract.Process.solver`."""
        _check_seeds(seeds, like)
        chosen = self.scheduler
        if scheduler is not None:
            chosen = make_scheduler(scheduler, self.scheduler.config)
        return VariancePreservingSolver(chosen, steps, start, seeds, like.device)


class VariancePreservingSolver:
    """A private copy of a scheduler, set for one run, that takes clean predictions and an end
    without signal.

    Where the trained schedule ends without signal (Lin et al. 2023) sigma / alpha is infinite, and
    diffusers' schedulers that count in it put 4096 in its place, from which Heun's second order
    goes far astray in few steps; and Heun lacks the option. Our rule: for all of them the step from
    no signal is exact, `alpha' clean + sigma' noise` at the next level, and the scheduler begins
    there.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        steps: int,
        start: int,
        seeds: Sequence[int] | None,
        device: torch.device,
    ) -> None:
        _check_steps(scheduler, steps, start)
        check_kind(scheduler.config.prediction_type)
        self.start = start
        self.taken = "sample" if isinstance(scheduler, TAKES_CLEAN) else "v_prediction"
        self.scheduler = _ending_silent(
            type(scheduler).from_config(scheduler.config, prediction_type=self.taken)
        )
        self.by_sigma = hasattr(self.scheduler, "sigmas")
        self.scheduler.set_timesteps(steps, device=device)
        self.calls_a_step = 2 if isinstance(scheduler, diffusers.HeunDiscreteScheduler) else 1
        counts_to_silence = self.by_sigma and _ends_silent(scheduler)
        self.leaps = start == 0 and counts_to_silence and self._level_at(0)[0] <= SILENT
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

    def level(self, index: int) -> Level:
        """The level of call `index`."""
        time = self.timesteps[index]
        if not self.by_sigma:
            alpha, sigma = noise_level(time, self.scheduler.alphas_cumprod)
            return Level(alpha=alpha, sigma=sigma, time=time)
        alpha, sigma = map(torch.tensor, self._level_at(self.positions[index]))
        return Level(alpha=alpha, sigma=sigma, time=time)

    def _level_at(self, position: int) -> tuple[float, float]:
        if not self.by_sigma:
            signal = float(self.scheduler.alphas_cumprod[int(self.scheduler.timesteps[position])])
            return signal**0.5, (1 - signal) ** 0.5
        ratio = float(self.scheduler.sigmas[position])
        alpha = (1 + ratio**2) ** -0.5
        return alpha, ratio * alpha

    def begin(self, noise: Tensor, source: Tensor | None = None) -> Tensor:
        """The state before the first call; at start 0 the noise alone."""
        if self.start:
            alpha, sigma = self._level_at(self.positions[0])
            return self._as_state(alpha * _check_source(source, self.start) + sigma * noise, alpha)
        return noise if self.leaps else noise * self.scheduler.init_noise_sigma

    def _as_state(self, noisy: Tensor, alpha: float) -> Tensor:
        """`noisy` in the scheduler's scale: as it is, or `clean + sigma / alpha noise`; which of
        the two shows in how it begins.
        """
        return noisy if float(self.scheduler.init_noise_sigma) == 1 else noisy / alpha

    def look(self, state: Tensor, index: int) -> Tensor:
        """The state as `alpha clean + sigma noise`, which the net was trained on."""
        if self._is_leap(index):
            return state
        seen: Tensor = self.scheduler.scale_model_input(state, self.timesteps[index])
        return seen

    def step(self, clean: Tensor, noisy: Tensor, state: Tensor, index: int) -> Tensor:
        """The next state."""
        if self._is_leap(index):
            alpha, sigma = self._level_at(1)
            return self._as_state(alpha * clean + sigma * noisy, alpha)
        prediction = clean
        if self.taken == "v_prediction":
            alpha, sigma = self._level_at(self.positions[index])
            prediction = to_velocity(clean, noisy, alpha, sigma, "sample")
        following: tuple[Tensor, ...] = self.scheduler.step(
            prediction, self.timesteps[index], state, return_dict=False, **self.options
        )
        return following[0]

    def _is_leap(self, index: int) -> bool:
        return self.leaps and index == 0


@dataclass(frozen=True)
class Flow:
    """alpha = 1 - sigma (rectified flow, Liu et al. 2022): the net predicts `noise - clean`.

    `scheduler` is the one that the model came with; its shift moves the steps towards noise.
    `sigmas` answers the levels of so many steps before that shift (None: the scheduler's own
    spacing), `mu` the shift of a clip of so many coded places, where the scheduler wants one.
    """

    scheduler: Scheduler
    sigmas: Callable[[int], Sequence[float]] | None = None
    mu: Callable[[int], float] | None = None

    @property
    def thresholding(self) -> tuple[float | None, float]:
        """None: flows are of latents."""
        return None, math.inf

    def level(self, time: Tensor | float) -> Level:
        """The level at a diffusion time: sigma is a thousandth of it."""
        time = torch.as_tensor(time)
        sigma = time.double().div(TIMES).float()
        return Level(alpha=1 - sigma, sigma=sigma, time=time)

    def clean(
        self, prediction: Float[Tensor, "b ..."], noisy: Float[Tensor, "b ..."], level: Level
    ) -> Float[Tensor, "b ..."]:
        """`noisy - sigma prediction`."""
        return noisy - level.over(noisy)[1] * prediction

    def solver(
        self,
        scheduler: str | None,
        *,
        steps: int,
        like: Tensor,
        start: int = 0,
        seeds: Sequence[int] | None = None,
    ) -> FlowSolver:
        """A solver of one run; see `contract.Process.solver`."""
        _check_seeds(seeds, like)
        chosen = self.scheduler
        if scheduler is not None:
            chosen = make_flow_scheduler(scheduler, self.scheduler.config)
        _check_steps(chosen, steps, start)
        options: dict[str, Any] = {}
        if self.sigmas is not None:
            options["sigmas"] = np.asarray(self.sigmas(steps), np.float32)
        if self.mu is not None:
            options["mu"] = self.mu(like.shape[2:].numel())
        return FlowSolver(chosen, steps, start, seeds, like.device, options)


class FlowSolver:
    """A private copy of a flow scheduler, set for one run, that takes clean predictions."""

    def __init__(
        self,
        scheduler: Scheduler,
        steps: int,
        start: int,
        seeds: Sequence[int] | None,
        device: torch.device,
        options: Mapping[str, Any],
    ) -> None:
        self.start = start
        self.scheduler = type(scheduler).from_config(scheduler.config)
        taken = inspect.signature(self.scheduler.set_timesteps).parameters
        spaced = {name: value for name, value in options.items() if name in taken}
        self.scheduler.set_timesteps(steps, device=device, **spaced)
        self.scheduler.set_begin_index(start)
        self.timesteps = self.scheduler.timesteps[start:]
        self.calls = len(self.timesteps)
        self.options = _step_options(self.scheduler, seeds)

    @property
    def rising(self) -> bool:
        """Whether the scheduler counts from noise up to signal, as Mochi's does."""
        return bool(self.scheduler.config.get("invert_sigmas", False))

    def level(self, index: int) -> Level:
        """The level of call `index`."""
        counted = self.scheduler.sigmas[self.start + index]
        if self.rising:
            return Level(alpha=counted, sigma=1 - counted, time=TIMES - self.timesteps[index])
        return Level(alpha=1 - counted, sigma=counted, time=self.timesteps[index])

    def begin(self, noise: Tensor, source: Tensor | None = None) -> Tensor:
        """The state before the first call; at start 0 the noise alone."""
        if not self.start:
            return noise
        return self.level(0).noised(_check_source(source, self.start), noise)

    def look(self, state: Tensor, index: int) -> Tensor:
        """The state itself."""
        return state

    def step(self, clean: Tensor, noisy: Tensor, state: Tensor, index: int) -> Tensor:
        """The next state."""
        velocity = (noisy - clean) / self.level(index).sigma.to(noisy)
        following: tuple[Tensor, ...] = self.scheduler.step(
            -velocity if self.rising else velocity,
            self.timesteps[index],
            state,
            return_dict=False,
            **self.options,
        )
        return following[0]


def process_of(scheduler: Scheduler) -> VariancePreserving | Flow:
    """The process of a net that came with this scheduler. Flows of ours take evenly spaced levels,
    which the scheduler's shift then moves towards noise (our choice).
    """
    if isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler):
        return Flow(scheduler, sigmas=even_levels)
    return VariancePreserving(scheduler)


def with_shift(scheduler: Scheduler, shift: float) -> Scheduler:
    """A flow's scheduler whose levels are moved towards noise by `shift`; any other as it is."""
    if not isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler):
        return scheduler
    return scheduler.from_config(scheduler.config, shift=shift)


def even_levels(steps: int) -> list[float]:
    """From 1, all noise, in so many even steps towards 0."""
    return [1 - step / steps for step in range(steps)]


def make_scheduler(name: str, config: Mapping[str, Any]) -> Scheduler:
    """The scheduler of this name for a net trained under `config` (another scheduler's). Raises
    ValueError for an unknown name.

    diffusers' `from_config` drops what equals a default, although the default of the next class may
    differ (Heun and LCM begin at another beta): here the trained schedule is kept. The scheduler's
    own clipping is switched off, since bounds on the clean clip are a denoiser's wrapper
    (`clipped`), alike for every scheduler. "lcm" wants a net distilled for it and at most 50
    steps; "ddim" is a little off when the steps do not divide the trained timesteps.
    """
    _check_name(name, SCHEDULERS)
    stated = {**config, **_shifted_betas(config), "clip_sample": False, "thresholding": False}
    free = set(config.get("_use_default_values", ()))
    defaults = free - TRAINED - {"clip_sample", "thresholding"}
    scheduler = SCHEDULERS[name].from_config({**stated, "_use_default_values": sorted(defaults)})
    return _ending_silent(scheduler)


def _shifted_betas(config: Mapping[str, Any]) -> dict[str, Any]:
    """CogVideoX's schedule, whose signal is shifted, as betas: the one way that all schedulers
    take it.
    """
    if "snr_shift_scale" not in config:
        return {}
    signal = diffusers.CogVideoXDDIMScheduler.from_config(config).alphas_cumprod.double()
    before = torch.cat([torch.ones(1).to(signal), signal[:-1]])
    return {"trained_betas": (1 - signal / before).tolist()}


def make_flow_scheduler(name: str, config: Mapping[str, Any]) -> Scheduler:
    """The scheduler of this name for a flow trained under `config`; the shift is kept. Raises
    ValueError for a name that no flow has.
    """
    _check_name(name, FLOW_SCHEDULERS)
    chosen = FLOW_SCHEDULERS[name]
    shift = config.get("flow_shift", config.get("shift", 1.0))
    if chosen is diffusers.FlowMatchEulerDiscreteScheduler:
        return chosen.from_config({**config, "shift": shift})
    return chosen.from_config(
        {**config, "invert_sigmas": False},  # which these know nothing of
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift,
    )


def _check_name(name: str, schedulers: Mapping[str, Any]) -> None:
    if name not in schedulers:
        raise ValueError(
            f"expected a scheduler of {', '.join(schedulers)}, got {name!r}, choose one of these"
        )


def to_clean(
    prediction: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    alpha: Scale,
    sigma: Scale,
    kind: str,
) -> Float[Tensor, "b ..."]:
    """The clean clip that a prediction stands for, with `noisy = alpha clean + sigma noise`,
    alpha^2 + sigma^2 = 1.

    alpha and sigma broadcast over `noisy`. Exact. Where alpha is silent (zero terminal signal) a
    noise prediction says nothing of the clean clip, and it is taken as 0, mid-grey (our choice).
    """
    if check_kind(kind) == "sample":
        return prediction
    if kind == "v_prediction":
        return alpha * noisy - sigma * prediction
    return _divide(noisy - sigma * prediction, alpha)


def to_noise(
    prediction: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    alpha: Scale,
    sigma: Scale,
    kind: str,
) -> Float[Tensor, "b ..."]:
    """The noise that a prediction stands for; see `to_clean`. Where sigma is 0 a clean prediction
    gives noise 0.
    """
    if check_kind(kind) == "epsilon":
        return prediction
    if kind == "v_prediction":
        return sigma * noisy + alpha * prediction
    return _divide(noisy - alpha * prediction, sigma)


def to_velocity(
    prediction: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    alpha: Scale,
    sigma: Scale,
    kind: str,
) -> Float[Tensor, "b ..."]:
    """The velocity `alpha noise - sigma clean` (Salimans and Ho 2022) that a prediction stands for;
    see `to_clean`.
    """
    if check_kind(kind) == "v_prediction":
        return prediction
    clean = to_clean(prediction, noisy, alpha, sigma, kind)
    return alpha * to_noise(prediction, noisy, alpha, sigma, kind) - sigma * clean


CONVERSIONS: dict[str, Callable[..., Tensor]] = {
    "epsilon": to_noise,
    "v_prediction": to_velocity,
    "sample": to_clean,
}
"""Kind wanted -> function of (prediction, noisy, alpha, sigma, kind of the prediction)."""


def check_kind(kind: str) -> str:
    """`kind`, or ValueError when it is none of the three."""
    if kind not in get_args(Kind):
        raise ValueError(
            f"expected a prediction kind of {', '.join(get_args(Kind))}, got {kind!r}, "
            "set the scheduler's prediction_type"
        )
    return kind


def _divide(numerator: Tensor, scale: Scale) -> Tensor:
    """`numerator / scale`, 0 where the scale is next to nothing."""
    scale = torch.as_tensor(scale, device=numerator.device, dtype=numerator.dtype)
    return torch.where(scale > SILENT, numerator / scale.clamp(min=SILENT), 0)


def noise_level(
    timestep: Tensor | float, alphas_cumprod: Float[Tensor, " t"]
) -> tuple[Tensor, Tensor]:
    """alpha and sigma at a timestep, scalar or `[b]`; between whole timesteps their ratio is
    interpolated, as diffusers does.
    """
    ratio = ((1 - alphas_cumprod) / alphas_cumprod.clamp(min=2**-24)).sqrt()
    time = torch.as_tensor(timestep, device=ratio.device, dtype=torch.float64)
    time = time.clamp(0, len(ratio) - 1)
    low = ratio[time.floor().long()]
    high = ratio[time.ceil().long()]
    ratio = torch.lerp(low, high, time.frac().to(ratio))
    alpha = (1 + ratio**2).rsqrt()
    return alpha, ratio * alpha


def _check_steps(scheduler: Scheduler, steps: int, start: int) -> None:
    most = None
    if isinstance(scheduler, diffusers.LCMScheduler):
        most = scheduler.config.get("original_inference_steps")
    most = most or scheduler.config.num_train_timesteps
    if not 1 <= steps <= most:
        raise ValueError(
            f"expected 1 to {most} steps for {type(scheduler).__name__}, got {steps}, "
            "choose a number in that range"
        )
    if not 0 <= start < steps:
        raise ValueError(
            f"expected a start from 0 to {steps - 1} for {steps} steps, got {start}, "
            "take more steps or start earlier"
        )


def _check_seeds(seeds: Sequence[int] | None, like: Tensor) -> None:
    if seeds is not None and len(seeds) != len(like):
        raise ValueError(
            f"expected a seed for each of {len(like)} clips, got {len(seeds)}, give one a clip"
        )


def _check_source(source: Tensor | None, start: int) -> Tensor:
    if source is None:
        raise ValueError(
            f"expected a clip to begin from at start {start}, got none, give it or begin at 0"
        )
    return source


def _ends_silent(scheduler: Scheduler) -> bool:
    """Whether the trained schedule ends without signal, also where the scheduler does not know the
    option.
    """
    stated = bool(scheduler.config.get("rescale_betas_zero_snr", False))
    return stated or float(scheduler.betas[-1]) == 1


def _ending_silent(scheduler: Scheduler) -> Scheduler:
    """A scheduler whose schedule, where it counts in sigma / alpha, ends with diffusers' 2^-24 for
    no signal, whether its class knows the option or not.
    """
    if not hasattr(scheduler, "sigmas") or not _ends_silent(scheduler):
        return scheduler
    betas = scheduler.betas
    if float(betas[-1]) != 1:
        betas = rescale_zero_terminal_snr(betas)
    own = copy.copy(scheduler)
    own.alphas_cumprod = torch.cumprod(1 - betas, 0)
    own.alphas_cumprod[-1] = 2**-24
    return own


def _step_options(scheduler: Scheduler, seeds: Sequence[int] | None) -> dict[str, Any]:
    if seeds is None or "generator" not in inspect.signature(scheduler.step).parameters:
        return {}
    return {"generator": [seeded(seed, stream=1) for seed in seeds]}
