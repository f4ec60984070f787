"""`Region`: where to make something new, as a value with a text and a JSON form."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, model_validator

from openlumiere.tasks.base import Value, shown
from openlumiere.tasks.media import Given, Media

if TYPE_CHECKING:
    import numpy as np

Point = tuple[float, float]
Points = tuple[Point, ...]

BOX = 4  # numbers


class Region(Value):
    """Where to make something new: inside a polygon that may move, or where a mask is white.

    `polygons` are pairs of a frame's number and corners (x, y) in fractions of the frame's width
    and height: between two of them the corners move evenly, before the first and after the last
    they rest. `mask` is a picture or a clip at the size of what it masks (`media/mask.py` says what
    in it is inside). Make one with `Region.parse`, `Region.box` or `Region.of`.
    """

    polygons: tuple[tuple[int, Points], ...] = ()
    mask: Given | None = None

    @model_validator(mode="after")
    def check_form(self) -> Region:
        """Polygons or a mask, each polygon with as many corners."""
        if (self.mask is None) == (not self.polygons):
            raise ValueError(
                "region: expected polygons or a mask, got none or both, give one of them"
            )
        for frame, points in self.polygons:
            check_points(points, len(self.polygons[0][1]))
            if not 0 <= frame < 10**6:
                raise ValueError(
                    f"region: expected a frame's number, got {frame}, count frames from 0"
                )
        return self

    @classmethod
    def box(cls, x0: float, y0: float, x1: float, y1: float) -> Region:
        """From the left upper corner to the right lower one, in fractions of width and height."""
        return cls(polygons=((0, corners(x0, y0, x1, y1)),))

    @classmethod
    def parse(cls, text: str) -> Region:
        """The text form: a mask's path, or numbers in fractions: a box `x0,y0,x1,y1`, corners
        `x,y x,y x,y`, or either at frames `0: ...; 40: ...`.
        """
        if is_file(text):
            return cls(mask=Media.of(text))
        return cls(polygons=read_polygons(text))

    @classmethod
    def of(cls, value: Any) -> Region:
        """Itself, its text or JSON form, a box of four numbers, or a mask: an array, a PIL picture,
        a tensor or a clip.
        """
        if isinstance(value, Region):
            return value
        if isinstance(value, dict):
            return cls(**value)
        if isinstance(value, str):
            return cls.parse(value)
        if isinstance(value, PathLike):
            return cls(mask=Media.of(fspath(value)))
        if isinstance(value, (tuple, list)) and len(value) == BOX:
            return cls.box(*value)
        if value is None or isinstance(value, (tuple, list, int, float, bool)):
            raise ValueError(
                f"region: expected {EXPECTED}, got {shown(value)}, say where to make something new"
            )
        return cls(mask=Media.of(value))

    def __str__(self) -> str:
        """What `parse` reads again."""
        if self.mask is not None:
            return str(self.mask)
        return "; ".join(f"{frame}: {spelled(points)}" for frame, points in self.polygons)

    def corners_at(self, frame: int) -> np.ndarray:
        """Corners [n, 2] at a frame, between those of the polygons before and after it."""
        import numpy as np

        moments = [moment for moment, _ in self.polygons]
        paths = np.array([points for _, points in self.polygons]).reshape(len(moments), -1)
        return np.array([np.interp(frame, moments, path) for path in paths.T]).reshape(-1, 2)


EXPECTED = "a mask's path, x0,y0,x1,y1 or x,y x,y x,y in fractions"


def is_file(text: str) -> bool:
    """Whether there is a file or a folder of this name."""
    try:
        return text != "" and Path(text).exists()
    except (OSError, ValueError):
        return False


def read_polygons(text: str) -> tuple[tuple[int, Points], ...]:
    """Polygons by frame. Raises ValueError for what is no row of numbers."""
    try:
        keyed = [part.rpartition(":") for part in text.split(";")]
        return tuple(sorted((int(frame or 0), read_points(points)) for frame, _, points in keyed))
    except ValueError as error:
        if str(error).startswith("region:"):
            raise
        got = f"{text[:200]!r}, check the path or the numbers"
        raise ValueError(f"region: expected {EXPECTED}, got {got}") from None


def spelled(points: Points) -> str:
    """Corners as text that reads back to the same numbers."""
    return " ".join(f"{x!r},{y!r}" for x, y in points)


def read_points(text: str) -> Points:
    """Four numbers are a box, pairs of numbers are corners."""
    groups = [tuple(float(number) for number in group.split(",")) for group in text.split()]
    if len(groups) == 1 and len(groups[0]) == BOX:
        x0, y0, x1, y1 = groups[0]
        return corners(x0, y0, x1, y1)
    if not groups or any(len(group) != 2 for group in groups):
        raise ValueError("not pairs")
    return tuple((x, y) for x, y in groups)


def corners(x0: float, y0: float, x1: float, y1: float) -> Points:
    """The corners of a box. Raises ValueError unless x0 < x1 and y0 < y1."""
    if not (x0 < x1 and y0 < y1):
        raise ValueError(
            "region: expected a box x0,y0,x1,y1 with x0 < x1 and y0 < y1, "
            f"got {x0},{y0},{x1},{y1}, swap its corners"
        )
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def check_points(points: Points, count: int) -> None:
    """Raise ValueError unless there are `count` corners, at least three, near the frame."""
    if len(points) < 3 or len(points) != count:
        raise ValueError(
            f"region: expected polygons of {max(count, 3)} corners, got {len(points)}, "
            "give each frame as many"
        )
    if not all(-1 <= number <= 2 for point in points for number in point):
        raise ValueError(
            "region: expected fractions of the frame's sides, -1 to 2, "
            f"got {spelled(points)[:100]}, divide pixels by the sides"
        )


Where = Annotated[Region, BeforeValidator(Region.of)]
"""A field that takes a region in any of its forms."""
