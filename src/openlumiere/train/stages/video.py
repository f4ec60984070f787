"""Text-to-video training: the frozen picture net inflated, its temporal parameters alone trained
(the paper's second stage).
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from openlumiere.diffusion.loss import clean_loss, draw_timesteps
from openlumiere.engine.base import LumierePipeline
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import VideoConfig
from openlumiere.train.data import TEXTS, CaptionStates, Source
from openlumiere.train.export import SHARD, averaged_stunet, write_folder
from openlumiere.train.show import save_sheet
from openlumiere.train.stages.image import build_scheduler
from openlumiere.train.step import DrawLosses, Losses, Stage, noise_like

Given: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]


def video_stage(
    source: Source,
    texts: CaptionStates,
    net: STUNet,
    config: VideoConfig,
    given: Given | None = None,
) -> Stage:
    """The temporal parameters of `net` and their loss on clips of `source`.

    `given(clean, generator)` answers what a conditional net reads beside the noisy clip. A run's
    averaged temporal weights are at `run/temporal`, the whole model in half precision at
    `run/model`.
    """
    torch.manual_seed(config.loop.seed)
    net.to(memory_format=torch.channels_last).train()
    if config.checkpointing:
        net.enable_gradient_checkpointing()
    codec, scheduler = codec_of(net), build_scheduler()

    def losses(net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        times = draw_times(config, generator)
        drawn = source.draw(generator, count, times)
        clean, times = codec.encode(drawn.pixels), times.to(drawn.pixels.device)
        states, mask = texts.draw(drawn.captions, config.text_dropout, generator)
        steps = scheduler.config.num_train_timesteps
        timestep = draw_timesteps(count, steps, config.low_noise, generator).to(clean.device)
        noise = noise_like(clean, generator)
        beside = [] if given is None else [given(clean, generator)]

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            sample = torch.cat([noisy, *beside], 1)
            return net(
                sample, timestep, states, encoder_attention_mask=mask, frame_times=times
            ).sample

        return Losses(
            clean_loss(predict, clean, noise, timestep, scheduler.alphas_cumprod), timestep / steps
        )

    return temporal_stage(net, losses, texts, config)


def temporal_stage(
    net: STUNet, losses: DrawLosses, texts: CaptionStates, config: VideoConfig
) -> Stage:
    """What any stage that trains temporal parameters exports and shows."""
    scheduler, unshuffle = build_scheduler(), codec_of(net).factor

    def export(average: dict[str, Tensor], run: Path) -> None:
        write_folder(run / "temporal", averaged_stunet(net, average).save_temporal)
        texts.keep(run / TEXTS)
        release(average, run / "model")

    def release(average: dict[str, Tensor], folder: Path) -> None:
        pipeline = LumierePipeline(
            averaged_stunet(net, average).half(),
            scheduler,
            unshuffle=unshuffle,
            path_spacing=config.path_spacing,
        )
        write_folder(folder, lambda room: pipeline.save_pretrained(room, max_shard_size=SHARD))

    def show(average: dict[str, Tensor], file: Path) -> None:
        save_sheet(
            averaged_stunet(net, average), scheduler, unshuffle, file, native_frames=config.frames
        )

    return Stage(
        net=net,
        losses=losses,
        export=export,
        release=release,
        show=show,
        frames=config.frames // config.stride,
    )


def codec_of(net: STUNet) -> UnshuffleCodec:
    """The squares of pixels whose channels the picture net takes."""
    return UnshuffleCodec(isqrt(net.config.unet["in_channels"] // 3))


def side_of(net: STUNet) -> int:
    """Of a frame, in pixels."""
    return net.config.unet["sample_size"] * codec_of(net).factor


def draw_times(config: VideoConfig, generator: torch.Generator) -> Float[Tensor, " f"]:
    """Moments of the frames, in whole native frames: every `stride`-th, from a random first one."""
    first = torch.randint(config.stride, (1,), generator=generator)
    return (first + config.stride * torch.arange(config.frames // config.stride)).float()
