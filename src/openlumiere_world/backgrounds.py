"""What lies behind: plain colours, two-colour gradients and nine painted scenes, each in a few
variants.

A background is painted twice as wide and high as the frame, the frame in its middle, so that a
camera can move over it.
"""

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 60, 60),
    "blue": (70, 110, 220),
    "green": (80, 180, 90),
    "yellow": (240, 220, 90),
    "white": (255, 255, 255),
    "black": (20, 20, 20),
    "orange": (240, 150, 60),
    "purple": (140, 80, 190),
    "pink": (245, 160, 190),
    "grey": (140, 140, 140),
}
PLAIN = tuple(COLOURS)[:6]  # the six of the first models come more often
SCENES = ("day sky", "sunset sky", "night sky", "meadow", "sea", "snow", "city", "room", "stars")
VARIANTS = 6
OVERSAMPLING = 4
EXTENT = 2  # background sides, in frame sides

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Background:
    """`name`: a colour, 'gradient' or a scene. `colours`: of a gradient, from left or top;
    `across`: left to right.
    """

    name: str
    colours: tuple[str, ...] = ()
    across: bool = False
    variant: int = 0


@lru_cache(maxsize=256)
def paint(background: Background, side: int) -> UInt8[np.ndarray, "h w 3"]:
    """The background for frames of `side` pixels: 2 * side squared, read-only."""
    if background.name in COLOURS:
        pixels = np.full((EXTENT * side, EXTENT * side, 3), COLOURS[background.name], np.uint8)
    elif background.name == "gradient":
        pixels = _gradient(background, side)
    else:
        pixels = _scene(background, side)
    pixels.setflags(write=False)
    return pixels


def _gradient(background: Background, side: int) -> UInt8[np.ndarray, "h w 3"]:
    first, last = (np.array(COLOURS[name], float) for name in background.colours)
    along = np.clip((np.arange(EXTENT * side) + 0.5) / side - 0.5, 0, 1)[
        :, None
    ]  # the whole change lies in the frame
    line = np.rint(first + (last - first) * along).astype(np.uint8)
    square = np.repeat(line[:, None], EXTENT * side, axis=1)
    return square.swapaxes(0, 1).copy() if background.across else square


def _scene(background: Background, side: int) -> UInt8[np.ndarray, "h w 3"]:
    brush = Brush(
        side * EXTENT * OVERSAMPLING, random.Random(f"{background.name}/{background.variant}")
    )
    PAINTERS[background.name](brush)
    return np.asarray(brush.image.reduce(OVERSAMPLING))


class Brush:
    """Draws in frame sides: the frame is 0..1, the picture -0.5..1.5, y down."""

    def __init__(self, pixels: int, rng: random.Random):
        self.pixels, self.rng = pixels, rng
        self.image = Image.new("RGB", (pixels, pixels))
        self.draw = ImageDraw.Draw(self.image)

    def _px(self, *values: float) -> list[int]:
        return [round((value + 0.5) / EXTENT * self.pixels) for value in values]

    def shade(self, top: float, bottom: float, first: Colour, last: Colour) -> None:
        """A vertical gradient between two heights, over the whole width."""
        start, stop = self._px(top, bottom)
        along = np.linspace(0, 1, max(stop - start, 1))[:, None, None]
        band = np.rint(np.array(first) + (np.array(last) - np.array(first)) * along).astype(
            np.uint8
        )
        self.image.paste(Image.fromarray(np.repeat(band, self.pixels, axis=1)), (0, start))

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """An ellipse around (x, y)."""
        self.draw.ellipse(self._px(x - rx, y - ry, x + rx, y + ry), fill=colour)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """A rectangle between two corners."""
        self.draw.rectangle(self._px(x0, y0, x1, y1), fill=colour)

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon([tuple(self._px(x, y)) for x, y in points], fill=colour)

    def anywhere(self, count: int, top: float, bottom: float) -> list[tuple[float, float]]:
        """Points between two heights, over the whole width."""
        return [(self.rng.uniform(-0.5, 1.5), self.rng.uniform(top, bottom)) for _ in range(count)]


def day_sky(brush: Brush) -> None:
    """Blue, with clouds."""
    brush.shade(-0.5, 1.5, (80, 160, 235), (190, 225, 250))
    for x, y in brush.anywhere(9, -0.4, 1.3):
        cloud(brush, x, y, brush.rng.uniform(0.08, 0.16), (250, 252, 255))


def sunset_sky(brush: Brush) -> None:
    """Violet to yellow, with a sun."""
    brush.shade(-0.5, 0.3, (70, 50, 120), (220, 90, 110))
    brush.shade(0.3, 1.5, (220, 90, 110), (255, 205, 110))
    brush.ellipse(brush.rng.uniform(0.2, 0.8), 0.8, 0.13, 0.13, (255, 235, 150))
    for x, y in brush.anywhere(6, -0.2, 1.1):
        brush.ellipse(x, y, brush.rng.uniform(0.15, 0.3), 0.02, (240, 130, 120))


def night_sky(brush: Brush) -> None:
    """Dark blue, with a moon."""
    brush.shade(-0.5, 1.5, (12, 16, 50), (40, 50, 105))
    moon = (brush.rng.uniform(0.1, 0.9), brush.rng.uniform(0.1, 0.25))
    brush.ellipse(*moon, 0.09, 0.09, (245, 240, 200))
    brush.ellipse(moon[0] + 0.04, moon[1] - 0.02, 0.08, 0.08, (20, 25, 64))
    for x, y in brush.anywhere(40, -0.5, 1.4):
        brush.ellipse(x, y, 0.007, 0.007, (225, 225, 240))


def meadow(brush: Brush) -> None:
    """Grass and flowers under a sky."""
    brush.shade(-0.5, 0.62, (110, 185, 240), (205, 235, 250))
    brush.shade(0.55, 1.5, (110, 190, 80), (60, 140, 60))
    for x, _ in brush.anywhere(5, 0.0, 0.0):
        brush.ellipse(x, 0.64, brush.rng.uniform(0.2, 0.4), 0.1, (118, 194, 86))
    for x, y in brush.anywhere(50, 0.68, 1.4):
        brush.ellipse(
            x,
            y,
            0.014,
            0.014,
            brush.rng.choice([(250, 240, 120), (250, 250, 250), (240, 130, 150)]),
        )


def sea(brush: Brush) -> None:
    """Water under a sky."""
    brush.shade(-0.5, 0.5, (120, 190, 240), (215, 238, 250))
    brush.shade(0.5, 1.5, (40, 130, 190), (15, 60, 120))
    for x, y in brush.anywhere(45, 0.54, 1.45):
        brush.ellipse(x, y, brush.rng.uniform(0.04, 0.1), 0.006, (120, 190, 220))


def snow(brush: Brush) -> None:
    """Snow before firs."""
    brush.shade(-0.5, 0.6, (160, 190, 220), (220, 232, 245))
    for x, _ in brush.anywhere(7, 0.0, 0.0):
        fir(brush, x, 0.66, brush.rng.uniform(0.16, 0.28))
    brush.shade(0.6, 1.5, (250, 252, 255), (215, 228, 242))
    for x, _ in brush.anywhere(5, 0.0, 0.0):
        brush.ellipse(x, 0.64, brush.rng.uniform(0.2, 0.4), 0.06, (250, 252, 255))


def city(brush: Brush) -> None:
    """Houses along a road."""
    brush.shade(-0.5, 0.9, (150, 195, 230), (230, 235, 240))
    x = -0.5
    while x < 1.5:
        width = brush.rng.uniform(0.12, 0.24)
        house(brush, x, brush.rng.uniform(0.05, 0.5), width)
        x += width
    brush.box(-0.5, 0.88, 1.5, 1.5, (90, 92, 100))
    for number in range(10):
        brush.box(-0.5 + 0.2 * number, 0.98, -0.4 + 0.2 * number, 1.0, (230, 230, 220))


def room(brush: Brush) -> None:
    """A wall with a window and pictures."""
    wall = brush.rng.choice([(240, 225, 195), (205, 222, 232), (225, 210, 225), (214, 228, 206)])
    brush.box(-0.5, -0.5, 1.5, 0.78, wall)
    brush.shade(0.78, 1.5, (175, 125, 80), (135, 92, 58))
    brush.box(-0.5, 0.75, 1.5, 0.79, (250, 248, 240))
    left = brush.rng.uniform(-0.1, 0.7)
    brush.box(left, 0.08, left + 0.36, 0.46, (250, 250, 250))
    brush.box(left + 0.03, 0.11, left + 0.165, 0.43, (150, 205, 240))
    brush.box(left + 0.195, 0.11, left + 0.33, 0.43, (150, 205, 240))
    for x in (left - 0.45, left + 0.62):
        brush.box(x, 0.16, x + 0.2, 0.36, (120, 85, 60))
        brush.box(
            x + 0.02,
            0.18,
            x + 0.18,
            0.34,
            brush.rng.choice([(230, 120, 90), (90, 150, 140), (235, 190, 80)]),
        )


def stars(brush: Brush) -> None:
    """Space."""
    brush.shade(-0.5, 1.5, (8, 8, 24), (20, 12, 44))
    for x, y in brush.anywhere(110, -0.5, 1.5):
        radius = brush.rng.choice((0.005, 0.007, 0.011))
        brush.ellipse(
            x,
            y,
            radius,
            radius,
            brush.rng.choice([(255, 255, 255), (255, 240, 200), (200, 220, 255)]),
        )


def cloud(brush: Brush, x: float, y: float, size: float, colour: Colour) -> None:
    """Five ellipses."""
    for dx, dy, radius in (
        (-0.8, 0.1, 0.45),
        (-0.2, -0.2, 0.6),
        (0.5, 0, 0.5),
        (0, 0.2, 0.55),
        (1.0, 0.2, 0.3),
    ):
        brush.ellipse(x + dx * size, y + dy * size, radius * size, radius * size * 0.8, colour)


def fir(brush: Brush, x: float, foot: float, height: float) -> None:
    """Three triangles."""
    for level in range(3):
        top, bottom = foot - height * (1 - 0.25 * level), foot - height * (0.5 - 0.25 * level)
        half = height * (0.16 + 0.07 * level)
        brush.polygon([(x, top), (x - half, bottom), (x + half, bottom)], (52, 98, 84))


def house(brush: Brush, x: float, top: float, width: float) -> None:
    """A front with windows."""
    brush.box(
        x,
        top,
        x + width,
        1.0,
        brush.rng.choice([(120, 130, 150), (160, 120, 110), (100, 115, 125), (170, 155, 140)]),
    )
    across = max(2, int(width / 0.06))
    step = width / across
    for row in range(int((0.86 - top) / 0.09)):
        for column in range(across):
            left, above = x + column * step + 0.25 * step, top + 0.03 + row * 0.09
            brush.box(
                left,
                above,
                left + 0.5 * step,
                above + 0.045,
                brush.rng.choice([(250, 225, 140), (70, 85, 105)]),
            )


PAINTERS = {
    "day sky": day_sky,
    "sunset sky": sunset_sky,
    "night sky": night_sky,
    "meadow": meadow,
    "sea": sea,
    "snow": snow,
    "city": city,
    "room": room,
    "stars": stars,
}
