"""Grounds behind a subject: transparent, plain, gradients, and scenes that are drawn once from a
seed.

A scene is 160 x 384 pixels and meets itself at its sides, so that a camera may go on and on; a
frame is a window of 128 x 128 of it. Edges are soft and textures coarse, so that a codec of an
eighth of the side can keep them. All our choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere_world.backgrounds import COLOURS as PLAIN

HEIGHT, WIDTH = 160, 384
MARGIN = 16  # rows above and below the middle window
HORIZON = 92.0  # row of a scene; 76 of the middle window
TURN = 2 * math.pi
COLOURS = PLAIN | {"grey": (150, 150, 155)}
VARIANTS = 12  # of each scene

Picture = Float[Tensor, "3 160 384"]


def levels(colour: tuple[float, float, float]) -> Float[Tensor, "3 1 1"]:
    """A colour of 0 to 255 as one in [0, 1] that broadcasts over a picture."""
    return torch.tensor(colour)[:, None, None] / 255


class Painter:
    """A picture in work. Everything that is drawn from chance comes from one generator."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)
        self.down = torch.arange(HEIGHT)[:, None].float()
        self.across = torch.arange(WIDTH)[None].float()
        self.picture = torch.zeros(3, HEIGHT, WIDTH)

    def chance(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number between two bounds."""
        return float(torch.rand((), generator=self.generator)) * (high - low) + low

    def near(
        self, colour: tuple[float, float, float], by: float = 14
    ) -> tuple[float, float, float]:
        """A colour a little beside."""
        red, green, blue = (min(max(level + self.chance(-by, by), 0), 255) for level in colour)
        return red, green, blue

    def fall(self, top: tuple, bottom: tuple, first: float = 0.0, last: float = HEIGHT) -> None:
        """From one colour down to another between two rows; below it nothing changes."""
        share = ((self.down - first) / (last - first)).clamp(0, 1)[None]
        colour = levels(top) * (1 - share) + levels(bottom) * share
        self.lay(
            colour.expand(3, HEIGHT, WIDTH), (self.down >= first).float().expand(HEIGHT, WIDTH)
        )

    def lay(self, colour: Tensor, mask: Float[Tensor, "160 384"]) -> None:
        """Paint a colour where the mask is 1."""
        self.picture = torch.lerp(
            self.picture, colour.expand(3, HEIGHT, WIDTH), mask.clamp(0, 1)[None].expand(3, -1, -1)
        )

    def below(self, edge: Float[Tensor, " 384"], soft: float = 1.2) -> Float[Tensor, "160 384"]:
        """1 under a curve of rows, 0 above."""
        return ((self.down - edge[None]) / soft + 0.5).clamp(0, 1)

    def curve(
        self, row: float, height: float, waves: tuple[int, ...] = (1, 2, 3, 5)
    ) -> Float[Tensor, " 384"]:
        """A line of hills that meets itself at the sides."""
        line = torch.zeros(WIDTH)
        for wave in waves:
            phase = self.chance(0, TURN)
            line += (
                torch.sin(self.across[0] / WIDTH * TURN * wave + phase)
                * height
                * self.chance(0.4, 1.0)
                / wave**0.5
            )
        return row + line / len(waves) ** 0.5

    def disc(
        self, x: float, y: float, radius: float, soft: float = 1.5
    ) -> Float[Tensor, "160 384"]:
        """The mask of a disc with a soft edge, in pixels."""
        apart = (self.across - x + WIDTH / 2) % WIDTH - WIDTH / 2
        return ((radius - (apart.square() + (self.down - y).square()).sqrt()) / soft + 0.5).clamp(
            0, 1
        )

    def box(
        self, x: float, y: float, wide: float, tall: float, soft: float = 1.2
    ) -> Float[Tensor, "160 384"]:
        """Around a middle."""
        apart = ((self.across - x + WIDTH / 2) % WIDTH - WIDTH / 2).abs()
        return ((wide / 2 - apart) / soft + 0.5).clamp(0, 1) * (
            (tall / 2 - (self.down - y).abs()) / soft + 0.5
        ).clamp(0, 1)

    def cone(self, x: float, foot: float, wide: float, tall: float) -> Float[Tensor, "160 384"]:
        """A fir's outline."""
        apart = ((self.across - x + WIDTH / 2) % WIDTH - WIDTH / 2).abs()
        share = ((self.down - (foot - tall)) / tall).clamp(0, 1)
        return ((wide / 2 * share - apart) / 1.5 + 0.5).clamp(0, 1) * (
            (self.down <= foot) & (self.down >= foot - tall)
        ).float()

    def clouds(
        self,
        count: int,
        top: float = 14,
        bottom: float = 62,
        colour: tuple = (255, 255, 255),
        strength: float = 0.85,
    ) -> None:
        """Paint clouds: heaps of pale discs."""
        for _ in range(count):
            x, y, size = self.chance(0, WIDTH), self.chance(top, bottom), self.chance(7, 13)
            mask = torch.zeros(HEIGHT, WIDTH)
            for part in (-1.3, 0.0, 1.2):
                mask = torch.maximum(
                    mask,
                    self.disc(
                        x + part * size,
                        y + abs(part) * size * 0.3,
                        size * (1 - 0.25 * abs(part)),
                        soft=4,
                    ),
                )
            self.lay(levels(colour), mask * strength)

    def stars(self, count: int, bottom: float = HEIGHT) -> None:
        """Paint stars above a row."""
        for _ in range(count):
            spot = self.disc(
                self.chance(0, WIDTH), self.chance(0, bottom), self.chance(0.7, 1.5), soft=1.4
            )
            self.lay(levels((255, 250, 225)), spot * self.chance(0.6, 1.0))

    def sky(self) -> None:
        """Paint a blue sky down to the horizon."""
        top = self.near((95, 165, 235))
        self.fall(top, self.near((205, 232, 250)), 0, HORIZON)


def meadow(paint: Painter) -> None:
    """Grass and flowers under a sky."""
    paint.sky()
    paint.clouds(5)
    paint.lay(levels(paint.near((120, 180, 110))), paint.below(paint.curve(HORIZON - 8, 7)))
    paint.lay(levels(paint.near((95, 170, 75))), paint.below(paint.curve(HORIZON + 3, 4)))
    shade = paint.below(torch.full((WIDTH,), HORIZON + 40.0), soft=50)
    paint.lay(levels(paint.near((65, 140, 55))), shade * 0.8)
    for _ in range(26):
        colour = ((250, 250, 245), (250, 220, 90), (235, 120, 150))[int(paint.chance(0, 3))]
        paint.lay(
            levels(colour),
            paint.disc(
                paint.chance(0, WIDTH), paint.chance(HORIZON + 14, HEIGHT), paint.chance(1.2, 2.2)
            ),
        )


def water(paint: Painter, top: float, bottom: float) -> None:
    """Paint water with glints between two rows."""
    paint.fall(paint.near((70, 150, 205)), paint.near((25, 90, 160)), top, bottom)
    for row in range(int(top) + 4, int(bottom), 9):
        crest = paint.curve(row, 1.6, waves=(4, 7, 11))
        near = ((1.6 - (paint.down - crest[None]).abs()) / 1.5).clamp(0, 1)
        paint.lay(levels((190, 225, 245)), near * paint.chance(0.25, 0.5))


def sea(paint: Painter) -> None:
    """Open water under a sky."""
    paint.sky()
    paint.clouds(4)
    paint.lay(levels((255, 240, 170)), paint.disc(paint.chance(0, WIDTH), 34, 11))
    water(paint, HORIZON - 12, HEIGHT)


def beach(paint: Painter) -> None:
    """Sand before the sea, with palms."""
    paint.sky()
    paint.clouds(3)
    water(paint, HORIZON - 14, HORIZON + 10)
    shore = paint.curve(HORIZON + 9, 2.5)
    paint.lay(levels((250, 250, 245)), paint.below(shore - 2.5))
    paint.lay(levels(paint.near((238, 214, 160))), paint.below(shore))
    paint.lay(
        levels(paint.near((222, 190, 130))),
        paint.below(paint.curve(HORIZON + 46, 6), soft=24) * 0.7,
    )
    for _ in range(3):
        palm(paint, paint.chance(0, WIDTH), HORIZON + 22)


def palm(paint: Painter, x: float, foot: float) -> None:
    """Paint a palm whose foot is at this place."""
    paint.lay(levels((140, 100, 60)), paint.box(x, foot - 22, 4, 44))
    for turn in range(7):
        way = TURN * turn / 7
        leaf = torch.zeros(HEIGHT, WIDTH)
        for step in (3, 7, 11, 15):
            leaf = torch.maximum(
                leaf,
                paint.disc(
                    x + math.cos(way) * step,
                    foot - 45 + math.sin(way) * step * 0.5 + step * step * 0.02,
                    3.0 - step * 0.1,
                ),
            )
        paint.lay(levels((60, 145, 70)), leaf)


def snow(paint: Painter) -> None:
    """Snow under a pale sky."""
    paint.fall(paint.near((165, 195, 225)), paint.near((232, 240, 248)), 0, HORIZON)
    paint.lay(levels((225, 233, 243)), paint.below(paint.curve(HORIZON - 18, 12)))
    for _ in range(16):
        x, foot, tall = (
            paint.chance(0, WIDTH),
            paint.chance(HORIZON - 4, HORIZON + 4),
            paint.chance(20, 40),
        )
        paint.lay(levels(paint.near((62, 110, 95))), paint.cone(x, foot, tall * 0.55, tall))
        paint.lay(
            levels((240, 246, 250)), paint.cone(x, foot - tall * 0.62, tall * 0.2, tall * 0.38)
        )
    paint.lay(levels((240, 245, 250)), paint.below(paint.curve(HORIZON + 2, 3)))
    paint.lay(levels((205, 220, 240)), paint.below(paint.curve(HORIZON + 46, 5), soft=26) * 0.8)


def forest(paint: Painter) -> None:
    """Trunks and crowns in three depths."""
    paint.fall(paint.near((150, 190, 140)), paint.near((95, 145, 90)), 0, HORIZON)
    for depth in range(3):
        shade = 1 - 0.22 * depth
        for _ in range(9):
            x, wide = paint.chance(0, WIDTH), 5 + 3 * depth
            colour = levels(paint.near((125, 100, 75))) * shade
            paint.lay(colour, paint.box(x, 48, wide, 110 + 8 * depth))
        for _ in range(12):
            colour = levels(paint.near((85, 150, 80))) * shade
            paint.lay(
                colour,
                paint.disc(
                    paint.chance(0, WIDTH), paint.chance(-4, 30), paint.chance(13, 24), soft=4
                ),
            )
    paint.lay(levels(paint.near((90, 120, 60))), paint.below(paint.curve(HORIZON + 2, 2.5)))
    paint.lay(
        levels(paint.near((75, 95, 50))), paint.below(paint.curve(HORIZON + 36, 5), soft=24) * 0.8
    )


def city(paint: Painter) -> None:
    """Houses along a road."""
    paint.sky()
    paint.clouds(3)
    x = 0.0
    while x < WIDTH - 16:
        wide, tall = paint.chance(26, 44), paint.chance(34, 72)
        house(paint, x + wide / 2, wide, tall)
        x += wide
    paint.lay(levels((175, 175, 178)), paint.below(torch.full((WIDTH,), HORIZON + 4.0)))
    paint.lay(levels(paint.near((95, 95, 102))), paint.below(torch.full((WIDTH,), HORIZON + 14.0)))
    for x in range(0, WIDTH, 48):
        paint.lay(levels((235, 235, 225)), paint.box(x + 12, HORIZON + 42, 24, 3.5))


def house(paint: Painter, x: float, wide: float, tall: float) -> None:
    """Paint a house with windows."""
    wall = ((190, 120, 100), (205, 180, 140), (140, 150, 170), (170, 165, 160), (120, 140, 150))[
        int(paint.chance(0, 5))
    ]
    paint.lay(levels(paint.near(wall)), paint.box(x, HORIZON + 4 - tall / 2, wide - 1.5, tall))
    light = paint.near((250, 235, 170) if paint.chance() < 0.5 else (110, 140, 170))
    for column in range(-1, 2):
        for row in range(int(tall // 15)):
            paint.lay(
                levels(light),
                paint.box(x + column * wide * 0.28, HORIZON + 12 - tall + row * 14, 5.5, 7),
            )


def night(paint: Painter) -> None:
    """Stars and a moon."""
    paint.fall(paint.near((14, 18, 52)), paint.near((52, 62, 120)), 0, HEIGHT)
    paint.stars(70, HORIZON)
    x = paint.chance(0, WIDTH)
    for place in (x, x + WIDTH / 2):
        paint.lay(levels((245, 240, 210)), paint.disc(place, 40, 12))
        paint.lay(levels((225, 218, 185)), paint.disc(place - 4, 37, 3))
    paint.lay(levels(paint.near((28, 36, 66))), paint.below(paint.curve(HORIZON + 16, 7)))


def space(paint: Painter) -> None:
    """Stars and planets."""
    paint.fall(paint.near((12, 10, 28), 6), paint.near((26, 14, 48), 8), 0, HEIGHT)
    for _ in range(5):
        glow = paint.disc(
            paint.chance(0, WIDTH), paint.chance(20, 140), paint.chance(10, 26), soft=50
        )
        paint.lay(levels(paint.near((110, 60, 150), 40)), glow * 0.45)
    paint.stars(110)
    for _ in range(2):
        planet(paint, paint.chance(0, WIDTH), paint.chance(34, 120), paint.chance(9, 17))


def planet(paint: Painter, x: float, y: float, radius: float) -> None:
    """Paint a shaded planet."""
    colour = ((225, 150, 95), (120, 170, 225), (200, 120, 140), (220, 200, 140))[
        int(paint.chance(0, 4))
    ]
    paint.lay(levels(paint.near(colour)), paint.disc(x, y, radius))
    dark = paint.disc(x, y, radius) * (
        1 - paint.disc(x - radius * 0.35, y - radius * 0.3, radius, soft=6)
    )
    paint.lay(levels((20, 14, 36)), dark * 0.6)


def room(paint: Painter) -> None:
    """A wall and a floor."""
    wall = ((235, 215, 180), (190, 215, 220), (225, 190, 190), (205, 215, 180))[
        int(paint.chance(0, 4))
    ]
    paint.fall(paint.near(wall), paint.near(wall), 0, HORIZON)
    paint.fall(paint.near((170, 120, 80)), paint.near((130, 88, 58)), HORIZON + 8, HEIGHT)
    paint.lay(levels((245, 242, 235)), paint.box(WIDTH / 2, HORIZON + 5, WIDTH, 7))
    for place in range(3):
        x = WIDTH * (place + paint.chance(0.3, 0.5)) / 3
        paint.lay(levels((245, 245, 240)), paint.box(x, 46, 46, 50))
        paint.lay(levels(paint.near((150, 200, 240))), paint.box(x, 46, 38, 42))
        paint.lay(
            levels((245, 245, 240)),
            torch.maximum(paint.box(x, 46, 3.5, 44), paint.box(x, 46, 40, 3.5)),
        )
        frame = x + WIDTH / 6
        paint.lay(levels((120, 80, 50)), paint.box(frame, 44, 30, 24))
        paint.lay(levels(paint.near((180, 190, 150), 60)), paint.box(frame, 44, 24, 18))


def underwater(paint: Painter) -> None:
    """Blue that darkens downwards, with weed and bubbles."""
    paint.fall(paint.near((95, 200, 225)), paint.near((15, 75, 140)), 0, HEIGHT)
    for _ in range(6):
        x, wide = paint.chance(0, WIDTH), paint.chance(8, 18)
        ray = (
            (wide - ((paint.across - x - paint.down * 0.4 + WIDTH / 2) % WIDTH - WIDTH / 2).abs())
            / 10
        ).clamp(0, 1)
        paint.lay(levels((190, 235, 245)), ray * (1 - paint.down / 130).clamp(0, 1) * 0.22)
    paint.lay(
        levels(paint.near((215, 195, 140))), paint.below(paint.curve(HORIZON + 38, 4), soft=3) * 0.9
    )
    for _ in range(14):
        weed(paint, paint.chance(0, WIDTH), HORIZON + paint.chance(42, 52), paint.chance(16, 34))


def weed(paint: Painter, x: float, foot: float, tall: float) -> None:
    """Paint a swaying blade of weed."""
    phase = paint.chance(0, TURN)
    middle = x + 3 * torch.sin(paint.down[:, 0] / 6 + phase)
    apart = ((paint.across - middle[:, None] + WIDTH / 2) % WIDTH - WIDTH / 2).abs()
    mask = ((2.6 - apart) / 1.5).clamp(0, 1) * (
        (paint.down <= foot) & (paint.down >= foot - tall)
    ).float()
    paint.lay(levels(paint.near((40, 140, 90), 25)), mask)


SCENES: dict[str, Callable[[Painter], None]] = {
    "meadow": meadow,
    "sea": sea,
    "beach": beach,
    "snow": snow,
    "forest": forest,
    "city": city,
    "night": night,
    "space": space,
    "room": room,
    "underwater": underwater,
}


@cache
def scene(name: str, variant: int) -> Picture:
    """One of the `VARIANTS` pictures of a scene, in [0, 1]. Drawn once in a process: 20 ms."""
    paint = Painter(variant)
    SCENES[name](paint)
    return paint.picture.clamp(0, 1)


def gradient(first: str, last: str, turn: float) -> Picture:
    """From one named colour to another along a direction in radians, across the middle window; it
    does not meet itself.
    """
    paint = Painter(0)
    way = (
        math.cos(turn) * (paint.across - WIDTH / 2) + math.sin(turn) * (paint.down - HEIGHT / 2)
    ) / 90
    share = ((way + 1) / 2).clamp(0, 1)[None]
    return levels(COLOURS[first]) * (1 - share) + levels(COLOURS[last]) * share


def windows(
    picture: Picture, right: Float[Tensor, " f"], down: Float[Tensor, " f"]
) -> Float[Tensor, "f 3 128 128"]:
    """Of 128 x 128 whose corners are that many pixels from the middle window's, to a part of a
    pixel; sides go round, rows stop.
    """
    side = HEIGHT - 2 * MARGIN
    rolled = torch.cat([picture, picture[..., : side + 1]], dim=-1)
    lefts = (right + (WIDTH - side) / 2) % WIDTH
    tops = (down + MARGIN).clamp(0, 2 * MARGIN - 1e-3)
    return torch.stack(
        [window(rolled, float(left), float(top), side) for left, top in zip(lefts, tops)]
    )


def window(
    picture: Float[Tensor, "3 h w"], left: float, top: float, side: int
) -> Float[Tensor, "3 s s"]:
    """A square part of a picture, that meets itself at the sides."""
    column, row = int(left), int(top)
    part = picture[:, row : row + side + 1, column : column + side + 1]
    if left != column:
        part = torch.lerp(part[..., :-1], part[..., 1:], left - column)
    if top != row:
        part = torch.lerp(part[:, :-1], part[:, 1:], top - row)
    return part[:, :side, :side]
