"""Picture training on the codec's latents: the net that is later frozen and inflated to make clips.

It learns a flow (Lipman et al. 2023; Liu et al. 2023): from a latent picture z and noise e it is
shown `(1 - t) z + t e` and time t,
and predicts the velocity `e - z`. Times are logit-normal (Esser et al. 2024) and moved towards
noise (our choice). The net is given
`1000 t`, so that diffusers' time embedding has its range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Bool, Float
from torch import Tensor, nn

from openlumiere.models.text import mean_state
from openlumiere.train.config import LatentClipConfig, PictureConfig
from openlumiere.train.data import padded
from openlumiere.train.nets import averaged, save
from openlumiere.train.start import load_into
from openlumiere.train.step import Average, Losses, Stage, noise_like

TIMES = 1000.0
LATENT_CHANNELS, LATENT_SIDE = 16, 16
TEXT_WIDTH = 384  # of the bundled encoder's states


class Coded(NamedTuple):
    """Latents of pictures `b c h w` or clips `b c f h w`, the token states of what each shows, and
    where it is not the usual one, the times of the clips' frames in native frames.

    `latest` is the most noise, as a time, that they are learnt under. Of what is `shown` a net that
    reads what is known is always shown something: it is nothing that a prompt should make.
    """

    latents: Float[Tensor, "b c *places"]
    states: list[Float[Tensor, "_ d"]]
    times: Float[Tensor, " f"] | None = None
    latest: float = 1.0
    shown: bool = False


@runtime_checkable
class CodedSource(Protocol):
    """Where coded pictures or clips come from, by the generator alone; `empty` are the states of
    the empty prompt.
    """

    empty: Float[Tensor, "n d"]

    def draw(self, generator: torch.Generator, count: int) -> Coded:
        """`count` of them."""


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
        class_embed_type="projection",  # of the mean state, which every block is conditioned on
        projection_class_embeddings_input_dim=TEXT_WIDTH,
        attention_head_dim=tuple(max(width // config.head_width, 1) for width in config.widths),
        norm_num_groups=16,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureStage(Stage):
    """A picture net on latents, and its loss. A run's averaged net is at `run/unet`.

    `sheet(net, file)` makes a picture of samples.
    """

    net: UNet2DConditionModel
    source: CodedSource
    config: PictureConfig
    sheet: Callable[[UNet2DConditionModel, Path], None] | None = None

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of `count` coded pictures under captions, some of them dropped."""
        drawn = self.source.draw(generator, count)
        dropout = self.config.text_dropout
        states, mask = padded_states(drawn.states, self.source.empty, dropout, generator)
        time = draw_times(count, self.config, generator)
        bf16 = self.config.bf16
        return Losses(flow_loss(net, drawn.latents, states, mask, time, bf16, generator), time)

    def export(self, average: Average, run: Path) -> None:
        """Write `run/unet`, in full precision."""
        save(averaged(self.net, average), run / "unet")

    def release(self, average: Average, folder: Path) -> None:
        """Write the net in half precision."""
        save(averaged(self.net, average).half(), folder)

    def show(self, average: Average, file: Path) -> None:
        """Save the sheet, where there is one."""
        if self.sheet is not None:
            self.sheet(averaged(self.net, average).to(memory_format=torch.channels_last), file)


def picture_stage(
    source: CodedSource,
    config: PictureConfig,
    start: Path | None = None,
    sheet: Callable[[UNet2DConditionModel, Path], None] | None = None,
) -> PictureStage:
    """The stage of a picture net that is new, or has the weights in `start`."""
    torch.manual_seed(config.loop.seed)
    net = build_picture_net(config).to(memory_format=torch.channels_last)
    if start is not None:
        load_into(net, start)
    return PictureStage(net=net, source=source, config=config, sheet=sheet)


def padded_states(
    states: list[Float[Tensor, "_ d"]],
    empty: Float[Tensor, "_ d"],
    dropout: float,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
    """Padded states and their mask; each is replaced by the empty prompt's with probability
    `dropout`.
    """
    dropped = torch.rand(len(states), generator=generator) < dropout
    return padded([(empty if drop else row).float() for row, drop in zip(states, dropped)])


def draw_times(
    count: int, config: PictureConfig | LatentClipConfig, generator: torch.Generator
) -> Float[Tensor, " b"]:
    """In (0, 1); 1 is noise."""
    time = torch.sigmoid(torch.randn(count, generator=generator) + config.time_mean)
    return shifted(time, config.time_shift)


def shifted(time: Tensor, shift: float) -> Tensor:
    """Moved towards 1, the noise, for shifts above 1."""
    return shift * time / (1 + (shift - 1) * time)


def flow_loss(
    net: nn.Module,
    latents: Float[Tensor, "b c *places"],
    states: Float[Tensor, "b n d"],
    mask: Bool[Tensor, "b n"],
    time: Float[Tensor, " b"],
    bf16: bool,
    generator: torch.Generator,
    known: Float[Tensor, "b k *places"] | None = None,
    **beside: Tensor,
) -> Float[Tensor, " b"]:
    """Mean squared error of the velocity, of pictures or clips; the net reads channels of what is
    `known` after the noisy ones, and is given what is `beside` by name.
    """
    noise = noise_like(latents, generator)
    share = time.reshape(-1, *[1] * (latents.ndim - 1))
    noisy = torch.lerp(latents, noise, share)
    if noisy.ndim == 4:
        noisy = noisy.contiguous(memory_format=torch.channels_last)
    if known is not None:
        noisy = torch.cat([noisy, known], 1)
    with torch.autocast(latents.device.type, torch.bfloat16, enabled=bf16):
        velocity = net(
            noisy,
            TIMES * time,
            states,
            class_labels=mean_state(states, mask),
            encoder_attention_mask=mask,
            **beside,
        ).sample
    return (velocity.float() - (noise - latents)).square().flatten(1).mean(1)
