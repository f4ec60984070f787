"""Super-resolution training: a small picture net on drawn pictures and on what the base net makes
of them, then its temporal part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn

from openlumiere.backbones.unet import CLASSES
from openlumiere.contract import Condition
from openlumiere.diffusion.loss import clean_loss
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.engine.cascade import LEVELS, LOW, LumiereUpscalePipeline, UpscaleDenoiser
from openlumiere.models.codec import ResidualCodec
from openlumiere.models.folder import UPSCALER
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import UpscalerConfig
from openlumiere.train.data import TEXTS
from openlumiere.train.nets import (
    FACTOR,
    averaged,
    build_scheduler,
    build_unet,
    inflate_upscaler,
    save,
)
from openlumiere.train.pairs import Pairs
from openlumiere.train.start import open_upscaler, open_upscaler_unet
from openlumiere.train.step import Losses, Stage, noise_like

NOISELESS = 1 / 3  # share of low-resolution frames to which no noise is added
LAST_STEP = 0.5  # share of samples at the last timestep, with which few steps begin


@dataclass(frozen=True, kw_only=True)
class UpscalerStage(Stage):
    """The picture net, or the temporal parameters of its inflation, and their loss.

    A run's averaged picture net is at `run/unet`; the inflated net, in half precision and the
    pipeline's layout, at `run/upscaler`.
    """

    net: UNet2DConditionModel | STUNet
    pairs: Pairs
    codec: ResidualCodec
    config: UpscalerConfig
    scheduler: DDIMScheduler

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of `count` crops."""
        texts = self.pairs.texts
        high, low, captions = self.pairs.draw(count, generator)
        low, level = add_low_noise(low, self.config.most_noise, generator)
        clean = self.codec.encode(high, low).to(texts.device)
        low = low.to(texts.device)
        states, mask = texts.draw(captions, self.config.text_dropout, generator)
        condition = Condition(
            text=states,
            text_mask=mask,
            over_frames={LOW: low},
            whole={CLASSES: level.to(texts.device) * LEVELS},
        )
        process = VariancePreserving(self.scheduler)
        denoiser = UpscaleDenoiser(net, process, still=self.still)

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            return denoiser(noisy, process.level(timestep), condition)

        timestep = draw_steps(count, process.steps, generator).to(clean.device)
        noise = noise_like(clean, generator)
        loss = clean_loss(predict, clean, noise, timestep, process)
        return Losses(loss, timestep / process.steps)

    @property
    def still(self) -> bool:
        """Whether it is the picture net that trains."""
        return isinstance(self.net, UNet2DConditionModel)

    def export(self, average: dict[str, Tensor], run: Path) -> None:
        """Write `run/upscaler`, and the picture net that trained."""
        self.pairs.texts.keep(run / TEXTS)
        self.release(average, run / UPSCALER)
        if self.still:
            save(averaged(self.net, average), run / "unet")

    def release(self, average: dict[str, Tensor], folder: Path) -> None:
        """Write the whole super-resolution model in half precision."""
        net = averaged(self.net, average)
        if self.still:
            net = inflate_upscaler(net)
        gain = self.config.gain
        save(LumiereUpscalePipeline(net.half(), self.scheduler, factor=FACTOR, gain=gain), folder)


def upscaler_stage(
    pairs: Pairs, net: UNet2DConditionModel | STUNet, config: UpscalerConfig
) -> UpscalerStage:
    """The stage of a picture net (`picture_net`), or of its inflation (`clip_net`)."""
    torch.manual_seed(config.loop.seed)
    net.to(memory_format=torch.channels_last).train()
    return UpscalerStage(
        net=net,
        pairs=pairs,
        codec=ResidualCodec(FACTOR, config.gain),
        config=config,
        scheduler=build_scheduler("squaredcos_cap_v2"),
        frames=config.frames,
    )


def picture_net(config: UpscalerConfig, start: Path | None = None) -> UNet2DConditionModel:
    """A picture net to train: new, or what `start` holds.

    Raises ValueError where that is of another shape.
    """
    torch.manual_seed(config.loop.seed)
    net = build_unet(config) if start is None else open_upscaler_unet(start)
    widths = tuple(net.config.block_out_channels)
    if widths != config.widths:
        raise ValueError(
            f"start: expected a net of widths {config.widths}, got {widths}, start from one of"
            " this preset"
        )
    return net


def clip_net(picture: Path | None, start: Path | None, seed: int) -> STUNet:
    """A net to train in time: the inflated picture net of `picture`, or all of the one in `start`,
    which goes first.
    """
    torch.manual_seed(seed)
    if start is not None:
        return open_upscaler(start).stunet
    if picture is None:
        raise ValueError("start: expected a model, or a picture net, got neither, name one")
    return inflate_upscaler(open_upscaler_unet(picture))


def add_low_noise(
    low: Float[Tensor, "b 3 f h w"], most: float, generator: torch.Generator
) -> tuple[Float[Tensor, "b 3 f h w"], Float[Tensor, " b"]]:
    """Noise of a level of its own, up to `most`, for each, none for every third; and the levels."""
    level = most * torch.rand(len(low), generator=generator)
    level = level * (torch.rand(len(low), generator=generator) > NOISELESS)
    noise = torch.randn(low.shape, generator=generator)
    return low + level.view(-1, 1, 1, 1, 1) * noise, level


def draw_steps(count: int, steps: int, generator: torch.Generator) -> Int[Tensor, " b"]:
    """Timesteps, every other one the last, which has no signal and which few steps begin with."""
    timestep = torch.randint(steps, (count,), generator=generator)
    last = torch.rand(count, generator=generator) < LAST_STEP
    return torch.where(last, steps - 1, timestep)
