"""LoRA on any backbone: low-rank factors beside the layers of a frozen net (Hu et al. 2021), by
PEFT, trained on a person's own clips by the family's own process (`backbone.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor

from openlumiere.engine.base import LumierePipeline
from openlumiere.media.write import write_whole
from openlumiere.models.lora import AdapterConfig, sort_tensors
from openlumiere.models.style import Style
from openlumiere.train.config import LoraTraining
from openlumiere.train.stages.backbone import BackboneStage, Bucket, in_turn
from openlumiere.train.step import Average

FILE = "lora.safetensors"
LAYERS = {
    "attention": r".*\.(to_q|to_k|to_v|to_out\.0)",
    "linear": r".*\.(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|net\.0\.proj|net\.2)",
}
"""Layers that are given factors, by the names that diffusers' blocks have in common."""

Writer = Callable[[dict[str, Tensor], Path], None]
"""Writes factors, by PEFT's names, to a file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoraStage(BackboneStage):
    """The factors of an adapted net. A run's averaged factors are at `run/lora.safetensors`."""

    config: LoraTraining
    write: Writer

    @property
    def prompts(self) -> tuple[str, ...]:
        """Validation prompts: those that are named, or the first captions."""
        return self.config.prompts or super().prompts

    def export(self, average: Average, run: Path) -> None:
        """Write `run/lora.safetensors`."""
        factors = {name.replace(".default.", "."): value for name, value in average.items()}
        write_whole(run / FILE, partial(self.write, factors))

    def release(self, average: Average, folder: Path) -> None:
        """Write the factors alone."""
        folder.mkdir(parents=True, exist_ok=True)
        self.export(average, folder)


def lora_stage(model: Any, buckets: Sequence[Bucket], config: LoraTraining) -> LoraStage:
    """The stage of a model of `engine/model.py`. Raises ValueError for clips of another form than
    it takes, and for a model of two denoising nets.
    """
    backbone: Any = model.backbone
    drawn = in_turn(backbone, buckets, config.loop.seed)
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
    frames = buckets[0].source.shards.config.frames
    return LoraStage(net=net, config=config, write=write, frames=frames, **drawn)


def is_ours(model: Any) -> bool:
    """Whether a model is an inflated picture net."""
    return isinstance(model, LumierePipeline)


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
