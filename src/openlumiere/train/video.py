"""Text-to-video training: the frozen picture net inflated, its temporal parameters alone trained (the paper's second stage)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor

from openlumiere.data.world import slice as world
from openlumiere.diffusion.loss import clean_loss, draw_timesteps
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.stunet import STUNet
from openlumiere.models.text import E5TextEncoder
from openlumiere.pipelines.base import LumierePipeline
from openlumiere.train.image import CODEC_FACTOR, SIDE, TEXTS, CaptionStates, build_scheduler
from openlumiere.train.loop import LoopConfig, train

FRAMES = 80


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """Whole clips at a low rate first (`stride` native frames between two), then every frame: 80 / stride frames a clip."""

    stride: int = 5
    batch: int = 8
    text_dropout: float = 0.1
    low_noise: float = 1.0
    loop: LoopConfig = field(default_factory=LoopConfig)


def train_video(
    sprites: Float[Tensor, "s 4 h w"], image_run: Path, run: Path, max_minutes: float, config: VideoConfig = VideoConfig(), start: Path | None = None,
    max_steps: int = 10**9,
) -> int:  # fmt: skip
    """Train the temporal parameters on clips of the world slice, over the picture net of `image_run`.

    `start` names an earlier stage's run whose averaged temporal weights are gone on from. The averaged model is at
    `run/model` in the pipeline's layout. Answers the last step.
    """
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(asdict(config), indent=1))
    torch.manual_seed(config.loop.seed)
    net = STUNet.from_unet2d(UNet2DConditionModel.from_pretrained(image_run / "unet")).to(memory_format=torch.channels_last)
    if start is not None:
        net.load_temporal(start / "temporal")
    codec, scheduler = UnshuffleCodec(CODEC_FACTOR), build_scheduler()
    texts = CaptionStates(E5TextEncoder(), world.all_captions(), image_run / TEXTS)

    def draw_loss(generator: torch.Generator, _step: int) -> Tensor:
        scenes = [world.draw_facts(generator) for _ in range(config.batch)]
        times = draw_times(config, generator)
        clean = codec.encode(world.render(sprites, scenes, (times / (FRAMES - 1)).expand(config.batch, -1), SIDE))
        states, mask = texts.draw([world.caption(scene) for scene in scenes], config.text_dropout, generator)
        timestep = draw_timesteps(config.batch, scheduler.config.num_train_timesteps, config.low_noise, generator)
        noise = torch.randn(clean.shape, generator=generator)

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            return net(noisy, timestep, states, encoder_attention_mask=mask, frame_times=times).sample

        return clean_loss(predict, clean, noise, timestep, scheduler.alphas_cumprod).mean()

    temporal = dict(net.temporal_named_parameters())
    return train(temporal, draw_loss, config.loop, run, max_minutes, max_steps, export=lambda average: export_model(net, average, run))


def draw_times(config: VideoConfig, generator: torch.Generator) -> Tensor:
    """Moments of the frames in native frames: every `stride`-th, from a random first one."""
    first = float(torch.rand(1, generator=generator)) * (config.stride - 1)
    return first + config.stride * torch.arange(FRAMES // config.stride)


@torch.no_grad()
def export_model(net: STUNet, average: dict[str, Tensor], run: Path) -> None:
    """The averaged temporal weights alone, and the whole pipeline in half precision."""
    copy = STUNet.from_config(net.config)
    copy.load_state_dict({**net.state_dict(), **average})
    copy.save_temporal(run / "temporal")
    LumierePipeline(copy.half(), build_scheduler(), unshuffle=CODEC_FACTOR).save_pretrained(run / "model")
