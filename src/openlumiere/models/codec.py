"""Pixels, unshuffled pixels or latents: one seam between clips in [-1, 1] and what a net sees.

Nothing above this file knows which of the three a model uses.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from openlumiere.models.temporal import fold_frames, unfold_frames


class Codec(Protocol):
    """`channels` of a coded clip, and `factor`: pixels of a side that share one coded place."""

    channels: int
    factor: int

    def encode(self, pixels: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c f h w"]: ...

    def decode(self, coded: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b 3 f H W"]: ...


class UnshuffleCodec:
    """Each square of `factor` x `factor` pixels becomes the channels of one place (lossless).

    Our choice: full-resolution channels are what a small net on a CPU can least afford. Factor 1 is
    plain pixels, as in the paper.
    """

    def __init__(self, factor: int = 1):
        if factor < 1:
            raise ValueError(
                f"codec: expected a factor of at least 1, got {factor}, use 1 for plain pixels"
            )
        self.factor, self.channels = factor, 3 * factor**2

    def encode(self, pixels: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c f h w"]:
        """Sides must divide by `factor`."""
        check_sides(pixels, self.factor)
        return rearrange(
            pixels, "b c f (h y) (w x) -> b (c y x) f h w", y=self.factor, x=self.factor
        )

    def decode(self, coded: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b 3 f H W"]:
        return rearrange(
            coded, "b (c y x) f h w -> b c f (h y) (w x)", y=self.factor, x=self.factor
        )


class PixelCodec(UnshuffleCodec):
    """Plain pixels, as in the paper."""

    def __init__(self):
        super().__init__(factor=1)


class VAECodec:
    """Latents of a published image VAE (`diffusers.AutoencoderKL`), frame by frame, at most `batch`
    frames at once.
    """

    def __init__(self, vae, batch: int = 8):
        self.vae = vae.eval().requires_grad_(False)
        self.channels = vae.config.latent_channels
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.batch = batch

    @torch.no_grad()
    def encode(self, pixels: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c f h w"]:
        """The mean of the posterior, scaled (and shifted, where the VAE has a shift) to about unit
        variance.
        """
        check_sides(pixels, self.factor)
        means = [
            self.vae.encode(part).latent_dist.mode()
            for part in fold_frames(pixels).split(self.batch)
        ]
        return unfold_frames(
            (torch.cat(means) - self._shift) * self.vae.config.scaling_factor, pixels.shape[0]
        )

    @torch.no_grad()
    def decode(self, coded: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b 3 f H W"]:
        latents = fold_frames(coded) / self.vae.config.scaling_factor + self._shift
        return unfold_frames(
            torch.cat([self.vae.decode(part).sample for part in latents.split(self.batch)]),
            coded.shape[0],
        )

    @property
    def _shift(self) -> float:
        return getattr(self.vae.config, "shift_factor", None) or 0.0


def check_sides(pixels: Tensor, factor: int) -> None:
    height, width = pixels.shape[-2:]
    if height % factor or width % factor:
        raise ValueError(
            f"codec: expected sides that divide by {factor}, got {width}x{height}, resize or pad the clip first"
        )


class ResidualCodec:
    """What a picture has beyond its own enlargement from a quarter of the side: the space of the
    super-resolution net.

    Coded clips are as large as the low-resolution ones, `factor` squared pixels to a place, scaled
    by `gain` to about unit variance; a coded clip of zeros is the bicubic enlargement. Our choice:
    the net then spends nothing on what interpolation knows, and no border of a tile can shift a
    colour.
    """

    def __init__(self, factor: int = 4, gain: float = 8.0):
        self.factor, self.gain = factor, gain
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
        return self.enlarge(low) + self.squares.decode(coded) / self.gain

    def enlarge(self, low: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b 3 f H W"]:
        """Bicubic, each frame alone (a = -0.5, as Pillow does)."""
        return unfold_frames(
            F.interpolate(
                fold_frames(low), scale_factor=self.factor, mode="bicubic", antialias=True
            ),
            len(low),
        )
