"""Masks of conditional training: those of every task, each with its share (our choice; the paper is
silent).

All are `f h w` on the codec's grid, 1 where the clip is known, as the tasks fill them at generation
(`tasks/region.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

Shape: TypeAlias = tuple[int, int, int]  # f h w
Draw: TypeAlias = Callable[[torch.Generator, Shape], Tensor]

MOST_KEYFRAMES = 6


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """A number from low to high."""
    return low + (high - low) * float(torch.rand(1, generator=generator))


def whole_number(generator: torch.Generator, low: int, high: int) -> int:
    """From low to high, both included; low where high is less."""
    return int(torch.randint(low, max(high, low) + 1, (1,), generator=generator))


def frames_known(shape: Shape, *numbers: int) -> Float[Tensor, "f h w"]:
    """Known in whole frames of these numbers."""
    mask = torch.zeros(shape)
    mask[list(numbers)] = 1
    return mask


def nothing(generator: torch.Generator, shape: Shape) -> Tensor:
    """Text to video."""
    return torch.zeros(shape)


def first_frame(generator: torch.Generator, shape: Shape) -> Tensor:
    """Image to video."""
    return frames_known(shape, 0)


def last_frame(generator: torch.Generator, shape: Shape) -> Tensor:
    """Video that ends in a picture."""
    return frames_known(shape, -1)


def first_and_last(generator: torch.Generator, shape: Shape) -> Tensor:
    """Video from one picture to another."""
    return frames_known(shape, 0, -1)


def keyframes(generator: torch.Generator, shape: Shape) -> Tensor:
    """Two to six frames anywhere."""
    count = whole_number(generator, 2, min(MOST_KEYFRAMES, shape[0]))
    return frames_known(shape, *torch.randperm(shape[0], generator=generator)[:count].tolist())


def box(generator: torch.Generator, shape: Shape) -> Tensor:
    """Known outside a resting box."""
    return 1 - resting(a_box(generator, 0.25, 0.75, shape), shape)


def stroke(generator: torch.Generator, shape: Shape) -> Tensor:
    """Known outside a resting free-hand stroke: a round brush along a few straight pieces."""
    radius = uniform(generator, 0.08, 0.16)
    corners = torch.rand(whole_number(generator, 3, 6), 2, generator=generator)
    steps = torch.linspace(0, 1, 8)[:, None]
    points = torch.cat([a + (b - a) * steps for a, b in pairwise(corners)])
    y, x = places(shape)
    distance = (x[..., None] - points[:, 0]).square() + (y[..., None] - points[:, 1]).square()
    return 1 - resting((distance.amin(-1) < radius**2).float(), shape)


def moving(generator: torch.Generator, shape: Shape) -> Tensor:
    """Known outside a box that moves evenly from one place to another."""
    width = uniform(generator, 0.25, 0.6)
    height = uniform(generator, 0.25, 0.6)
    space = torch.tensor([1 - width, 1 - height])
    start = torch.rand(2, generator=generator) * space
    end = torch.rand(2, generator=generator) * space
    corners = start + (end - start) * torch.linspace(0, 1, shape[0])[:, None]
    y, x = places(shape)
    inside = [
        ((x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)).float()
        for left, top in corners
    ]
    return 1 - torch.stack(inside)


def border(generator: torch.Generator, shape: Shape) -> Tensor:
    """Known inside a box: outpainting."""
    return resting(a_box(generator, 0.4, 0.85, shape), shape)


def cinemagraph(generator: torch.Generator, shape: Shape) -> Tensor:
    """The whole first frame, and all frames outside a region."""
    mask = box(generator, shape)
    mask[0] = 1
    return mask


def some_frames_missing(generator: torch.Generator, shape: Shape) -> Tensor:
    """All but up to a quarter of the frames: a run of them, or any."""
    count = whole_number(generator, 1, shape[0] // 4)
    first = whole_number(generator, 0, shape[0] - count)
    if whole_number(generator, 0, 1):
        missing = list(range(first, first + count))
    else:
        missing = torch.randperm(shape[0], generator=generator)[:count].tolist()
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
    kinds = list(SHARES)
    return [kinds[number] for number in chosen.tolist()]


def draw_masks(
    generator: torch.Generator, count: int, shape: Shape, unknown: float = SHARES[nothing]
) -> Float[Tensor, "b 1 f h w"]:
    """`count` masks, their kinds in their shares."""
    kinds = draw_kinds(generator, count, unknown)
    return torch.stack([kind(generator, shape) for kind in kinds])[:, None]


def a_box(
    generator: torch.Generator, least: float, most: float, shape: Shape
) -> Float[Tensor, "h w"]:
    """1 inside a box whose sides are a share `least` to `most` of the frame's; never empty."""
    _, height, width = shape
    tall = max(1, round(uniform(generator, least, most) * height))
    wide = max(1, round(uniform(generator, least, most) * width))
    top = whole_number(generator, 0, height - tall)
    left = whole_number(generator, 0, width - wide)
    inside = torch.zeros(height, width)
    inside[top : top + tall, left : left + wide] = 1
    return inside


def resting(picture: Float[Tensor, "h w"], shape: Shape) -> Float[Tensor, "f h w"]:
    """The same picture in every frame."""
    return picture.expand(shape).clone()


def places(shape: Shape) -> tuple[Tensor, Tensor]:
    """y and x of the grid's centres, in frame sides."""
    y, x = ((torch.arange(side) + 0.5) / side for side in shape[1:])
    return y[:, None], x[None]
