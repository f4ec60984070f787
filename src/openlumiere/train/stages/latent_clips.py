"""Training on coded clips: the picture net of `picture.py`, frozen and inflated, whose temporal
parameters learn the same flow over all frames of a clip at once (the paper's second stage, in
latents); and conditional training, where they also read what is known of the clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor, nn

from openlumiere.engine.base import LumierePipeline
from openlumiere.media.write import write_whole
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import LatentClipConfig
from openlumiere.train.nets import averaged, save
from openlumiere.train.stages.picture import (
    Coded,
    CodedSource,
    draw_times,
    flow_loss,
    padded_states,
)
from openlumiere.train.stages.video import draw_known
from openlumiere.train.start import copy_temporal, open_model
from openlumiere.train.step import Average, Losses, Stage


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentClipStage(Stage):
    """The temporal parameters of an inflated picture net, and their loss on coded clips.

    A run's averaged temporal weights are at `run/temporal`, the whole model in half precision at
    `run/model`. `sheet(pipeline, file)` makes strips of samples.
    """

    net: STUNet
    source: CodedSource
    codec: StickerAutoencoder
    scheduler: FlowMatchEulerDiscreteScheduler
    config: LatentClipConfig
    sheet: Callable[[LumierePipeline, Path], None] | None = None

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of `count` coded clips, or of fewer longer ones, under captions, some of them dropped."""
        drawn = self.source.draw(generator, count)
        dropout = self.config.text_dropout
        states, mask = padded_states(drawn.states, self.source.empty, dropout, generator)
        time = drawn.latest * draw_times(len(drawn.latents), self.config, generator)
        moments = drawn.times
        if moments is None:
            moments = self.config.stride * torch.arange(drawn.latents.shape[2]).float()
        loss = flow_loss(
            net,
            drawn.latents,
            states,
            mask,
            time,
            self.config.bf16,
            generator,
            known=self.known(drawn, generator),
            frame_times=moments,
        )
        return Losses(loss, time)

    def known(
        self, drawn: Coded, generator: torch.Generator
    ) -> Float[Tensor, "b c_plus_1 f h w"] | None:
        """The channels of what a conditional net is given of clips."""
        if not self.config.conditional:
            return None
        unknown = 0.0 if drawn.shown else self.config.unknown
        known = draw_known(drawn.latents, generator, unknown)
        return known.as_channels(self.net.config.hold_known)

    def export(self, average: Average, run: Path) -> None:
        """Write `run/temporal` in full precision and `run/model` in half."""
        write_whole(run / "temporal", averaged(self.net, average).save_temporal)
        self.release(average, run / "model")

    def release(self, average: Average, folder: Path) -> None:
        """Write the whole model in half precision."""
        save(self.pipeline(averaged(self.net, average).half(), self.codec.half()), folder)
        self.codec.float()

    def show(self, average: Average, file: Path) -> None:
        """Save the sheet, where there is one."""
        if self.sheet is not None:
            self.sheet(self.pipeline(averaged(self.net, average), self.codec), file)

    def pipeline(self, net: STUNet, codec: StickerAutoencoder) -> LumierePipeline:
        """The net as a model that tasks run on."""
        return LumierePipeline(net, self.scheduler, vae=codec)


def latent_clip_stage(
    source: CodedSource,
    unet: UNet2DConditionModel,
    codec: StickerAutoencoder,
    config: LatentClipConfig,
    *,
    shift: float,
    start: Path | None = None,
    sheet: Callable[[LumierePipeline, Path], None] | None = None,
) -> LatentClipStage:
    """The stage of a picture net that is inflated anew, or with the temporal weights of the model
    or run `start`, whose picture net may be an earlier one (decision 11).

    `shift` moves the levels that clips are sampled at towards noise.
    """
    torch.manual_seed(config.loop.seed)
    channels = unet.config.in_channels
    net = STUNet.from_unet2d(
        unet,
        attention_blocks=config.attention_blocks,
        place_positions=config.place_positions,
        hold_known=config.conditional,
        known_blocks=config.known_blocks if config.conditional else 0,
        in_channels=2 * channels + 1 if config.conditional else channels,
    )
    if start is not None:
        copy_temporal(open_model(start).stunet, net)
    net.to(memory_format=torch.channels_last).train()
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    return LatentClipStage(
        net=net, source=source, codec=codec, scheduler=scheduler, config=config, sheet=sheet
    )
