"""A source of samples drawn in a line: discs that move over grey."""

from typing import NamedTuple

import torch


class Sample(NamedTuple):
    pixels: torch.Tensor
    captions: list[str]


class Discs:
    """A disc of one of six colours that moves to one side, drawn by the generator alone."""

    colours = torch.tensor(
        [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]
    ).float()

    def __init__(self, side=32):
        self.side = side

    def draw(self, generator, count, frame_times):
        still = frame_times is None
        times = (torch.zeros(1) if still else frame_times).expand(count, -1)[:, :, None, None]
        rows = torch.randint(6, (count,), generator=generator)
        speed = torch.rand(count, 1, 1, 1, generator=generator) * 2 - 1
        line = torch.linspace(-1, 1, self.side)
        y, x = torch.meshgrid(line, line, indexing="ij")
        inside = ((x - speed * times / 80) ** 2 + y**2 < 0.2)[:, None]
        pixels = torch.where(inside, self.colours[rows][:, :, None, None, None], torch.zeros(()))
        what = "a disc" if still else "a disc that moves"
        return Sample(pixels, [f"{what} of colour {row}" for row in rows.tolist()])
