"""LoRA on any backbone: low-rank factors beside the layers of a frozen net (Hu et al. 2021), by
PEFT, trained on a person's own clips.

What a family is trained with is its own process' levels and its own denoiser: the loss is the error
of the clean clip that the net's prediction stands for. So one stage serves our inflated nets and
every published family of `backbones/registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from jaxtyping import Float
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from openlumiere.contract import NATIVE_RATE, TIMES, Backbone, Condition, Level, join
from openlumiere.data.ingest.source import ShardSource
from openlumiere.engine.base import LumierePipeline, PipelineSampling
from openlumiere.engine.run import Plan, run
from openlumiere.media import Clip, contact_sheet, filmstrip, save_image
from openlumiere.media.write import write_whole
from openlumiere.models.lora import AdapterConfig, sort_tensors
from openlumiere.models.style import Style
from openlumiere.train.config import LoraTraining
from openlumiere.train.step import Average, Losses, Stage, noise_like

FILE = "lora.safetensors"
TRUNCATION = 6.0  # the greatest weight of an error of the clean clip
SHOWN, STEPS = 4, 8  # validation prompts, and the steps that their clips take
LAYERS = {
    "attention": r".*\.(to_q|to_k|to_v|to_out\.0)",
    "linear": r".*\.(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|net\.0\.proj|net\.2)",
}
"""Layers that are given factors, by the names that diffusers' blocks have in common."""

Writer = Callable[[dict[str, Tensor], Path], None]
"""Writes factors, by PEFT's names, to a file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoraStage(Stage):
    """The factors of an adapted net, and their loss on clips of `source`.

    A run's averaged factors are at `run/lora.safetensors`.
    """

    backbone: Backbone
    source: ShardSource
    config: LoraTraining
    write: Writer
    conditions: dict[str, Condition] = field(default_factory=dict)

    def move_to(self, position: int) -> None:
        """Where the run is in its clips."""
        self.source.move_to(position)

    @torch.no_grad()
    def clean(self, count: int) -> tuple[Float[Tensor, "b c f h w"], list[str]]:
        """`count` coded clips and their captions."""
        drawn = self.source.draw_all(count)
        return self.backbone.codec.encode(drawn.pixels), drawn.captions

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of `count` clips under captions, some of them dropped; times are uniform."""
        clean, captions = self.clean(count)
        dropped = torch.rand(count, generator=generator) < self.config.text_dropout
        prompts = ["" if drop else caption for caption, drop in zip(captions, dropped)]
        time = torch.rand(count, generator=generator) * TIMES
        noise = noise_like(clean, generator)
        level = self.backbone.process.level(time.floor()).to(clean.device)
        condition = join([self.condition(prompt) for prompt in prompts])
        return Losses(self.error(net, clean, noise, level, condition), time / TIMES)

    def error(
        self, net: Any, clean: Tensor, noise: Tensor, level: Level, condition: Condition
    ) -> Float[Tensor, " b"]:
        """The squared error of the clean clip, weighted as one of the velocity: by `1 / sigma^2`,
        at most 6 (our choice).
        """
        backbone: Any = self.backbone
        through = backbone if net is self.net else replace(backbone, net=Wrapped(net, self.net))
        predicted = through.denoise(level.noised(clean, noise), level, condition)
        error = (predicted - clean).square().flatten(1).mean(1)
        return error * (1 / level.sigma.square().clamp(min=1e-6)).clamp(max=TRUNCATION).to(error)

    @torch.no_grad()
    def condition(self, prompt: str) -> Condition:
        """Of one prompt; each is encoded once a run."""
        if prompt not in self.conditions:
            config = self.source.shards.config
            times = torch.arange(config.frames) * float(NATIVE_RATE / config.fps)
            self.conditions[prompt] = self.backbone.condition(
                [prompt],
                frames=config.frames,
                height=config.side,
                width=config.side,
                frame_times=times,
            )
        return self.conditions[prompt]

    def export(self, average: Average, run: Path) -> None:
        """Write `run/lora.safetensors`."""
        factors = {name.replace(".default.", "."): value for name, value in average.items()}
        write_whole(run / FILE, partial(self.write, factors))

    def release(self, average: Average, folder: Path) -> None:
        """Write the factors alone."""
        folder.mkdir(parents=True, exist_ok=True)
        self.export(average, folder)

    def show(self, average: Average, file: Path) -> None:
        """Save strips of clips of the validation prompts: those of `prompts`, or the first
        captions.
        """
        captions = dict.fromkeys(str(row["caption"]) for row in self.source.shards.rows)
        prompts = (self.config.prompts or tuple(captions))[:SHOWN]
        with averaged_in(self.net, average):
            strips = [filmstrip(self.sample(prompt), 8) for prompt in prompts]
        save_image(contact_sheet(strips, 1, list(prompts)), file)

    def sample(self, prompt: str) -> Clip:
        """A clip of a prompt in the form of the shards, by the net as it is."""
        config = self.source.shards.config
        plan = Plan(
            prompts=(prompt,),
            frames=config.frames,
            height=config.side,
            width=config.side,
            frame_times=torch.arange(config.frames) * float(NATIVE_RATE / config.fps),
        )
        made = run(self.backbone, plan, PipelineSampling(steps=STEPS))
        return Clip(made[0], fps=config.fps)


class Wrapped:
    """A net that is called by way of what averages its gradients over processes."""

    def __init__(self, wrapper: Any, net: Any):
        self.wrapper, self.net = wrapper, net

    def __call__(self, *given: Any, **named: Any) -> Any:
        """As the net."""
        return self.wrapper(*given, **named)

    def __getattr__(self, name: str) -> Any:
        """The net's."""
        return getattr(self.net, name)


@contextmanager
def averaged_in(net: nn.Module, average: Average) -> Iterator[None]:
    """The averaged factors in a net's place of the trained ones, for a while."""
    parameters = {name: value for name, value in net.named_parameters() if name in average}
    trained = {name: value.detach().clone() for name, value in parameters.items()}
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(average[name])
        yield
        for name, value in parameters.items():
            value.copy_(trained[name])


def lora_stage(model: Any, source: ShardSource, config: LoraTraining) -> LoraStage:
    """The stage of a model of `engine/model.py`. Raises ValueError for clips of another form than
    it takes, and for a model of two denoising nets.
    """
    backbone: Any = model.backbone
    check_clips(backbone, source)
    if getattr(backbone, "low", None) is not None:
        raise ValueError(
            "model: expected one denoising net, got two (a high-noise and a low-noise one), train"
            " on the family's model of one net"
        )
    net = backbone.net.requires_grad_(False).float().train()
    torch.manual_seed(config.loop.seed)
    inject_adapter_in_model(
        LoraConfig(r=config.rank, lora_alpha=config.rank, target_modules=LAYERS[config.adapt]),
        net,
    )
    if config.checkpointing:
        net.enable_gradient_checkpointing()
    write = partial(write_style, net) if is_ours(model) else partial(write_diffusers, model.name)
    return LoraStage(
        net=net,
        backbone=backbone,
        source=source,
        config=config,
        write=write,
        frames=source.shards.config.frames,
    )


def is_ours(model: Any) -> bool:
    """Whether a model is an inflated picture net."""
    return isinstance(model, LumierePipeline)


def check_clips(backbone: Backbone, source: ShardSource) -> None:
    """Raise ValueError where a net does not take clips of this side or of so many frames."""
    config = source.shards.config
    fitting = backbone.native.frames_for(config.frames)
    if fitting != config.frames:
        raise ValueError(
            f"data: expected clips of {fitting} frames for this model, got {config.frames}, ingest"
            f" with --frames {fitting}"
        )
    multiple = backbone.native.multiple
    if config.side % multiple:
        raise ValueError(
            f"data: expected a side that divides by {multiple} for this model, got {config.side},"
            f" ingest with --side {config.side // multiple * multiple or multiple}"
        )


def write_style(net: Any, factors: dict[str, Tensor], file: Path) -> None:
    """Our nets' factors as a style, which `--style` reads; layers of the picture net go by its own
    names.
    """
    named = {name.removeprefix("unet2d."): value.float().cpu() for name, value in factors.items()}
    config = AdapterConfig(lora_alpha=float(rank_of(factors)))
    low_rank, full = sort_tensors(named, config)
    Style("lora", low_rank, full, fingerprint_of(net)).save(file)


def rank_of(factors: dict[str, Tensor]) -> int:
    """Of the first factor that goes down."""
    return len(next(value for name, value in factors.items() if "lora_A" in name))


def fingerprint_of(net: Any) -> str:
    """That of the picture net without its adapters."""
    plain = type(net).from_config(net.config)
    state = {name.replace(".base_layer.", "."): value for name, value in net.state_dict().items()}
    plain.load_state_dict({name: value for name, value in state.items() if "lora_" not in name})
    return str(plain.fingerprint())


def write_diffusers(pipeline: str, factors: dict[str, Tensor], file: Path) -> None:
    """A published family's factors as diffusers' own `load_lora_weights` reads them; there an alpha
    that is not said is the rank.
    """
    layers = {name: value.contiguous().cpu() for name, value in factors.items()}
    getattr(diffusers, pipeline).save_lora_weights(
        file.parent, transformer_lora_layers=layers, weight_name=file.name
    )
