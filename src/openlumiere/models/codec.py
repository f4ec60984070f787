"""Pixels, unshuffled pixels or latents: one seam between clips in [-1, 1] and what a net sees.

Nothing above this file knows which of them a model uses. `contract.Codec` says what a codec is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.utils.torch_utils import get_module_execution_device
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from openlumiere.contract import Codec
from openlumiere.models.autoencoder import FACTOR, StickerAutoencoder
from openlumiere.models.temporal import fold_frames, unfold_frames

__all__ = [
    "AutoencoderCodec",
    "Codec",
    "ResidualCodec",
    "UnshuffleCodec",
    "VAECodec",
    "VideoPlaces",
    "pooled_mask",
    "to_frames",
]


TRANSPARENT = 1 / 510  # an alpha below this is 0 of 255


class PerFrame:
    """What codecs that look at each frame alone have in common: any number of frames, and masks by
    squares. Concrete codecs state `channels`, `colours`, `factor` and `bounded`.
    """

    channels: int
    colours: int = 3
    factor: int
    time_factor: int = 1
    bounded: bool = False

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(f, h, w) of the coded clip. Raises ValueError for sides that do not divide."""
        check_sides(height, width, self.factor)
        return frames, height // self.factor, width // self.factor

    def frames_for(self, count: int) -> int:
        """Any number fits."""
        return count

    def mask(
        self, known: Float[Tensor, "b 1 f H W"], grid: tuple[int, int, int]
    ) -> Float[Tensor, "b 1 g h w"]:
        """A place is known only if every pixel under it is."""
        return pooled_mask(known, grid, self.time_factor)


class VideoPlaces:
    """What video autoencoders have in common: the first frame has a place of its own, each later
    place is of `time_factor` frames. Concrete codecs state `channels`, `factor` and `time_factor`.
    """

    channels: int
    colours: int = 3
    factor: int
    time_factor: int
    bounded: bool = False

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(f, h, w) of the coded clip. Raises ValueError for sizes that do not fit."""
        check_sides(height, width, self.factor)
        if frames != self.frames_for(frames):
            raise ValueError(
                f"frames: expected 1 and a multiple of {self.time_factor}, got {frames}, "
                f"take {self.frames_for(frames)}"
            )
        places = 1 + (frames - 1) // self.time_factor
        return places, height // self.factor, width // self.factor

    def frames_for(self, count: int) -> int:
        """The least number of frames of at least `count` that fits."""
        return 1 + -(-(count - 1) // self.time_factor) * self.time_factor

    def mask(
        self, known: Float[Tensor, "b 1 f H W"], grid: tuple[int, int, int]
    ) -> Float[Tensor, "b 1 g h w"]:
        """A place is known only if every pixel and frame under it is."""
        return pooled_mask(known, grid, self.time_factor)


def device_of(net: Any) -> torch.device:
    """Where a net's inputs belong: where it lies, or where its parts are brought when it runs."""
    found: torch.device = get_module_execution_device(net)
    return found


def on_device_of(net: Any, tensor: Tensor) -> Tensor:
    """A net's input, where it belongs and in its precision."""
    return tensor.to(device_of(net), net.dtype)


class UnshuffleCodec(PerFrame):
    """Each square of `factor` x `factor` pixels becomes the channels of one place (lossless).

    Our choice: full-resolution channels are what a small net on a CPU can least afford. Factor 1 is
    plain pixels, as in the paper.
    """

    bounded = True

    def __init__(self, factor: int = 1, colours: int = 3):
        if factor < 1:
            raise ValueError(
                f"codec: expected a factor of at least 1, got {factor}, use 1 for plain pixels"
            )
        self.factor = factor
        self.colours = colours
        self.channels = colours * factor**2

    def encode(self, pixels: Float[Tensor, "b k f H W"]) -> Float[Tensor, "b c f h w"]:
        """Sides must divide by `factor`."""
        check_sides(pixels.shape[-2], pixels.shape[-1], self.factor)
        return rearrange(
            pixels, "b c f (h y) (w x) -> b (c y x) f h w", y=self.factor, x=self.factor
        )

    def decode(self, coded: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b k f H W"]:
        """The pixels again."""
        return rearrange(
            coded, "b (c y x) f h w -> b c f (h y) (w x)", y=self.factor, x=self.factor
        )


class VAECodec(PerFrame):
    """Latents of a published image VAE (`diffusers.AutoencoderKL`), frame by frame, at most `batch`
    frames at once.
    """

    def __init__(self, vae: Any, batch: int = 8):
        self.vae = vae.eval().requires_grad_(False)
        self.channels = vae.config.latent_channels
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.batch = batch

    @torch.no_grad()
    def encode(self, pixels: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c f h w"]:
        """The mean of the posterior, scaled (and shifted, where the VAE has a shift) to about unit
        variance.
        """
        check_sides(pixels.shape[-2], pixels.shape[-1], self.factor)
        means = [
            self.vae.encode(on_device_of(self.vae, part)).latent_dist.mode().to(pixels)
            for part in fold_frames(pixels).split(self.batch)
        ]
        return unfold_frames(
            (torch.cat(means) - self._shift) * self.vae.config.scaling_factor, pixels.shape[0]
        )

    @torch.no_grad()
    def decode(self, coded: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b 3 f H W"]:
        """The VAE's pictures."""
        latents = fold_frames(coded) / self.vae.config.scaling_factor + self._shift
        return unfold_frames(
            torch.cat(
                [
                    self.vae.decode(on_device_of(self.vae, part)).sample
                    for part in latents.split(self.batch)
                ]
            ),
            coded.shape[0],
        )

    @property
    def _shift(self) -> float:
        return getattr(self.vae.config, "shift_factor", None) or 0.0


class AutoencoderCodec(PerFrame):
    """Latents of a `StickerAutoencoder`, frame by frame, at most `batch` frames at once.

    Outside, pixels have straight alpha: colours, then alpha, all in [-1, 1]. The autoencoder sees
    them premultiplied, since what is transparent has no colour.
    """

    def __init__(self, net: StickerAutoencoder, batch: int = 8):
        self.net = net.eval().requires_grad_(False)
        self.channels: int = net.config["latent_channels"]
        self.colours: int = net.config["pixel_channels"]
        self.factor = FACTOR
        self.batch = batch

    @torch.no_grad()
    def encode(self, pixels: Float[Tensor, "b k f H W"]) -> Float[Tensor, "b c f h w"]:
        """Latents of about unit variance."""
        check_sides(pixels.shape[-2], pixels.shape[-1], self.factor)
        frames = fold_frames(premultiplied(pixels)).to(self.net.dtype)
        latents = [self.net.encode(part) for part in frames.split(self.batch)]
        return unfold_frames(torch.cat(latents), len(pixels))

    @torch.no_grad()
    def decode(self, coded: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b k f H W"]:
        """Pixels of straight alpha, in [-1, 1]."""
        frames = [self.net.decode(part) for part in fold_frames(coded).split(self.batch)]
        return straight(unfold_frames(torch.cat(frames), len(coded)))


def premultiplied(pixels: Float[Tensor, "b 4 *n"]) -> Float[Tensor, "b 4 *n"]:
    """Colours times alpha, all as [-1, 1]."""
    colours, alpha = (pixels + 1).div(2).split([3, 1], 1)
    return torch.cat([colours * alpha, alpha], 1) * 2 - 1


def straight(pixels: Float[Tensor, "b 4 *n"]) -> Float[Tensor, "b 4 *n"]:
    """The reverse of `premultiplied`, clamped; black where all is transparent."""
    colours, alpha = (pixels + 1).div(2).clamp(0, 1).split([3, 1], 1)
    shown = alpha >= TRANSPARENT
    colours = torch.where(shown, colours / alpha.clamp(min=TRANSPARENT), 0).clamp(max=1)
    return torch.cat([colours, alpha], 1) * 2 - 1


class ResidualCodec:
    """What a picture has beyond its own enlargement from a quarter of the side: the space of the
    super-resolution net.

    Coded clips are as large as the low-resolution ones, `factor` squared pixels to a place, scaled
    by `gain` to about unit variance; a coded clip of zeros is the bicubic enlargement. Our choice:
    the net then spends nothing on what interpolation knows, and no border of a tile can shift a
    colour.
    """

    def __init__(self, factor: int = 4, gain: float = 8.0):
        self.factor = factor
        self.gain = gain
        self.squares = UnshuffleCodec(factor)
        self.channels = self.squares.channels

    def encode(
        self, pixels: Float[Tensor, "b 3 f H W"], low: Float[Tensor, "b 3 f h w"]
    ) -> Float[Tensor, "b c f h w"]:
        """`pixels` beyond the enlargement of `low`, which is `factor` times smaller; both in [-1,
        1].
        """
        return self.squares.encode(pixels - self.enlarge(low)) * self.gain

    def decode(
        self, coded: Float[Tensor, "b c f h w"], low: Float[Tensor, "b 3 f h w"]
    ) -> Float[Tensor, "b 3 f H W"]:
        """The enlargement of `low` and what the coded clip adds to it."""
        return self.enlarge(low) + self.squares.decode(coded) / self.gain

    def enlarge(self, low: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b 3 f H W"]:
        """Bicubic, each frame alone (a = -0.5, as Pillow does)."""
        return unfold_frames(
            F.interpolate(
                fold_frames(low), scale_factor=self.factor, mode="bicubic", antialias=True
            ),
            len(low),
        )


def pooled_mask(
    known: Float[Tensor, "b 1 f H W"], grid: tuple[int, int, int], time_factor: int
) -> Float[Tensor, "b 1 g h w"]:
    """A mask of pixels on a coded grid: known only where all pixels and frames under a place are.

    With a `time_factor` above 1 the first frame has a place of its own, and each later place stands
    for so many frames, as in video VAEs. Raises ValueError for frames that fit no such places.
    """
    unknown = F.adaptive_max_pool2d(fold_frames(1 - known), grid[1:])
    unknown = unfold_frames(unknown, len(known))
    if time_factor > 1:
        first, later = unknown[:, :, :1], unknown[:, :, 1:]
        if later.shape[2] % time_factor:
            raise ValueError(
                f"expected 1 frame and a multiple of {time_factor}, got {known.shape[2]}, "
                "take as many as `frames_for` says"
            )
        later = rearrange(later, "b c (g k) h w -> b c g k h w", k=time_factor).amax(3)
        unknown = torch.cat([first, later], 2)
    return 1 - unknown


def check_sides(height: int, width: int, factor: int) -> None:
    """Raises ValueError for sides in pixels that do not divide by `factor`."""
    if height % factor or width % factor:
        raise ValueError(
            f"size: expected sides that divide by {factor}, got {width}x{height}, "
            "choose the nearest that do, or resize or pad the clip first"
        )


def to_frames(pixels: Float[Tensor, "b k f h w"]) -> UInt8[np.ndarray, "b f h w k"]:
    """[-1, 1] to the nearest of 256 levels. Raises ValueError for what is not finite."""
    if not bool(pixels.isfinite().all()):
        raise ValueError(
            "frames: expected finite values, got NaN or infinity, "
            "use a smaller style weight, less guidance, or float32"
        )
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return rearrange(levels, "b c f h w -> b f h w c").cpu().numpy()
