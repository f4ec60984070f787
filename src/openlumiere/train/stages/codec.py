"""Codec training: the autoencoder of RGBA frames behind which the later nets live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.train.config import LoopConfig
from openlumiere.train.export import write_folder
from openlumiere.train.stages.schedule import ScheduleConfig
from openlumiere.train.step import Losses, Stage, noise_like

SHOWN = 16  # held-out frames of a sheet


class FrameSource(Protocol):
    """Where frames come from, by the generator alone: premultiplied RGBA in [0, 1]."""

    def draw(self, generator: torch.Generator, count: int) -> Float[Tensor, "b 4 H W"]: ...


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """All our choice. `noise` is the deviation of what is added to latents before they are decoded,
    so that small errors of the net that makes them are small errors in the picture; the other
    numbers weigh the terms of the loss, in levels of [0, 1].
    """

    latent_channels: int = 16
    widths: tuple[int, int, int] = (32, 64, 128)
    encoder_blocks: tuple[int, int, int] = (0, 2, 2)
    decoder_blocks: tuple[int, int, int] = (1, 4, 4)
    noise: float = 0.05
    absolute: float = 1.0  # mean absolute error
    root: float = 1.0  # root of each frame's mean squared error: what the PSNR is of
    edges: float = 0.5  # mean absolute error of differences between neighbours
    latent_size: float = (
        1e-3  # mean square of latents, so that they stay at unit deviation by themselves
    )
    bf16: bool = True
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            learning_rate=2e-3, batch=16, weight_decay=0.0, show_every=500, count_work=False
        )
    )
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)


def build_autoencoder(config: CodecConfig) -> StickerAutoencoder:
    return StickerAutoencoder(
        latent_channels=config.latent_channels,
        widths=config.widths,
        encoder_blocks=config.encoder_blocks,
        decoder_blocks=config.decoder_blocks,
    )


def codec_stage(
    source: FrameSource,
    config: CodecConfig,
    held_out: Float[Tensor, "b 4 H W"] | None = None,
    start: Path | None = None,
) -> Stage:
    """The autoencoder, new or from the folder `start`, and its loss on frames of `source`. The
    averaged net is at `run/codec`.

    `held_out` frames in [0, 1] are those of the sheets, and of the figure that is printed with
    them.
    """
    torch.manual_seed(config.loop.seed)
    net = build_autoencoder(config) if start is None else StickerAutoencoder.from_pretrained(start)
    net = net.to(memory_format=torch.channels_last)

    def losses(trained: nn.Module, count: int, generator: torch.Generator) -> Losses:
        frames = source.draw(generator, count)
        loss = frame_losses(trained, frames, config, generator)
        return Losses(loss, torch.zeros(count))

    def export(average: dict[str, Tensor], run: Path) -> None:
        write_folder(run / "codec", lambda folder: averaged(net, average).save_pretrained(folder))

    def show(average: dict[str, Tensor], file: Path) -> None:
        coded = rebuild(averaged(net, average), held_out)
        ratios = psnr(coded, held_out)
        print(
            f"held out: {ratios.mean():.2f} dB, the tenth percentile {ratios.quantile(0.1):.2f} dB",
            flush=True,
        )
        save_sheet(beside(held_out[:SHOWN], coded[:SHOWN]), file)

    return Stage(net=net, losses=losses, export=export, show=None if held_out is None else show)


def frame_losses(
    net: nn.Module,
    frames: Float[Tensor, "b 4 H W"],
    config: CodecConfig,
    generator: torch.Generator,
) -> Float[Tensor, " b"]:
    """Of frames in [0, 1], in those levels."""
    pixels = (2 * frames - 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=config.bf16):
        latents = net.encode(pixels)
        decoded = net.decode(latents + config.noise * noise_like(latents, generator))
    error = (decoded.float() + 1) / 2 - frames
    return (
        config.absolute * each_mean(error.abs())
        + config.root * (each_mean(error.square()) + 1e-6).sqrt()
        + config.edges * sum(each_mean(change.abs()) for change in changes(error))
        + config.latent_size * each_mean(latents.square())
    )


def each_mean(values: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    return values.mean((1, 2, 3))


def changes(values: Float[Tensor, "b c h w"]) -> Iterator[Tensor]:
    """From each row to the next, and from each column."""
    yield values.diff(dim=2)
    yield values.diff(dim=3)


def averaged(net: StickerAutoencoder, average: dict[str, Tensor]) -> StickerAutoencoder:
    copy = StickerAutoencoder.from_config(net.config)
    copy.load_state_dict({**net.state_dict(), **average})
    return copy.eval()


@torch.no_grad()
def rebuild(
    net: StickerAutoencoder, frames: Float[Tensor, "b 4 H W"], batch: int = 8
) -> Float[Tensor, "b 4 H W"]:
    """Frames in [0, 1] through the codec and back, in float32."""
    return torch.cat([((net(2 * part - 1) + 1) / 2).clamp(0, 1) for part in frames.split(batch)])


@torch.no_grad()
def standardised(
    net: StickerAutoencoder, frames: Float[Tensor, "b 4 H W"], batch: int = 16
) -> StickerAutoencoder:
    """The same codec with latents of zero mean and unit deviation on these frames in [0, 1]."""
    latents = torch.cat([net.encode(2 * part - 1) for part in frames.split(batch)])
    measured = {
        "means": latents.mean((0, 2, 3)).tolist(),
        "deviations": latents.std((0, 2, 3)).tolist(),
    }
    told = {name: value for name, value in net.config.items() if not name.startswith("_")}
    copy = StickerAutoencoder(**(told | measured))
    copy.load_state_dict(net.state_dict())
    return copy.eval()


def psnr(frames: Float[Tensor, "b 4 H W"], others: Float[Tensor, "b 4 H W"]) -> Float[Tensor, " b"]:
    """In dB, over all four premultiplied channels."""
    return -10 * each_mean((frames - others).square()).clamp(min=1e-10).log10()


def beside(
    first: Float[Tensor, "b 4 H W"], second: Float[Tensor, "b 4 H W"], columns: int = 8
) -> Float[Tensor, "3 H W"]:
    """Rows of one above rows of the other, over grey."""
    bands = []
    for start in range(0, len(first), columns):
        bands += [
            torch.cat(list(over_grey(frames[start : start + columns])), dim=2)
            for frames in (first, second)
        ]
    return torch.cat(bands, dim=1)


def over_grey(frames: Float[Tensor, "b 4 H W"], level: float = 0.5) -> Float[Tensor, "b 3 H W"]:
    """Premultiplied frames on a plain ground."""
    return frames[:, :3] + (1 - frames[:, 3:]) * level


def save_sheet(picture: Float[Tensor, "3 H W"], file: Path) -> None:
    """Levels in [0, 1] as a png."""
    levels = picture.clamp(0, 1).mul(255).round().byte()
    Image.fromarray(np.ascontiguousarray(levels.permute(1, 2, 0).numpy())).save(file, optimize=True)
