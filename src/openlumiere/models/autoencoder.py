"""A small convolutional autoencoder of RGBA frames: 128 x 128 x 4 pixels to 16 x 16 x 16 latents.

Every frame is coded alone and no layer looks further than its kernel: there is no normalisation
over places, so a frame of any size that divides by eight is coded as its parts are, and what stands
still in a clip has latents that stand still. Our choice throughout; the residual blocks without
normalisation are those of EDSR (Lim et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn

HALVINGS = 3  # one by unshuffled pixels, two between levels
FACTOR = 2**HALVINGS


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside an identity; at the start it is the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return hidden + self.second(F.silu(self.first(F.silu(hidden))))


class Halve(nn.Sequential):
    """Squares of 2 x 2 places become channels, which are then mixed."""

    def __init__(self, channels: int, wider: int):
        super().__init__(nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, wider, 1))


class Double(nn.Sequential):
    """The reverse of `Halve`."""

    def __init__(self, channels: int, narrower: int):
        super().__init__(nn.Conv2d(channels, 4 * narrower, 1), nn.PixelShuffle(2))


class StickerAutoencoder(ModelMixin, ConfigMixin):
    """Premultiplied RGBA frames in [-1, 1] to latents of about unit deviation, and back.

    All four channels are in [-1, 1]: a fully transparent place is -1 in each of them.

    Args:
        pixel_channels: 4 for RGBA.
        latent_channels: of a latent place, which stands for 8 x 8 pixels.
        widths: channels at a half, a quarter and an eighth of the side.
        encoder_blocks: residual blocks at those levels, in that order.
        decoder_blocks: residual blocks at the same levels, in the same order.
        bound: latents are squeezed by `bound * tanh(z / bound)`.
        means: of the squeezed latents' channels, taken away on their way out; None is none.
        deviations: what they are then divided by, so that latents are of zero mean and unit
            deviation; None is ones. Both are
            measured at the end of training, as those of published VAEs are.
    """

    @register_to_config
    def __init__(
        self,
        pixel_channels: int = 4,
        latent_channels: int = 16,
        widths: Sequence[int] = (32, 64, 128),
        encoder_blocks: Sequence[int] = (1, 1, 2),
        decoder_blocks: Sequence[int] = (2, 3, 4),
        bound: float = 5.0,
        means: Sequence[float] | None = None,
        deviations: Sequence[float] | None = None,
    ):
        super().__init__()
        check_levels(widths, encoder_blocks, decoder_blocks)
        fine, middle, coarse = widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * pixel_channels, fine, 3, padding=1),
            *residuals(fine, encoder_blocks[0]),
            Halve(fine, middle),
            *residuals(middle, encoder_blocks[1]),
            Halve(middle, coarse),
            *residuals(coarse, encoder_blocks[2]),
            nn.SiLU(),
            nn.Conv2d(coarse, latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, coarse, 3, padding=1),
            *residuals(coarse, decoder_blocks[2]),
            Double(coarse, middle),
            *residuals(middle, decoder_blocks[1]),
            Double(middle, fine),
            *residuals(fine, decoder_blocks[0]),
            nn.SiLU(),
            nn.Conv2d(fine, 4 * pixel_channels, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def encode(self, pixels: Float[Tensor, "b c H W"]) -> Float[Tensor, "b z h w"]:
        """Latents in float32. Sides must divide by eight; raises ValueError."""
        check_frames(pixels, self.config.pixel_channels)
        bound = self.config.bound
        squeezed = bound * torch.tanh(self.encoder(pixels).float() / bound)
        return (squeezed - self._numbers(self.config.means, 0.0)) / self._numbers(
            self.config.deviations, 1.0
        )

    def decode(self, latents: Float[Tensor, "b z h w"]) -> Float[Tensor, "b c H W"]:
        """Pixels, not clamped: a little outside of [-1, 1] is possible."""
        squeezed = latents * self._numbers(self.config.deviations, 1.0) + self._numbers(
            self.config.means, 0.0
        )
        return self.decoder(squeezed.to(self.dtype))

    def _numbers(self, values: Sequence[float] | None, default: float) -> Float[Tensor, "z 1 1"]:
        """One of each latent channel."""
        values = values or [default] * self.config.latent_channels
        return torch.tensor(values, device=self.device)[:, None, None]

    def forward(self, pixels: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c H W"]:
        return self.decode(self.encode(pixels))


def residuals(channels: int, count: int) -> list[Residual]:
    return [Residual(channels) for _ in range(count)]


def check_levels(*levels: Sequence[int]) -> None:
    for values in levels:
        if len(values) != HALVINGS:
            raise ValueError(
                f"autoencoder: expected {HALVINGS} levels, got {len(values)}, "
                "name the widths and blocks of each level"
            )


def check_frames(pixels: Tensor, channels: int) -> None:
    height, width = pixels.shape[-2:]
    if pixels.shape[1] != channels:
        raise ValueError(
            f"autoencoder: expected {channels} channels, got {pixels.shape[1]}, "
            "give premultiplied RGBA frames"
        )
    if height % FACTOR or width % FACTOR:
        raise ValueError(
            f"autoencoder: expected sides that divide by {FACTOR}, got {width}x{height}, "
            "resize or pad the frames first"
        )
