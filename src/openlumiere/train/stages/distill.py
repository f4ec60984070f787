"""Distillation of a model on coded clips: low-rank factors beside its layers learn to make a clip
in a few steps without guidance, as the model does in many with it.

One stage of progressive distillation (Salimans and Ho 2022) for a flow, with guidance folded in
(Meng et al. 2023): a student's step from one level to the next has to arrive where several guided
steps of the teacher do. That the student is the teacher with LoRA factors is as in LCM-LoRA (Luo et
al. 2023). The levels, and one interval a batch, are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from jaxtyping import Bool, Float
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from openlumiere.engine.base import LumierePipeline
from openlumiere.media.write import write_whole
from openlumiere.models.fast import FILE, Fast
from openlumiere.models.folder import write_checksums
from openlumiere.models.lora import AdapterConfig, sort_tensors
from openlumiere.models.stunet import STUNet
from openlumiere.models.style import Style
from openlumiere.models.text import mean_state
from openlumiere.train.config import DistillConfig
from openlumiere.train.data import padded
from openlumiere.train.stages.picture import TIMES, CodedSource, shifted
from openlumiere.train.step import Average, Losses, Stage, noise_like

LAYERS = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True, kw_only=True, eq=False)
class DistillStage(Stage):
    """Factors of a frozen model, and their loss. A run's averaged factors are at
    `run/fast.safetensors`.

    `sheet(pipeline, file)` makes strips of samples.
    """

    net: STUNet
    pipeline: LumierePipeline
    source: CodedSource
    config: DistillConfig
    sheet: Callable[[LumierePipeline, Path], None] | None = None

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of `count` coded clips in one interval between two levels of the student."""
        drawn = self.source.draw(generator, count)
        levels = student_levels(self.config)
        interval = draw_interval(levels, drawn.latest, generator)
        begin = levels[interval]
        states, mask = padded([row.float() for row in [*drawn.states, self.source.empty]])
        moments = drawn.times
        if moments is None:
            moments = self.config.stride * torch.arange(drawn.latents.shape[2]).float()
        noisy = torch.lerp(drawn.latents, noise_like(drawn.latents, generator), begin)
        velocity = partial(self.velocity, net, moments)
        with without_factors(self.net), torch.no_grad():
            guided = partial(self.guided, velocity, states, mask)
            target = mean_velocity(guided, noisy, teacher_levels(self.config, interval))
        error = velocity(noisy, begin, states[:-1], mask[:-1]) - target
        level = torch.full((count,), begin - 1e-6)
        return Losses(error.square().flatten(1).mean(1), level)

    def guided(
        self,
        velocity: Callable[..., Tensor],
        states: Float[Tensor, "b1 n d"],
        mask: Bool[Tensor, "b1 n"],
        noisy: Float[Tensor, "b c f h w"],
        time: float,
    ) -> Float[Tensor, "b c f h w"]:
        """The teacher's velocity under guidance; the last row of states is the empty prompt's."""
        rows = [*range(len(noisy)), *[len(noisy)] * len(noisy)]
        told, untold = velocity(torch.cat([noisy, noisy]), time, states[rows], mask[rows]).chunk(2)
        return untold + self.config.guidance * (told - untold)

    def velocity(
        self,
        net: nn.Module,
        moments: Float[Tensor, " f"],
        noisy: Float[Tensor, "b c f h w"],
        time: float,
        states: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b c f h w"]:
        """What the net predicts of noisy clips that are all at one time."""
        with torch.autocast(noisy.device.type, torch.bfloat16, enabled=self.config.bf16):
            predicted = net(
                noisy,
                torch.full((len(noisy),), TIMES * time),
                states,
                class_labels=mean_state(states, mask),
                encoder_attention_mask=mask,
                frame_times=moments,
            ).sample
        return predicted.float()

    def export(self, average: Average, run: Path) -> None:
        """Write `run/fast.safetensors`."""
        factors = {name.replace(".default.", "."): value for name, value in average.items()}
        write_whole(run / FILE, self.fast(factors).save)

    def release(self, average: Average, folder: Path) -> None:
        """Write the factors into a model's folder, which then has other checksums."""
        self.export(average, folder)
        write_checksums(folder)

    def fast(self, factors: Average) -> Fast:
        """Factors, by PEFT's names, as a model's folder holds them: layers of the picture net by
        its own names.
        """
        named = {
            name.removeprefix("unet2d."): value.float().cpu() for name, value in factors.items()
        }
        low_rank, full = sort_tensors(named, AdapterConfig(lora_alpha=float(self.config.rank)))
        return Fast(factors=Style("fast", low_rank, full), shift=self.config.shift)

    def show(self, average: Average, file: Path) -> None:
        """Save the sheet of clips that the averaged factors make in the student's steps."""
        if self.sheet is None:
            return
        own = dict(self.net.named_parameters())
        kept = {name: own[name].detach().clone() for name in average}
        load(own, average)
        self.sheet(self.pipeline, file)
        load(own, kept)


@torch.no_grad()
def load(parameters: dict[str, nn.Parameter], values: Average) -> None:
    """Copy values in place."""
    for name, value in values.items():
        parameters[name].copy_(value)


def distill_stage(
    source: CodedSource,
    model: LumierePipeline,
    config: DistillConfig,
    sheet: Callable[[LumierePipeline, Path], None] | None = None,
) -> DistillStage:
    """The stage of a model of latents, whose samples are then made at the student's levels."""
    torch.manual_seed(config.loop.seed)
    net = model.stunet.requires_grad_(False).float().to(memory_format=torch.channels_last)
    inject_adapter_in_model(
        LoraConfig(r=config.rank, lora_alpha=config.rank, target_modules=layers_of(net)), net
    )
    scheduler = FlowMatchEulerDiscreteScheduler(shift=config.shift)
    model.register_modules(scheduler=scheduler)
    return DistillStage(net=net, pipeline=model, source=source, config=config, sheet=sheet)


def layers_of(net: nn.Module) -> list[str]:
    """The names of all linear layers and flat convolutions."""
    return [name for name, layer in net.named_modules() if type(layer) in LAYERS]


@contextmanager
def without_factors(net: nn.Module) -> Iterator[None]:
    """The net as it was, for the teacher."""
    adapted: list[Any] = [layer for layer in net.modules() if isinstance(layer, BaseTunerLayer)]
    for layer in adapted:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in adapted:
            layer.enable_adapters(True)


def student_levels(config: DistillConfig) -> list[float]:
    """From 1, noise, to 0, as the flow's solver spaces them (`process_of`)."""
    even = 1 - torch.arange(config.steps + 1) / config.steps
    return [float(level) for level in shifted(even, config.shift)]


def draw_interval(levels: list[float], latest: float, generator: torch.Generator) -> int:
    """One of those that begin at `latest` or under less noise."""
    first = next(index for index, level in enumerate(levels) if level <= latest)
    return int(torch.randint(first, len(levels) - 1, (), generator=generator))


def teacher_levels(config: DistillConfig, interval: int) -> list[float]:
    """The student's two levels and the teacher's between them, evenly spaced before the teacher's
    own shift.
    """
    levels = torch.tensor(student_levels(config)[interval : interval + 2])
    even = shifted(levels, 1 / config.teacher_shift)
    between = torch.linspace(float(even[0]), float(even[1]), config.teacher_steps + 1)
    return [float(level) for level in shifted(between, config.teacher_shift)]


def mean_velocity(
    velocity: Callable[[Tensor, float], Tensor], noisy: Float[Tensor, "b ..."], levels: list[float]
) -> Float[Tensor, "b ..."]:
    """The velocity that leads in one step of Euler's to where steps over all levels do."""
    moved = noisy
    for level, following in pairwise(levels):
        moved = moved + (following - level) * velocity(moved, level)
    return (noisy - moved) / (levels[0] - levels[-1])
