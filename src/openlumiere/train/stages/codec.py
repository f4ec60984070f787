"""Codec training: the autoencoder of RGBA frames that the picture net and the clip net live
behind.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.train.config import CodecConfig
from openlumiere.train.nets import averaged, save
from openlumiere.train.step import Average, Losses, Stage, noise_like

SHOWN = 16  # held-out frames of a sheet
logger = logging.getLogger("openlumiere")


@runtime_checkable
class FrameSource(Protocol):
    """Where frames come from, by the generator alone: premultiplied RGBA in [0, 1]."""

    def draw(self, generator: torch.Generator, count: int) -> Float[Tensor, "b 4 H W"]:
        """`count` frames."""


def build_autoencoder(config: CodecConfig) -> StickerAutoencoder:
    """With new weights, by the global generator."""
    return StickerAutoencoder(
        latent_channels=config.latent_channels,
        widths=config.widths,
        encoder_blocks=config.encoder_blocks,
        decoder_blocks=config.decoder_blocks,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class CodecStage(Stage):
    """An autoencoder, and its loss on frames of `source`; `held_out` frames in [0, 1] are those of
    the sheets. A run's averaged net is at `run/codec`.
    """

    net: StickerAutoencoder
    source: FrameSource
    config: CodecConfig
    held_out: Float[Tensor, "b 4 H W"] | None = None

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of `count` frames; noise levels are all alike here."""
        frames = self.source.draw(generator, count)
        loss = frame_losses(net, frames, self.config, generator)
        return Losses(loss, torch.zeros(count))

    def export(self, average: Average, run: Path) -> None:
        """Write `run/codec`."""
        save(averaged(self.net, average), run / "codec")

    def release(self, average: Average, folder: Path) -> None:
        """Write the codec in half precision."""
        save(averaged(self.net, average).half(), folder)

    def show(self, average: Average, file: Path) -> None:
        """Save held-out frames above what became of them, and log how near they are."""
        if self.held_out is None:
            return
        decoded = rebuild(averaged(self.net, average), self.held_out)
        ratios = frame_psnrs(decoded, self.held_out)
        logger.info(
            "held out: %.2f dB, the tenth percentile %.2f dB", ratios.mean(), ratios.quantile(0.1)
        )
        save_sheet(beside(self.held_out[:SHOWN], decoded[:SHOWN]), file)


def codec_stage(
    source: FrameSource,
    config: CodecConfig,
    held_out: Float[Tensor, "b 4 H W"] | None = None,
    start: Path | None = None,
) -> CodecStage:
    """The stage of a codec that is new, or that lies in the folder `start`."""
    torch.manual_seed(config.loop.seed)
    net = build_autoencoder(config) if start is None else StickerAutoencoder.from_pretrained(start)
    net = net.to(memory_format=torch.channels_last)
    return CodecStage(net=net, source=source, config=config, held_out=held_out)


def frame_losses(
    net: Any,
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
    """Of each sample."""
    return values.mean((1, 2, 3))


def changes(values: Float[Tensor, "b c h w"]) -> Iterator[Tensor]:
    """From each row to the next, and from each column."""
    yield values.diff(dim=2)
    yield values.diff(dim=3)


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
    options = {name: value for name, value in net.config.items() if not name.startswith("_")}
    copy = StickerAutoencoder(**(options | measured))
    copy.load_state_dict(net.state_dict())
    return copy.eval()


def frame_psnrs(
    frames: Float[Tensor, "b 4 H W"], others: Float[Tensor, "b 4 H W"]
) -> Float[Tensor, " b"]:
    """Of each frame in dB, over all four premultiplied channels of [0, 1]."""
    return -10 * each_mean((frames - others).square()).clamp(min=1e-10).log10()


def beside(
    first: Float[Tensor, "b 4 H W"], second: Float[Tensor, "b 4 H W"], columns: int = 8
) -> Float[Tensor, "3 tall wide"]:
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
