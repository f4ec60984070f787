"""Distillation of a model: low-rank factors beside its layers learn to make a clip in a few steps
without guidance, as the model does in many with it.

One stage of progressive distillation (Salimans and Ho 2022) with guidance folded in (Meng et al.
2023): a student's step from one level to the next has to arrive where several guided steps of the
teacher do. That the student is the teacher with LoRA factors is as in LCM-LoRA (Luo et al. 2023).
The levels, and one interval a batch, are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from openlumiere.backbones.unet import UNetBackbone
from openlumiere.contract import (
    TIMES,
    Condition,
    Denoiser,
    Level,
    Process,
    broadcast,
)
from openlumiere.diffusion.process import with_shift
from openlumiere.diffusion.wrappers import clipped, guided
from openlumiere.engine.base import LumierePipeline
from openlumiere.media.write import write_whole
from openlumiere.models.fast import FILE, Fast
from openlumiere.models.folder import write_checksums
from openlumiere.models.lora import AdapterConfig, LowRank, sort_tensors
from openlumiere.models.style import Style
from openlumiere.train.config import DistillConfig
from openlumiere.train.data import LAST_FRAME, CaptionStates, Ordered, Source, move
from openlumiere.train.stages.backbone import TRUNCATION, Wrapped, averaged_in
from openlumiere.train.stages.picture import shifted
from openlumiere.train.stages.video import draw_known
from openlumiere.train.step import Average, Losses, Stage, noise_like

LAYERS = (nn.Linear, nn.Conv2d)
NATIVE_FRAMES = LAST_FRAME + 1


class Batch(NamedTuple):
    """Coded clips, what conditions them, and the condition of the empty prompt, of one row.

    `latest` is the most noise, as a share of the diffusion time, that they are learnt under.
    """

    clean: Float[Tensor, "b c f h w"]
    condition: Condition
    empty: Condition
    latest: float = 1.0


@runtime_checkable
class Batches(Protocol):
    """Where clips come from, by the generator alone."""

    def draw(self, generator: torch.Generator, count: int) -> Batch:
        """About `count` of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnClips:
    """Clips of a world or of shards, for a model of pixels: of frames `stride` apart, or of every
    frame, half as many and twice as long; a net that reads what is known is given some of it.
    """

    source: Source
    texts: CaptionStates
    model: LumierePipeline
    config: DistillConfig

    def move_to(self, position: int) -> None:
        """Where the run is in its clips."""
        move(self.source, position)

    def draw(self, generator: torch.Generator, count: int) -> Batch:
        """`count` clips, or half as many."""
        frames, stride, latest = self.config.frames, self.config.stride, 1.0
        if float(torch.rand((), generator=generator)) < self.config.every_frame:
            count, frames, stride, latest = max(count // 2, 1), 2 * frames, 1, self.latest
        first = torch.randint(NATIVE_FRAMES - stride * (frames - 1), (), generator=generator)
        times = (first + stride * torch.arange(frames)).float()
        drawn = self.source.draw(generator, count, times)
        clean = self.model.codec.encode(drawn.pixels)
        states, mask = self.texts.draw(drawn.captions, 0.0, generator)
        known = None
        if self.model.backbone.reads.known:
            known = draw_known(clean, generator, self.config.unknown)
        told = Condition(text=states, text_mask=mask, known=known, frame_times=times)
        empty, mask = self.texts.draw([""], 0.0, generator)
        return Batch(clean, told, Condition(text=empty, text_mask=mask), latest)

    @property
    def latest(self) -> float:
        """The most noise under which the model looks at every frame."""
        of_a_path = self.model.config.path_spacing > 1
        return self.model.config.path_until / TIMES if of_a_path else 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class DistillStage(Stage):
    """Factors of a frozen model, and their loss. A run's averaged factors are at
    `run/fast.safetensors`.

    The levels of `model` are the student's; the teacher's are moved towards noise by
    `teacher_shift`. `sheet(pipeline, file)` makes strips of samples.
    """

    net: nn.Module
    model: LumierePipeline
    source: Batches
    config: DistillConfig
    teacher_shift: float = 1.0
    sheet: Callable[[LumierePipeline, Path], None] | None = None

    def move_to(self, position: int) -> None:
        """Where the run is in its clips."""
        if isinstance(self.source, Ordered):
            self.source.move_to(position)

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of about `count` clips in one interval between two levels of the student.

        It is the squared error of the clean clip, weighted as one of the velocity (`backbone.py`).
        """
        backbone = self.model.backbone
        drawn = self.source.draw(generator, count)
        times = student_times(backbone.process, self.config.steps)
        interval = draw_interval(times, drawn.latest, generator)
        levels = self.teacher_levels(backbone.process, times, interval, len(drawn.clean))
        begin = levels[0]
        noisy = begin.noised(drawn.clean, noise_like(drawn.clean, generator))
        with without_factors(self.net), torch.no_grad():
            teacher = self.teacher(backbone, drawn.empty)
            target = clean_between(noisy, teacher, levels, drawn.condition)
        student = self.precisely(backbone if net is self.net else through(backbone, net))
        error = (student(noisy, begin, drawn.condition) - target).square().flatten(1).mean(1)
        weight = (1 / begin.sigma.square()).clamp(max=TRUNCATION).to(error)
        return Losses(error * weight, begin.time / TIMES - 1e-6)

    def teacher_levels(
        self, process: Process, times: list[float], interval: int, count: int
    ) -> list[Level]:
        """Those of the teacher within an interval of the student's, for so many clips."""
        ends = times[interval : interval + 2]
        between = teacher_times(ends, self.config.teacher_steps, self.teacher_shift)
        return [level_at(process, time, count) for time in between]

    def teacher(self, backbone: UNetBackbone, empty: Condition) -> Denoiser:
        """The model as its clips are made, under guidance."""
        denoise = guided(self.precisely(backbone), empty, self.config.guidance)
        if not backbone.codec.bounded:
            return denoise
        quantile, limit = backbone.process.thresholding
        return clipped(denoise, quantile=quantile, limit=limit)

    def precisely(self, backbone: UNetBackbone) -> Denoiser:
        """A backbone whose matrices are multiplied as the configuration says."""

        def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
            with torch.autocast(noisy.device.type, torch.bfloat16, enabled=self.config.bf16):
                return backbone.denoise(noisy, level, condition)

        return denoise

    def export(self, average: Average, run: Path) -> None:
        """Write `run/fast.safetensors`."""
        write_whole(run / FILE, fast_of(average, self.model, self.config.kept).save)

    def release(self, average: Average, folder: Path) -> None:
        """Write the factors into a model's folder, and its checksums anew."""
        self.export(average, folder)
        write_checksums(folder)

    def show(self, average: Average, file: Path) -> None:
        """Save the sheet of clips that the averaged factors make in the student's steps."""
        if self.sheet is not None:
            with averaged_in(self.net, average):
                self.sheet(self.model, file)


def distill_stage(
    source: Batches,
    model: LumierePipeline,
    config: DistillConfig,
    sheet: Callable[[LumierePipeline, Path], None] | None = None,
    start: Fast | None = None,
) -> DistillStage:
    """The stage of a model, whose samples are then made at the student's levels. Its factors are
    new, or begin as those of `start`, perhaps of an earlier model.
    """
    torch.manual_seed(config.loop.seed)
    net = model.stunet.requires_grad_(False).float().to(memory_format=torch.channels_last)
    inject_adapter_in_model(
        LoraConfig(r=config.rank, lora_alpha=config.rank, target_modules=layers_of(net)), net
    )
    if start is not None:
        begin_as(net, start)
    teacher_shift = shift_of(model)
    model.scheduler = with_shift(model.scheduler, config.shift)
    return DistillStage(
        frames=config.frames,
        net=net,
        model=model,
        source=source,
        config=config,
        teacher_shift=teacher_shift,
        sheet=sheet,
    )


@torch.no_grad()
def begin_as(net: nn.Module, start: Fast) -> None:
    """Copy factors into those of a net, by the layers' names; a layer that has none in `start`
    keeps its new ones. Raises ValueError for factors of a higher rank.
    """
    adapted: dict[str, Any] = {
        name.removeprefix("unet2d."): layer
        for name, layer in net.named_modules()
        if isinstance(layer, BaseTunerLayer)
    }
    for name, low in start.factors.low_rank.items():
        down, up = adapted[name].lora_A["default"].weight, adapted[name].lora_B["default"].weight
        rank = len(low.down)
        if rank > len(down):
            raise ValueError(
                f"rank: expected at least {rank}, that of the factors to begin with, got"
                f" {len(down)}, raise --config.rank"
            )
        down[:rank] = low.down
        up[:, :rank] = low.scale * low.up


def shift_of(model: LumierePipeline) -> float:
    """How far the model's levels are moved towards noise."""
    return float(model.scheduler.config.get("shift", 1.0))


def layers_of(net: nn.Module) -> list[str]:
    """The names of all linear layers and flat convolutions."""
    return [name for name, layer in net.named_modules() if type(layer) in LAYERS]


def through(backbone: UNetBackbone, net: nn.Module) -> UNetBackbone:
    """A backbone whose net is called by way of what averages its gradients over processes."""
    return replace(backbone, net=Wrapped(net, backbone.net))


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


def fast_of(factors: Average, model: LumierePipeline, kept: int) -> Fast:
    """Factors, by PEFT's names, as a model's folder holds them: cut to rank `kept`, layers of the
    picture net by its own names.
    """
    named = {
        name.replace(".default.", ".").removeprefix("unet2d."): value.float().cpu()
        for name, value in factors.items()
    }
    low_rank, full = sort_tensors(named, AdapterConfig())  # alpha is the rank
    cut = {name: cut_to(low, kept) for name, low in low_rank.items()}
    path = model.backbone.sparse
    return Fast(factors=Style("fast", cut, full), shift=shift_of(model), path=path)


def cut_to(low: LowRank, rank: int) -> LowRank:
    """The nearest factors of a rank (Eckart and Young 1936)."""
    left, values, right = torch.linalg.svd(low.change.flatten(1), full_matrices=False)
    share = values[:rank].sqrt()
    up = (left[:, :rank] * share).view(-1, len(share), *low.up.shape[2:])
    down = (share[:, None] * right[:rank]).view(-1, *low.down.shape[1:])
    return LowRank(down, up, 1.0)


def student_times(process: Process, steps: int) -> list[float]:
    """Diffusion times that the model's own solver takes, and 0."""
    solver = process.solver(None, steps=steps, like=torch.zeros(1, 1, 1, 1, 1))
    return [*(float(solver.level(call).time) for call in range(solver.calls)), 0.0]


def draw_interval(times: list[float], latest: float, generator: torch.Generator) -> int:
    """One of those that begin at `latest` or under less noise: the earlier of two draws, as what
    moves where is decided under most noise, and is hardest to learn in one step.
    """
    first = next(index for index, time in enumerate(times) if time <= latest * TIMES)
    return int(torch.randint(first, len(times) - 1, (2,), generator=generator).min())


def teacher_times(ends: list[float], steps: int, shift: float) -> list[float]:
    """The two ends and the teacher's times between them, evenly spaced before its shift."""
    begin, end = shifted(torch.tensor(ends, dtype=torch.float64) / TIMES, 1 / shift)
    between = torch.linspace(float(begin), float(end), steps + 1, dtype=torch.float64)
    return [float(TIMES * time) for time in shifted(between, shift)]


def level_at(process: Process, time: float, count: int) -> Level:
    """The level of so many clips at a time; at 0 they are clean."""
    if time <= 0:
        nothing = torch.zeros(count)
        return Level(alpha=1 - nothing, sigma=nothing, time=nothing)
    return process.level(torch.full((count,), time))


def clean_between(
    noisy: Float[Tensor, "b ..."], denoise: Denoiser, levels: list[Level], condition: Condition
) -> Float[Tensor, "b ..."]:
    """The clean clip by which one step arrives where steps over all levels do (DDIM's, Song et al.
    2021; for a flow they are Euler's).
    """
    moved = noisy
    for level, following in pairwise(levels):
        moved = stepped(moved, denoise(moved, level, condition), level, following)
    ratio, signal = step_of(levels[0], levels[-1], noisy)
    return (moved - ratio * noisy) / signal


def stepped(
    noisy: Float[Tensor, "b ..."], clean: Float[Tensor, "b ..."], level: Level, following: Level
) -> Float[Tensor, "b ..."]:
    """The clip at the next level, given what is predicted to be clean."""
    ratio, signal = step_of(level, following, noisy)
    return ratio * noisy + signal * clean


def step_of(level: Level, following: Level, noisy: Float[Tensor, "b ..."]) -> tuple[Tensor, Tensor]:
    """What a step keeps of the noisy clip, and what it adds of the clean one."""
    ratio = following.sigma / level.sigma
    signal = following.alpha - ratio * level.alpha
    return broadcast(ratio, noisy), broadcast(signal, noisy)
