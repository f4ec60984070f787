"""Picture training on the codec's latents: the net that is later frozen and inflated to make clips.

It learns a flow (Lipman et al. 2023; Liu et al. 2023): from a latent picture z and noise e it is
shown `(1 - t) z + t e` and time t, and predicts the velocity `e - z`. Times are logit-normal (Esser
et al. 2024) and moved towards noise (our choice). The net hears `1000 t`, so that diffusers' time
embedding has its range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Bool, Float
from torch import Tensor, nn

from openlumiere.train.config import LoopConfig
from openlumiere.train.export import SHARD, averaged_unet, write_folder
from openlumiere.train.stages.schedule import ScheduleConfig
from openlumiere.train.start import load_into
from openlumiere.train.step import Losses, Stage, noise_like

TIMES = 1000.0
LATENT_CHANNELS, LATENT_SIDE = 16, 16
TEXT_WIDTH = 384  # of the carried encoder's states


class Coded(NamedTuple):
    """Latents of pictures, and the token states of what each shows."""

    latents: Float[Tensor, "b 16 h w"]
    states: list[Float[Tensor, "n d"]]


class CodedSource(Protocol):
    """Where coded pictures come from, by the generator alone; `empty` are the states of the empty
    prompt.
    """

    empty: Float[Tensor, "n d"]

    def draw(self, generator: torch.Generator, count: int) -> Coded: ...


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """All our choice: text attention and attention to places at 8 x 8, where they are cheap."""

    widths: tuple[int, ...] = (128, 224)
    layers: int = 1
    head_width: int = 32
    text_dropout: float = 0.1
    time_mean: float = 0.3  # of the normal numbers that become times
    time_shift: float = 2.0  # t -> s t / (1 + (s - 1) t)
    bf16: bool = True
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            learning_rate=1e-3,
            batch=32,
            warmup=100,
            weight_decay=0.01,
            show_every=1000,
            count_work=False,
        )
    )
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)


def build_picture_net(config: PictureConfig) -> UNet2DConditionModel:
    """A plain diffusers U-Net, of the families that `STUNet` inflates."""
    attended = len(config.widths) - 1
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * attended),
        up_block_types=(*["CrossAttnUpBlock2D"] * attended, "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=tuple(max(width // config.head_width, 1) for width in config.widths),
        norm_num_groups=16,
    )


def picture_stage(
    source: CodedSource,
    config: PictureConfig,
    start: Path | None = None,
    show: Callable[[UNet2DConditionModel, Path], None] | None = None,
) -> Stage:
    """The picture net, new or from the weights in `start`, and its loss. A run's averaged net is at
    `run/unet`.

    `show(net, file)` makes a picture of samples.
    """
    torch.manual_seed(config.loop.seed)
    net = build_picture_net(config).to(memory_format=torch.channels_last)
    if start is not None:
        load_into(net, start)

    def losses(trained: nn.Module, count: int, generator: torch.Generator) -> Losses:
        drawn = source.draw(generator, count)
        states, mask = heard(drawn.states, source.empty, config.text_dropout, generator)
        time = draw_times(count, config, generator)
        return Losses(
            flow_loss(trained, drawn.latents, states, mask, time, config.bf16, generator), time
        )

    def export(average: dict[str, Tensor], run: Path) -> None:
        write_folder(
            run / "unet",
            lambda folder: averaged_unet(net, average).save_pretrained(
                folder, max_shard_size=SHARD
            ),
        )

    def show_average(average: dict[str, Tensor], file: Path) -> None:
        show(averaged_unet(net, average).to(memory_format=torch.channels_last), file)

    return Stage(net=net, losses=losses, export=export, show=None if show is None else show_average)


def heard(
    states: list[Float[Tensor, "n d"]],
    empty: Float[Tensor, "n d"],
    dropout: float,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
    """Padded states and their mask; each is replaced by the empty prompt's with probability
    `dropout`.
    """
    dropped = torch.rand(len(states), generator=generator) < dropout
    rows = [empty if drop else row for row, drop in zip(states, dropped)]
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.nn.utils.rnn.pad_sequence([row.float() for row in rows], batch_first=True)
    return padded, torch.arange(padded.shape[1])[None] < lengths[:, None]


def draw_times(
    count: int, config: PictureConfig, generator: torch.Generator
) -> Float[Tensor, " b"]:
    """In (0, 1); 1 is noise."""
    time = torch.sigmoid(torch.randn(count, generator=generator) + config.time_mean)
    return shifted(time, config.time_shift)


def shifted(time: Tensor, shift: float) -> Tensor:
    """Moved towards 1, the noise, for shifts above 1."""
    return shift * time / (1 + (shift - 1) * time)


def flow_loss(
    net: nn.Module,
    latents: Float[Tensor, "b c h w"],
    states: Float[Tensor, "b n d"],
    mask: Bool[Tensor, "b n"],
    time: Float[Tensor, " b"],
    bf16: bool,
    generator: torch.Generator,
) -> Float[Tensor, " b"]:
    """Mean squared error of the velocity."""
    noise = noise_like(latents, generator)
    share = time[:, None, None, None]
    noisy = torch.lerp(latents, noise, share).contiguous(memory_format=torch.channels_last)
    with torch.autocast(latents.device.type, torch.bfloat16, enabled=bf16):
        velocity = net(noisy, TIMES * time, states, encoder_attention_mask=mask).sample
    return (velocity.float() - (noise - latents)).square().mean((1, 2, 3))


@torch.no_grad()
def sample_pictures(
    net: nn.Module,
    states: list[Float[Tensor, "n d"]],
    empty: Float[Tensor, "n d"],
    steps: int = 16,
    guidance: float = 3.0,
    shift: float = 2.5,
    seed: int = 0,
    bf16: bool = True,
) -> Float[Tensor, "b 16 16 16"]:
    """Latents by Euler's steps from noise, times moved towards noise by `shift`, guided by what the
    empty prompt predicts.
    """
    count = len(states)
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(count, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE, generator=generator)
    both, mask = heard([*states, *[empty] * count], empty, 0.0, generator)
    times = shifted(torch.linspace(1, 0, steps + 1), shift)
    for now, then in zip(times[:-1], times[1:]):
        doubled = torch.cat([latents, latents]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(latents.device.type, torch.bfloat16, enabled=bf16):
            asked, free = (
                net(doubled, TIMES * now.expand(2 * count), both, encoder_attention_mask=mask)
                .sample.float()
                .chunk(2)
            )
        latents = latents + (then - now) * (free + guidance * (asked - free))
    return latents
