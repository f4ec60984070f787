"""How subjects move: each motion a small function of time, giving offsets from where the subject
stands.

Lengths are in frame sides, x to the right and y down; angles in radians, clockwise on the screen.
`u` runs from 0 to 1 over the clip: for a journey the last frame is 1; for a cycle the frame after
the last would be 1, so that cycles close.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Curve = Float[np.ndarray, " f"]


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Offsets from the resting place: x, y, angle are added, scale and opacity multiplied."""

    x: Curve | float = 0.0
    y: Curve | float = 0.0
    scale: Curve | float = 1.0
    angle: Curve | float = 0.0
    opacity: Curve | float = 1.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How far or how often: `reach` in frame sides (for 'towards' and 'away' a ratio of sizes),
    `cycles` whole, `turn` 1 clockwise.
    """

    reach: float = 0.0
    cycles: int = 1
    turn: int = 1


@dataclass(frozen=True, kw_only=True)
class Motion:
    """`path` of one subject. `extent`: how far it strays from its place, x and y. `paces`: reach
    and cycles at each speed.
    """

    path: Callable[[Curve, Pace], Pose]
    cyclic: bool = False
    extent: tuple[float, float] = (0.0, 0.0)
    reach: dict[str, tuple[float, float]] | None = None
    cycles: dict[str, int] | None = None


def stay(u: Curve, pace: Pace) -> Pose:
    """At rest."""
    return Pose()


def left(u: Curve, pace: Pace) -> Pose:
    """To the left."""
    return Pose(x=pace.reach * (0.5 - u))


def right(u: Curve, pace: Pace) -> Pose:
    """To the right."""
    return Pose(x=pace.reach * (u - 0.5))


def up(u: Curve, pace: Pace) -> Pose:
    """Upwards."""
    return Pose(y=pace.reach * (0.5 - u))


def down(u: Curve, pace: Pace) -> Pose:
    """Downwards."""
    return Pose(y=pace.reach * (u - 0.5))


def towards(u: Curve, pace: Pace) -> Pose:
    """Grows."""
    return Pose(scale=pace.reach ** (u - 1))


def away(u: Curve, pace: Pace) -> Pose:
    """Shrinks."""
    return Pose(scale=pace.reach**-u)


def spin(u: Curve, pace: Pace) -> Pose:
    """Turns around itself."""
    return Pose(angle=pace.turn * _turns(u, pace))


def swing(u: Curve, pace: Pace) -> Pose:
    """Swings from above."""
    lean = np.sin(_turns(u, pace))
    return Pose(
        x=-0.08 * lean, angle=0.45 * lean
    )  # a pendulum hung above: clockwise is to the left


def bounce(u: Curve, pace: Pace) -> Pose:
    """Bounces without rest."""
    return Pose(y=0.1 - 0.2 * np.abs(np.sin(_turns(u, pace) / 2)))


def jump(u: Curve, pace: Pace) -> Pose:
    """Jumps, and rests in between."""
    flight = np.minimum(u * pace.cycles % 1 / 0.6, 1)  # then a rest on the ground
    return Pose(y=0.1 - 0.8 * flight * (1 - flight))


def drift(u: Curve, pace: Pace) -> Pose:
    """Floats around its place."""
    return Pose(x=0.03 * np.sin(_turns(u, pace)), y=0.06 * np.sin(2 * _turns(u, pace)))


def shake(u: Curve, pace: Pace) -> Pose:
    """Trembles sideways."""
    return Pose(x=0.03 * np.sin(_turns(u, pace)))


def appear(u: Curve, pace: Pace) -> Pose:
    """Grows out of nothing."""
    grown = _smooth((u - 0.02) / 0.38)
    return Pose(scale=0.5 + 0.5 * grown, opacity=grown)


def fade(u: Curve, pace: Pace) -> Pose:
    """Vanishes."""
    return Pose(opacity=1 - _smooth((u - 0.55) / 0.43))


def circle(u: Curve, pace: Pace) -> Pose:
    """Goes round in a small circle."""
    return _round(u, pace, radius=0.2)


def orbit(u: Curve, pace: Pace) -> Pose:
    """Goes round in a large circle."""
    return _round(u, pace, radius=0.33)


_TRAVEL = {"slow": (0.3, 0.4), "medium": (0.5, 0.75), "fast": (0.95, 1.2)}
_GROWTH = {"slow": (1.5, 1.7), "medium": (2.0, 2.6), "fast": (3.0, 3.6)}

MOTIONS = {
    "stay": Motion(path=stay, cyclic=True),
    "left": Motion(path=left, reach=_TRAVEL),
    "right": Motion(path=right, reach=_TRAVEL),
    "up": Motion(path=up, reach=_TRAVEL),
    "down": Motion(path=down, reach=_TRAVEL),
    "towards": Motion(path=towards, reach=_GROWTH),
    "away": Motion(path=away, reach=_GROWTH),
    "spin": Motion(path=spin, cyclic=True, cycles={"slow": 1, "medium": 2, "fast": 4}),
    "swing": Motion(
        path=swing, cyclic=True, extent=(0.1, 0.03), cycles={"slow": 2, "medium": 4, "fast": 7}
    ),
    "bounce": Motion(
        path=bounce, cyclic=True, extent=(0.0, 0.1), cycles={"slow": 3, "medium": 5, "fast": 8}
    ),
    "jump": Motion(
        path=jump, cyclic=True, extent=(0.0, 0.1), cycles={"slow": 2, "medium": 3, "fast": 5}
    ),
    "float": Motion(
        path=drift, cyclic=True, extent=(0.03, 0.06), cycles={"slow": 1, "medium": 2, "fast": 3}
    ),
    "shake": Motion(
        path=shake, cyclic=True, extent=(0.03, 0.0), cycles={"slow": 7, "medium": 13, "fast": 20}
    ),
    "appear": Motion(path=appear),
    "fade": Motion(path=fade),
    "circle": Motion(
        path=circle, cyclic=True, extent=(0.2, 0.2), cycles={"slow": 1, "medium": 2, "fast": 4}
    ),
    "orbit": Motion(path=orbit, cyclic=True, cycles={"slow": 1, "medium": 2, "fast": 3}),
    "chase": Motion(path=right, reach=_TRAVEL),
    "meet": Motion(path=right, reach={"medium": (0.3, 0.45)}),
}
CROSSINGS = ("left", "right", "up", "down")
IN_PLACE = ("stay", "spin", "swing", "bounce", "jump", "float", "shake")
TURNING = ("spin", "circle", "orbit")
PAIRS = ("orbit", "chase", "meet")


def times(frames: int, cyclic: bool) -> Curve:
    """`u` at each frame."""
    return np.arange(frames) / (frames if cyclic else max(frames - 1, 1))


def _turns(u: Curve, pace: Pace) -> Curve:
    return 2 * np.pi * pace.cycles * u


def _round(u: Curve, pace: Pace, radius: float) -> Pose:
    angle = pace.turn * _turns(u, pace)
    return Pose(x=radius * np.sin(angle), y=-radius * np.cos(angle))


def _smooth(x: Curve) -> Curve:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
