"""What the super-resolution net learns from: frames at full and at low resolution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from openlumiere.diffusion.loss import add_noise
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.models.codec import Codec
from openlumiere.models.temporal import fold_frames, unfold_frames
from openlumiere.train.config import UpscalerConfig
from openlumiere.train.data import CaptionStates
from openlumiere.train.nets import FACTOR
from openlumiere.train.start import open_model

SIDE = 256  # pixels of a drawn frame
BASE_SIDE = 32  # of the clips that the base makes
AVERAGED = 0.6  # share of low-resolution frames that are means over areas; the others are bicubic
MIRRORED = 0.5  # share of clips that are mirrored
MOST_NOISE = 600  # timestep up to which the base's own errors are drawn


@dataclass(frozen=True)
class DrawnClips:
    """Frames drawn beforehand, perhaps mapped from a file, and their captions."""

    pixels: UInt8[np.ndarray, "n f H W 3"]
    captions: list[str]

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b 3 f H W"], list[str]]:
        """Whole frames in [-1, 1], half of the clips mirrored."""
        rows = torch.randint(len(self.captions), (count,), generator=generator).tolist()
        clips = [torch.from_numpy(self.pixels[row].copy()).permute(3, 0, 1, 2) for row in rows]
        pixels = torch.stack(clips) / 127.5 - 1
        mirrored = torch.rand(count, generator=generator) < MIRRORED
        pixels[mirrored] = pixels[mirrored].flip(-1)
        return pixels, [self.captions[row] for row in rows]


class Pair(NamedTuple):
    """Crops in [-1, 1] at full and at low resolution, and captions."""

    high: Float[Tensor, "b 3 f H W"]
    low: Float[Tensor, "b 3 f h w"]
    captions: list[str]


@dataclass(frozen=True)
class BaseErrors:
    """What the base's picture net makes of a real picture: noise of a moderate level added, and
    taken away again in one call.

    So the super-resolution net learns to mend the base's own blur and wrong colours (our choice).
    """

    unet: UNet2DConditionModel
    process: VariancePreserving
    codec: Codec

    @torch.no_grad()
    def __call__(
        self,
        low: Float[Tensor, "b 3 1 h w"],
        states: Float[Tensor, "b n d"],
        mask: Bool[Tensor, "b n"],
        generator: torch.Generator,
    ) -> Float[Tensor, "b 3 1 h w"]:
        """The pictures as the base would have made them."""
        coded = self.codec.encode(low)
        timestep = torch.randint(MOST_NOISE, (len(low),), generator=generator)
        noise = torch.randn(coded.shape, generator=generator)
        noisy = add_noise(coded, noise, timestep, self.process)[:, :, 0]
        device = self.unet.device
        clean = self.unet(
            noisy.to(device),
            timestep.to(device),
            states.to(device),
            encoder_attention_mask=mask.to(device),
        ).sample
        return self.codec.decode(clean[:, :, None].cpu()).clamp(-1, 1)


def open_base(folder: Path) -> BaseErrors:
    """The picture net of a whole model. Raises ValueError where its frames are of another size than
    the scenes' at low resolution.
    """
    base = open_model(folder)
    if base.native_size != BASE_SIDE:
        raise ValueError(
            f"base: expected a model of {BASE_SIDE} px frames, got {base.native_size} px, leave it"
            " out"
        )
    return BaseErrors(base.stunet.unet2d.eval(), VariancePreserving(base.scheduler), base.codec)


@dataclass(frozen=True)
class Pairs:
    """Draws crops of `clips`, and of `scenes` such as the base makes (as it makes them, where
    `base` is given).
    """

    clips: DrawnClips
    scenes: DrawnClips
    texts: CaptionStates
    config: UpscalerConfig
    base: BaseErrors | None = None

    def draw(self, count: int, generator: torch.Generator) -> Pair:
        """`count` pairs; a share `from_base` of them of scenes."""
        scenes = round(self.config.from_base * count)
        parts = []
        if count > scenes:
            parts.append(self.of_clips(count - scenes, generator))
        if scenes:
            parts.append(self.of_scenes(scenes, generator))
        captions = [caption for part in parts for caption in part.captions]
        high = torch.cat([part.high for part in parts])
        low = torch.cat([part.low for part in parts])
        return Pair(high, low, captions)

    def of_clips(self, count: int, generator: torch.Generator) -> Pair:
        """Crops of clips, half of the batches brought down first to the size of the base's."""
        pixels, captions = self.clips.draw(count, generator)
        if torch.rand(1, generator=generator) < 0.5:
            pixels = F.avg_pool3d(pixels, (1, 2, 2))
        pixels = crop(pixels, FACTOR * self.config.crop, generator)
        return Pair(pixels, reduce(pixels, generator), captions)

    def of_scenes(self, count: int, generator: torch.Generator) -> Pair:
        """Crops of scenes whose low resolution is the base's size."""
        pixels, captions = self.scenes.draw(count, generator)
        smaller = SIDE // (FACTOR * BASE_SIDE)
        high = F.avg_pool3d(pixels, (1, smaller, smaller))
        low = reduce(high, generator)
        if self.base is not None:
            low = self.base(low, *self.texts.draw(captions, 0.0, generator), generator)
        enlarged = F.interpolate(low, scale_factor=(1, FACTOR, FACTOR))
        both = crop(torch.cat([high, enlarged], 1), FACTOR * self.config.crop, generator)
        return Pair(both[:, :3], both[:, 3:, :, ::FACTOR, ::FACTOR], captions)


def crop(
    pixels: Float[Tensor, "b c f H W"], side: int, generator: torch.Generator
) -> Float[Tensor, "b c f h w"]:
    """One place for all of a batch, on the grid of low-resolution pixels, so that each of those is
    whole.
    """
    top, left = (draw_edge(size - side, generator) for size in pixels.shape[-2:])
    return pixels[..., top : top + side, left : left + side]


def draw_edge(most: int, generator: torch.Generator) -> int:
    """A multiple of the factor from 0 to `most`."""
    return int(torch.randint(most // FACTOR + 1, (1,), generator=generator)) * FACTOR


def reduce(
    pixels: Float[Tensor, "b 3 f H W"], generator: torch.Generator
) -> Float[Tensor, "b 3 f h w"]:
    """A quarter of the side: by area or bicubic as chance has it, then more or less blurred."""
    frames = fold_frames(pixels)
    if torch.rand(1, generator=generator) < AVERAGED:
        low = F.avg_pool2d(frames, FACTOR)
    else:
        low = F.interpolate(frames, scale_factor=1 / FACTOR, mode="bicubic", antialias=True)
        low = low.clamp(-1, 1)
    blurred = F.avg_pool2d(F.pad(low, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    blur = max(0.0, float(torch.rand(1, generator=generator)) - 0.6)
    return unfold_frames(torch.lerp(low, blurred, blur), len(pixels))
