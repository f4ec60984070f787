"""Training on clips of a model of latents: the temporal parameters of an inflated net, our own or a
published picture net's (`lumiere inflate`), by its own process; for `conditional` also of what the
net is given of known content (`masks.py`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from openlumiere.contract import Condition
from openlumiere.engine.base import LumierePipeline
from openlumiere.media.write import write_whole
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import VideoConfig
from openlumiere.train.nets import averaged, save
from openlumiere.train.stages.backbone import BackboneStage, Bucket, in_turn
from openlumiere.train.stages.video import draw_known, draw_times, make_ready, widen
from openlumiere.train.step import Average


@dataclass(frozen=True, kw_only=True, eq=False)
class TemporalStage(BackboneStage):
    """The temporal parameters of `model`'s net. A run's averaged temporal weights are at
    `run/temporal`, the whole model in half precision at `run/model`.
    """

    net: STUNet
    model: LumierePipeline
    config: VideoConfig
    masked: bool = False

    def frame_times(self, generator: torch.Generator) -> Float[Tensor, " f"]:
        """Every `stride`-th native frame."""
        return draw_times(self.config, generator)

    def conditioned(
        self, condition: Condition, clean: Tensor, generator: torch.Generator
    ) -> Condition:
        """With the clean clip where masks, drawn in their shares, say that it is known."""
        if not self.masked:
            return condition
        return replace(condition, known=draw_known(clean, generator, self.config.unknown))

    def export(self, average: Average, run: Path) -> None:
        """Write `run/temporal` in full precision and `run/model` in half."""
        write_whole(run / "temporal", averaged(self.net, average).save_temporal)
        self.release(average, run / "model")

    def release(self, average: Average, folder: Path) -> None:
        """Write the whole model in half precision."""
        parts = {name: halved(part) for name, part in self.model.components.items()}
        values = {name: self.model.config[name] for name in SETTINGS}
        net = averaged(self.net, average).half()
        save(LumierePipeline(**{**parts, **values, "stunet": net}), folder)


SETTINGS = ("unshuffle", "force_zeros_for_empty_prompt", "path_spacing", "path_until")


def halved(part: Any) -> Any:
    """A copy of a net in half precision; what is no net as it is."""
    return copy.deepcopy(part).half() if isinstance(part, nn.Module) else part


def temporal_stage(
    model: LumierePipeline, clips: Bucket, config: VideoConfig, masked: bool = False
) -> TemporalStage:
    """The stage of a model of latents; `masked` trains one net for every task, whose input is
    widened for what is known. Raises ValueError for clips of another form than it takes.
    """
    drawn = in_turn(model.backbone, [clips], config.loop.seed)
    torch.manual_seed(config.loop.seed)
    net = model.stunet
    if masked:
        widen(net)
    make_ready(net, config)
    return TemporalStage(
        net=net,
        model=model,
        config=config,
        masked=masked,
        frames=config.frames // config.stride,
        **drawn,
    )
