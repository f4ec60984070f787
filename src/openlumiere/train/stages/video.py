"""Training on clips: text to video, where the frozen picture net is inflated and its temporal
parameters alone are trained (the paper's second stage), and conditional training, one net for every
task (paper: input <J, C, M>, noisy clip, masked known clip, mask).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import DDIMScheduler
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from openlumiere.contract import Known
from openlumiere.diffusion.loss import clean_loss, draw_timesteps
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.engine.base import LumierePipeline
from openlumiere.media.write import write_whole
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import VideoConfig
from openlumiere.train.data import TEXTS, CaptionStates, Source, move
from openlumiere.train.masks import draw_masks
from openlumiere.train.nets import averaged, build_scheduler, save
from openlumiere.train.show import save_sheet
from openlumiere.train.step import Losses, Stage, noise_like

Conditioning: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
"""`conditioning(clean, generator)`: channels that a net reads after those of the noisy clip."""


@dataclass(frozen=True, kw_only=True)
class VideoStage(Stage):
    """The temporal parameters of an inflated net, and their loss on clips of `source`.

    A run's averaged temporal weights are at `run/temporal`, the whole model in half precision at
    `run/model`.
    """

    net: STUNet
    source: Source
    texts: CaptionStates
    codec: UnshuffleCodec
    config: VideoConfig
    conditioning: Conditioning | None = None
    scheduler: DDIMScheduler = field(default_factory=build_scheduler)

    def move_to(self, position: int) -> None:
        """Where the run is in its clips."""
        move(self.source, position)

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of `count` clips under captions, some of them dropped."""
        times = draw_times(self.config, generator)
        drawn = self.source.draw(generator, count, times)
        clean = self.codec.encode(drawn.pixels)
        text = self.texts.draw(drawn.captions, self.config.text_dropout, generator)
        steps = self.scheduler.config.num_train_timesteps
        timestep = draw_timesteps(count, steps, self.config.low_noise, generator)
        timestep = timestep.to(clean.device)
        noise = noise_like(clean, generator)
        beside = None if self.conditioning is None else self.conditioning(clean, generator)
        predict = partial(predict_clip, net, *text, times.to(clean.device), beside)
        loss = clean_loss(predict, clean, noise, timestep, VariancePreserving(self.scheduler))
        return Losses(loss, timestep / steps)

    def export(self, average: dict[str, Tensor], run: Path) -> None:
        """Write `run/temporal` in full precision and `run/model` in half."""
        write_whole(run / "temporal", averaged(self.net, average).save_temporal)
        self.texts.keep(run / TEXTS)
        self.release(average, run / "model")

    def release(self, average: dict[str, Tensor], folder: Path) -> None:
        """Write the whole model in half precision."""
        pipeline = LumierePipeline(
            averaged(self.net, average).half(),
            self.scheduler,
            unshuffle=self.codec.factor,
            path_spacing=self.config.path_spacing,
        )
        save(pipeline, folder)

    def show(self, average: dict[str, Tensor], file: Path) -> None:
        """Save strips of clips of fixed prompts."""
        net = averaged(self.net, average)
        frames = self.config.frames
        save_sheet(net, self.scheduler, self.codec.factor, file, native_frames=frames)


def video_stage(
    source: Source,
    texts: CaptionStates,
    net: STUNet,
    codec: UnshuffleCodec,
    config: VideoConfig,
    conditioning: Conditioning | None = None,
) -> VideoStage:
    """The stage of a net whose clips `codec` codes; one that reads what is known is given nothing,
    unless `conditioning` says otherwise.
    """
    if conditioning is None and net.config.in_channels == 2 * codec.channels + 1:
        conditioning = nothing_known
    torch.manual_seed(config.loop.seed)
    make_ready(net, config)
    return VideoStage(
        net=net,
        source=source,
        texts=texts,
        codec=codec,
        config=config,
        conditioning=conditioning,
        frames=config.frames // config.stride,
    )


def make_ready(net: STUNet, config: VideoConfig) -> None:
    """Set a net to train, as the configuration has it."""
    net.to(memory_format=torch.channels_last).train()
    if config.checkpointing:
        net.enable_gradient_checkpointing()


def nothing_known(
    clean: Float[Tensor, "b c f h w"], generator: torch.Generator
) -> Float[Tensor, "b c_plus_1 f h w"]:
    """The further channels of plain text to video."""
    like: dict[str, Any] = {"device": clean.device, "dtype": clean.dtype}
    return Known.nothing(clean.shape, **like).as_channels()


def predict_clip(
    net: nn.Module,
    states: Float[Tensor, "b n d"],
    mask: Bool[Tensor, "b n"],
    times: Float[Tensor, " f"],
    beside: Float[Tensor, "b k f h w"] | None,
    noisy: Float[Tensor, "b c f h w"],
    timestep: Int[Tensor, " b"],
) -> Float[Tensor, "b c f h w"]:
    """What a net answers for noisy clips with the channels `beside` them."""
    sample = noisy if beside is None else torch.cat([noisy, beside], 1)
    return net(sample, timestep, states, encoder_attention_mask=mask, frame_times=times).sample


def side_of(net: STUNet, codec: UnshuffleCodec) -> int:
    """Pixels of a frame's side."""
    return net.config.unet["sample_size"] * codec.factor


def draw_times(config: VideoConfig, generator: torch.Generator) -> Float[Tensor, " f"]:
    """Moments of the frames, in whole native frames: every `stride`-th, from a random first one."""
    first = torch.randint(config.stride, (1,), generator=generator)
    return (first + config.stride * torch.arange(config.frames // config.stride)).float()


def conditional_stage(
    source: Source, texts: CaptionStates, net: STUNet, codec: UnshuffleCodec, config: VideoConfig
) -> VideoStage:
    """The temporal parameters and the widened input of a trained `net`, fine-tuned on clips of
    which something is known.

    A net that is not widened yet gets new input channels, zero at start, so that it begins as the
    net it was. The share of masks where nothing is known keeps it a plain text-to-video net. The
    loss is the whole clip's, known places too (our choice).
    """
    widen(net)
    conditioning = partial(known_channels, unknown=config.unknown)
    return video_stage(source, texts, net, codec, config, conditioning)


def widen(net: STUNet) -> None:
    """Make place for the known clip and the mask after the noisy clip, if there is none yet."""
    channels = net.config.unet["in_channels"]
    if net.config.in_channels != 2 * channels + 1:
        net.widen_input(2 * channels + 1)


def clean_size(clean: Tensor) -> tuple[int, int, int]:
    """Frames, rows and columns."""
    frames, height, width = clean.shape[2:]
    return frames, height, width


def known_channels(
    clean: Float[Tensor, "b c f h w"], generator: torch.Generator, unknown: float
) -> Float[Tensor, "b c_plus_1 f h w"]:
    """`<C, M>` of a batch."""
    return draw_known(clean, generator, unknown).as_channels()


def draw_known(
    clean: Float[Tensor, "b c f h w"], generator: torch.Generator, unknown: float
) -> Known:
    """What is known of a batch: masks drawn in their shares, that of none `unknown`, the true clip
    where they are 1.
    """
    mask = draw_masks(generator, len(clean), clean_size(clean), unknown).to(clean.device)
    return Known(content=clean, mask=mask)
