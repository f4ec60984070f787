"""Single frames that teach the codec: drawings at any place and size on any ground, and
photographs.

Everything is premultiplied RGBA in [0, 1], drawn from a generator. All shares and ranges are our
choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

SIDE = 128
PLAIN = (
    torch.tensor(
        [
            [220, 60, 60],
            [70, 110, 220],
            [80, 180, 90],
            [240, 220, 90],
            [255, 255, 255],
            [20, 20, 20],
        ]
    )
    / 255
)


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How often a frame has what."""

    photograph: float = 0.10  # nothing but a photograph
    photograph_ground: float = 0.08
    transparent: float = 0.35
    plain: float = 0.2
    cloudy: float = 0.12  # smooth noise; all other grounds are gradients of two colours
    second: float = 0.3  # a smaller drawing behind
    tinted: float = 0.25


class Drawings:
    """Frames made of drawings `s H W 4` (premultiplied, uint8) and photographs `p H W 3`, both at
    least 128 pixels a side.
    """

    def __init__(
        self,
        drawings: UInt8[Tensor, "s H W 4"],
        photographs: UInt8[Tensor, "p H W 3"],
        shares: Shares = Shares(),
    ):
        self.drawings, self.photographs, self.shares = drawings, photographs, shares

    def draw(self, generator: torch.Generator, count: int) -> Float[Tensor, "b 4 128 128"]:
        """Frames of drawings on grounds, premultiplied RGBA in [0, 1]."""
        frames = self.grounds(generator, count)
        some = rows_of(generator, count, self.shares.second)
        if len(some):
            frames[some] = over(self.placed(generator, len(some), 0.3, 0.8, 0.8), frames[some])
        frames = over(self.placed(generator, count, 0.45, 1.15, 0.35), frames)
        alone = rows_of(generator, count, self.shares.photograph)
        frames[alone] = self.photograph(generator, len(alone))
        return frames

    def placed(
        self, generator: torch.Generator, count: int, least: float, most: float, away: float
    ) -> Float[Tensor, "b 4 128 128"]:
        """Drawings of a size in [least, most] frames, up to `away` half frames from the middle,
        turned, mirrored, tinted.
        """
        rows = torch.randint(len(self.drawings), (count,), generator=generator)
        drawings = self.drawings[rows].permute(0, 3, 1, 2).float() / 255
        drawings = tint(drawings, generator, self.shares.tinted)
        size = uniform(generator, count, least, most)
        place = (uniform(generator, count, -away, away), uniform(generator, count, -away, away))
        turn = uniform(generator, count, -0.4, 0.4)
        return resample(
            drawings, size, place, turn, mirrored=torch.rand(count, generator=generator) < 0.5
        )

    def grounds(self, generator: torch.Generator, count: int) -> Float[Tensor, "b 4 128 128"]:
        """Opaque but for the transparent ones."""
        frames = torch.zeros(count, 4, SIDE, SIDE)
        kinds = torch.multinomial(
            self.ground_shares(), count, replacement=True, generator=generator
        )
        for kind, make in enumerate((gradient, plain, cloudy)):
            rows = (kinds == kind).nonzero()[:, 0]
            frames[rows, :3] = make(generator, len(rows))
            frames[rows, 3] = 1.0
        rows = (kinds == 3).nonzero()[:, 0]
        frames[rows] = self.photograph(generator, len(rows))
        return frames

    def ground_shares(self) -> Float[Tensor, " 5"]:
        """Of gradients, plain ones, clouds, photographs and transparent ones."""
        shares = self.shares
        shown = [shares.plain, shares.cloudy, shares.photograph_ground, shares.transparent]
        return torch.tensor([1 - sum(shown), *shown])

    def photograph(self, generator: torch.Generator, count: int) -> Float[Tensor, "b 4 128 128"]:
        """Opaque crops, mirrored or not."""
        rows = torch.randint(len(self.photographs), (count,), generator=generator)
        spare = self.photographs.shape[1] - SIDE
        top, left = (int(torch.randint(spare + 1, (1,), generator=generator)) for _ in range(2))
        crops = (
            self.photographs[rows, top : top + SIDE, left : left + SIDE].permute(0, 3, 1, 2).float()
            / 255
        )
        crops = torch.where(chosen(generator, count, 0.5) > 0, crops.flip(-1), crops)
        return torch.cat([crops, torch.ones(count, 1, SIDE, SIDE)], dim=1)


def over(
    front: Float[Tensor, "b 4 h w"], behind: Float[Tensor, "b 4 h w"]
) -> Float[Tensor, "b 4 h w"]:
    """Premultiplied `front` before `behind`."""
    return front + behind * (1 - front[:, 3:])


def uniform(generator: torch.Generator, count: int, low: float, high: float) -> Float[Tensor, " b"]:
    """So many numbers between two bounds."""
    return torch.rand(count, generator=generator) * (high - low) + low


def rows_of(generator: torch.Generator, count: int, share: float) -> Int[Tensor, " some"]:
    """The rows of a batch that are of that share."""
    return (torch.rand(count, generator=generator) < share).nonzero()[:, 0]


def chosen(generator: torch.Generator, count: int, share: float) -> Float[Tensor, "b 1 1 1"]:
    """1 for that share of a batch, else 0."""
    return (torch.rand(count, 1, 1, 1, generator=generator) < share).float()


def tint(
    drawings: Float[Tensor, "b 4 h w"], generator: torch.Generator, share: float
) -> Float[Tensor, "b 4 h w"]:
    """Other colours for some: channels mixed, lighter or darker. Stays premultiplied."""
    count = len(drawings)
    mixing = torch.eye(3) + 0.35 * torch.randn(count, 3, 3, generator=generator)
    light = uniform(generator, count, 0.6, 1.2)[:, None, None]
    mixed = torch.einsum("bij,bjhw->bihw", mixing * light, drawings[:, :3]).clamp(min=0)
    tinted = torch.cat([torch.minimum(mixed, drawings[:, 3:]), drawings[:, 3:]], dim=1)
    return torch.where(chosen(generator, count, share) > 0, tinted, drawings)


def resample(
    drawings: Float[Tensor, "b 4 H W"],
    size: Float[Tensor, " b"],
    place: tuple[Float[Tensor, " b"], Float[Tensor, " b"]],
    turn: Float[Tensor, " b"],
    mirrored: Tensor,
) -> Float[Tensor, "b 4 128 128"]:
    """Bilinear; what becomes much smaller is halved first, so that nothing is skipped."""
    cosine, sine = turn.cos(), turn.sin()
    side = torch.where(mirrored, -1.0, 1.0)
    right, down = place
    first = torch.stack([side * cosine, -side * sine, side * (down * sine - right * cosine)], dim=1)
    second = torch.stack([sine, cosine, -right * sine - down * cosine], dim=1)
    matrix = torch.stack([first, second], dim=1) / size[:, None, None]
    grid = F.affine_grid(matrix, [len(drawings), 4, SIDE, SIDE], align_corners=False)
    halved = F.interpolate(F.avg_pool2d(drawings, 2), scale_factor=2.0, mode="bilinear")
    fine = torch.where((size < 0.6)[:, None, None, None], halved, drawings)
    return F.grid_sample(fine, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def gradient(generator: torch.Generator, count: int) -> Float[Tensor, "b 3 128 128"]:
    """From one colour to another along any direction."""
    first, second = (torch.rand(count, 3, 1, 1, generator=generator) for _ in range(2))
    down, right = torch.meshgrid(
        torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij"
    )
    turn = uniform(generator, count, 0, 6.2832)[:, None, None, None]
    way = ((turn.cos() * right + turn.sin() * down) / 1.5).clamp(-1, 1)
    return torch.lerp(
        first.expand(-1, -1, SIDE, SIDE), second.expand(-1, -1, SIDE, SIDE), (way + 1) / 2
    )


def plain(generator: torch.Generator, count: int) -> Float[Tensor, "b 3 128 128"]:
    """Half of them of the named colours, half of any."""
    named = PLAIN[torch.randint(len(PLAIN), (count,), generator=generator)]
    any_colour = torch.rand(count, 3, generator=generator)
    colours = torch.where(chosen(generator, count, 0.5)[..., 0, 0] > 0, named, any_colour)
    return colours[:, :, None, None].expand(-1, -1, SIDE, SIDE)


def cloudy(generator: torch.Generator, count: int) -> Float[Tensor, "b 3 128 128"]:
    """Colours that change slowly from place to place, of one to three scales."""
    total = torch.zeros(count, 3, SIDE, SIDE)
    for cells in (3, 8, 24):
        coarse = (
            torch.randn(count, 3, cells, cells, generator=generator)
            * uniform(generator, count, 0, 0.25)[:, None, None, None]
        )
        total += F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")
    base = torch.rand(count, 3, 1, 1, generator=generator)
    return (base + total).clamp(0, 1)
