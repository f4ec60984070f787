"""What a conditional net is given in training: masks of every task, each with its share (our
choice; the paper is silent).

All are `f h w` on the codec's grid, 1 where the clip is known, as the tasks fill them at generation
(`tasks/region.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

Shape: TypeAlias = tuple[int, int, int]  # f h w
Draw: TypeAlias = Callable[[torch.Generator, Shape], Tensor]

MOST_KEYFRAMES = 6


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))


def whole(generator: torch.Generator, low: int, high: int) -> int:
    """From low to high, both included; low where there is no room."""
    return int(torch.randint(low, max(high, low) + 1, (1,), generator=generator))


def frames_known(shape: Shape, *numbers: int) -> Float[Tensor, "f h w"]:
    mask = torch.zeros(shape)
    mask[list(numbers)] = 1
    return mask


def nothing(generator: torch.Generator, shape: Shape) -> Tensor:
    return torch.zeros(shape)


def first_frame(generator: torch.Generator, shape: Shape) -> Tensor:
    return frames_known(shape, 0)


def last_frame(generator: torch.Generator, shape: Shape) -> Tensor:
    return frames_known(shape, -1)


def first_and_last(generator: torch.Generator, shape: Shape) -> Tensor:
    return frames_known(shape, 0, -1)


def keyframes(generator: torch.Generator, shape: Shape) -> Tensor:
    """Two to six frames anywhere."""
    count = whole(generator, 2, min(MOST_KEYFRAMES, shape[0]))
    return frames_known(shape, *torch.randperm(shape[0], generator=generator)[:count].tolist())


def box(generator: torch.Generator, shape: Shape) -> Tensor:
    """Known outside a resting box."""
    return 1 - resting(a_box(generator, 0.25, 0.75, shape), shape)


def stroke(generator: torch.Generator, shape: Shape) -> Tensor:
    """Known outside a resting free-hand stroke: a round brush along a few straight pieces."""
    radius = uniform(generator, 0.08, 0.16)
    corners = torch.rand(whole(generator, 3, 6), 2, generator=generator)
    steps = torch.linspace(0, 1, 8)[:, None]
    points = torch.cat([a + (b - a) * steps for a, b in zip(corners, corners[1:])])
    y, x = places(shape)
    distance = (x[..., None] - points[:, 0]).square() + (y[..., None] - points[:, 1]).square()
    return 1 - resting((distance.amin(-1) < radius**2).float(), shape)


def moving(generator: torch.Generator, shape: Shape) -> Tensor:
    """Known outside a box that moves evenly from one place to another."""
    width, height = (uniform(generator, 0.25, 0.6) for _ in range(2))
    start, end = (
        torch.rand(2, generator=generator) * torch.tensor([1 - width, 1 - height]) for _ in range(2)
    )
    corners = start + (end - start) * torch.linspace(0, 1, shape[0])[:, None]
    y, x = places(shape)
    inside = [
        ((x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)).float()
        for left, top in corners
    ]
    return 1 - torch.stack(inside)


def border(generator: torch.Generator, shape: Shape) -> Tensor:
    """Known inside a box, the border to be made: outpainting."""
    return resting(a_box(generator, 0.4, 0.85, shape), shape)


def cinemagraph(generator: torch.Generator, shape: Shape) -> Tensor:
    """The first frame whole, and all frames outside a region."""
    mask = box(generator, shape)
    mask[0] = 1
    return mask


def some_frames_missing(generator: torch.Generator, shape: Shape) -> Tensor:
    """All but up to a quarter of the frames: a run of them, or any."""
    count = whole(generator, 1, shape[0] // 4)
    first = whole(generator, 0, shape[0] - count)
    missing = (
        range(first, first + count)
        if whole(generator, 0, 1)
        else torch.randperm(shape[0], generator=generator)[:count].tolist()
    )
    return 1 - frames_known(shape, *missing)


SHARES: dict[Draw, float] = {
    nothing: 0.30,
    first_frame: 0.20,
    last_frame: 0.04,
    first_and_last: 0.06,
    keyframes: 0.06,
    box: 0.08,
    stroke: 0.04,
    moving: 0.06,
    border: 0.06,
    cinemagraph: 0.06,
    some_frames_missing: 0.04,
}


def draw_kinds(
    generator: torch.Generator, count: int, unknown: float = SHARES[nothing]
) -> list[Draw]:
    """Kinds of mask in their shares; where `nothing` has another share, `unknown`, the others keep
    theirs of the rest.
    """
    rest = (1 - unknown) / (1 - SHARES[nothing])
    shares = torch.tensor(
        [unknown if kind is nothing else share * rest for kind, share in SHARES.items()]
    )
    chosen = torch.multinomial(shares, count, replacement=True, generator=generator)
    return [list(SHARES)[number] for number in chosen.tolist()]


def draw_masks(
    generator: torch.Generator, count: int, shape: Shape, unknown: float = SHARES[nothing]
) -> Float[Tensor, "b 1 f h w"]:
    return torch.stack([kind(generator, shape) for kind in draw_kinds(generator, count, unknown)])[
        :, None
    ]


def a_box(
    generator: torch.Generator, least: float, most: float, shape: Shape
) -> Float[Tensor, "h w"]:
    """1 inside a box whose sides are a share `least` to `most` of the frame's; never empty."""
    _, height, width = shape
    tall, wide = (max(1, round(uniform(generator, least, most) * side)) for side in (height, width))
    top, left = whole(generator, 0, height - tall), whole(generator, 0, width - wide)
    inside = torch.zeros(height, width)
    inside[top : top + tall, left : left + wide] = 1
    return inside


def resting(picture: Float[Tensor, "h w"], shape: Shape) -> Float[Tensor, "f h w"]:
    return picture.expand(shape).clone()


def places(shape: Shape) -> tuple[Tensor, Tensor]:
    """y and x of the grid's centres, in frame sides."""
    y, x = ((torch.arange(side) + 0.5) / side for side in shape[1:])
    return y[:, None], x[None]
