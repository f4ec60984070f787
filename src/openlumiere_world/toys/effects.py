"""What falls or rises before everything: rain, snow, confetti, bubbles. Loops of 2.5 seconds, drawn
once in a process.
"""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

SIDE = 128
RATE = 16
LOOP = 40  # frames
EFFECTS = ("rain", "snow", "confetti", "bubbles")
CONFETTI = ((235, 80, 80), (80, 150, 235), (245, 205, 70), (95, 190, 110), (200, 110, 220))
NUMBERS = {"rain": 34, "snow": 30, "confetti": 30, "bubbles": 14}
ROUNDS = {
    "rain": 4,
    "snow": 1,
    "confetti": 1,
    "bubbles": 1,
}  # times that each passes the frame in a loop


@cache
def loop(effect: str, variant: int) -> Float[Tensor, "40 4 128 128"]:
    """All frames, premultiplied."""
    generator = torch.Generator().manual_seed(variant)
    frames = torch.zeros(LOOP, 4, SIDE, SIDE)
    for number in range(NUMBERS[effect]):
        add(frames, effect, number, torch.rand(6, generator=generator).tolist())
    return frames.clamp(0, 1)


def add(frames: Float[Tensor, "f 4 h w"], effect: str, number: int, chance: list[float]) -> None:
    """One particle, over what there is."""
    share = (torch.arange(LOOP) / LOOP * ROUNDS[effect] + chance[0]) % 1
    rising = effect == "bubbles"
    y = (1 - share if rising else share) * (SIDE + 24) - 12
    sway = {"rain": 0.0, "snow": 5.0, "confetti": 7.0, "bubbles": 4.0}[effect]
    x = chance[1] * SIDE + sway * torch.sin(2 * torch.pi * (share + chance[2]))
    mask = outline(effect, x, y, chance)
    colour = torch.tensor(tone(effect, number))[:, None, None] / 255
    front = torch.cat([colour * mask[:, None], mask[:, None]], dim=1)
    frames.mul_(1 - mask[:, None]).add_(front)


def outline(
    effect: str, x: Float[Tensor, " f"], y: Float[Tensor, " f"], chance: list[float]
) -> Float[Tensor, "f 128 128"]:
    """How much of each pixel is covered."""
    places = torch.arange(SIDE) + 0.5
    right, down = places[None, None] - x[:, None, None], places[None, :, None] - y[:, None, None]
    if effect == "rain":
        return (1.3 - right.abs()).clamp(0, 1) * (5.5 - down.abs()).clamp(0, 1) * 0.55
    if effect == "confetti":
        wide = (
            2.6
            * (0.35 + 0.65 * torch.cos(2 * torch.pi * (y / 60 + chance[3])).abs())[:, None, None]
        )
        return (wide + 0.5 - right.abs()).clamp(0, 1) * (2.6 + 0.5 - down.abs()).clamp(0, 1)
    apart = (right.square() + down.square()).sqrt()
    if effect == "snow":
        return (1.6 + 1.4 * chance[3] - apart).clamp(0, 1) * 0.95
    radius = 4 + 4 * chance[3]
    ring = (1.2 - (apart - radius).abs()).clamp(0, 1) * 0.7
    return torch.maximum(ring, (radius - apart).clamp(0, 1) * 0.18)


def tone(effect: str, number: int) -> tuple[int, int, int]:
    """Red, green and blue of the effect's numbered piece, 0 to 255."""
    if effect == "confetti":
        return CONFETTI[number % len(CONFETTI)]
    return {"rain": (185, 210, 240), "snow": (250, 252, 255), "bubbles": (225, 245, 255)}[effect]


def layer(effect: str, variant: int, moments: Float[Tensor, " f"]) -> Float[Tensor, "f 4 128 128"]:
    """The effect at moments in seconds, premultiplied RGBA in [0, 1]."""
    rows = (moments * RATE).round().long() % LOOP
    return loop(effect, variant)[rows]
