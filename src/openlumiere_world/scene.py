"""What a clip shows, frame by frame, drawn from a seed: `plan` returns Facts, from which pixels and
caption are made.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, product
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from openlumiere_world import backgrounds, effects, split
from openlumiere_world.backgrounds import Background
from openlumiere_world.effects import Effect
from openlumiere_world.grammar import NOUNS
from openlumiere_world.motions import (
    CROSSINGS,
    IN_PLACE,
    MOTIONS,
    PAIRS,
    TURNING,
    Pace,
    Pose,
    times,
)
from openlumiere_world.names import LANGUAGES
from openlumiere_world.scope import CAMERAS, PLACES, SIZES, SPEEDS, WORLD_64, Scope, within
from openlumiere_world.subjects import FPS, Item, World

Curve = Float[np.ndarray, " f"]

FORMATIONS = {
    1: ((0, 0),),
    2: ((-0.23, 0), (0.23, 0)),
    3: ((-0.27, 0.14), (0.27, 0.14), (0, -0.2)),
    4: ((-0.22, -0.22), (0.22, -0.22), (-0.22, 0.22), (0.22, 0.22)),
}
SPOKEN = dict(zip(LANGUAGES, (12, 4, 2, 2, 2)))  # how often captions are in each language
CROWDS = {"one": 68, "copies": 12, "beside": 10, "pair": 10}  # how often clips show which
PAN = 0.36  # how far a panning camera travels, frame sides
ZOOM = 1.45
VISIBLE = 0.1  # opacity from which a subject counts as seen
ATTEMPTS = 1000


@dataclass(frozen=True, kw_only=True)
class Actor:
    """One drawn subject. Places in fractions of the frame, x to the right, y down; the camera is
    already applied.

    `x`, `y`: the centre of the drawing's content. `scale`: the sprite's side over the frame's.
    `angle`: radians, clockwise. `frame`: which sprite frame. `boxes`: x0, y0, x1, y1 of what is
    visible, clipped to the frame; zeros when nothing is.
    """

    item: str
    subject: str
    style: str
    animated: bool
    x: Curve
    y: Curve
    scale: Curve
    angle: Curve
    opacity: Curve
    frame: Int[np.ndarray, " f"]
    anchor: tuple[float, float]  # the content's centre in the sprite, fractions of its side
    boxes: Float[np.ndarray, "f 4"]


@dataclass(frozen=True, kw_only=True)
class View:
    """The camera at each frame: what it looks at (0, 0 is the middle of the background) and how
    close.
    """

    x: Curve
    y: Curve
    zoom: Curve


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is true of a clip. `count` copies of the first actor's item, or two actors where
    `pair` says how they relate.
    """

    seed: int
    split: str
    language: str
    frames: int
    motion: str  # of MOTIONS
    speed: str  # slow, medium, fast; empty where it means nothing
    turn: int  # 1 clockwise, -1 counterclockwise, 0 does not turn
    towards: str  # of a chase: left or right
    loop: bool  # the frame after the last is the first
    place: str  # of PLACES; empty where the motion leaves no place
    size: str  # of SIZES
    count: int
    pair: str  # empty, 'beside', 'orbit', 'chase' or 'meet'
    camera: str
    background: Background
    effect: Effect | None
    view: View
    actors: tuple[Actor, ...]


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The choices of a clip, before anything moves."""

    items: tuple[Item, ...]
    motion: str
    speed: str
    turn: int
    towards: str
    loop: bool
    place: str
    size: str
    side: tuple[float, float]  # what the size stands for: least and greatest
    count: int
    pair: str
    camera: str
    background: Background
    effect: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """One actor before the camera: its item, how it moves, where it stands, how large its content
    is.
    """

    item: Item
    pose: Pose
    x: float
    y: float
    size: float


class Cast:
    """The items a split may draw within a scope, with how often: animations and stills, every style
    alike, few flags and signs.
    """

    ANIMATED = 0.45
    GROUPS: ClassVar = {"component": 0.0, "flags": 0.15, "symbols": 0.3, "none": 0.1}
    TONED = 0.1  # a skin tone against the plain drawing: there are five of them

    def __init__(self, items: Iterable[Item], split_name: str, scope: Scope = WORLD_64):
        split.check(split_name)
        self.items = [
            item
            for item in items
            if split.style_allowed(split_name, item.style)
            and scope.holds(item)
            and self._weight(item) > 0
        ]
        if not self.items:
            raise ValueError(
                f"expected drawings for split {split_name!r}, got none in this world: build the"
                " world whole"
            )
        self.cumulative = list(accumulate(self._shares()))
        self.countable = [
            n for n, item in enumerate(self.items) if item.base in NOUNS and not item.toned
        ]

    def choose(self, rng: random.Random) -> Item:
        """Any, by weight."""
        return rng.choices(self.items, cum_weights=self.cumulative)[0]

    def choose_countable(self, rng: random.Random) -> Item:
        """One whose plural the grammar knows: 'three cats' can be said of it in every language."""
        return self.items[rng.choice(self.countable)]

    def _shares(self) -> list[float]:
        """Each (kind, style) has its share, spread over its items by weight."""
        totals: dict[tuple[str, str], float] = {}
        for item in self.items:
            key = (item.kind, item.style)
            totals[key] = totals.get(key, 0) + self._weight(item)
        styles = {kind: [key for key in totals if key[0] == kind] for kind, _ in totals}
        share = {"animated": self.ANIMATED, "still": 1 - self.ANIMATED}
        return [
            share[i.kind] / len(styles[i.kind]) * self._weight(i) / totals[i.kind, i.style]
            for i in self.items
        ]

    def _weight(self, item: Item) -> float:
        return self.GROUPS.get(item.group, 1.0) * (self.TONED if item.toned else 1.0)


def plan(
    world: World, seed: int, split_name: str = "train", frames: int = 80, scope: Scope = WORLD_64
) -> Facts:
    """The facts of one clip (`frames` > 1) or picture (`frames` = 1) within the scope; the same on
    every machine.

    Raises:
        ValueError: an unknown split, no frames, or a world without drawings for the split.
    """
    if frames < 1:
        raise ValueError(
            f"expected one frame or more, got {frames}: ask for 1 (a picture) to 80 (a whole clip)"
        )
    rng = random.Random(f"sticker world 1/{split_name}/{seed}")
    outline = _admitted(cast_of(world, split_name, scope), rng, split_name, frames, scope)
    language = rng.choices(
        LANGUAGES,
        weights=[
            weight * (name in within(scope.languages, LANGUAGES)) for name, weight in SPOKEN.items()
        ],
    )[0]
    return stage(outline, rng, seed=seed, split_name=split_name, language=language, frames=frames)


def cast_of(world: World, split_name: str, scope: Scope = WORLD_64) -> Cast:
    """Who may be drawn; made once a world, split and scope."""
    if (split_name, scope) not in world.casts:
        world.casts[split_name, scope] = Cast(world.items, split_name, scope)
    return world.casts[split_name, scope]


def every_lone_outline(
    cast: Cast, split_name: str, scope: Scope, moving: bool
) -> Iterator[Outline]:
    """Each content that a scope without copies, pairs and loops can draw, for a clip (`moving`) or
    a picture.
    """
    plain = within(scope.backgrounds, backgrounds.COLOURS)
    motions = _motions("one", "still", scope) if moving else ("stay",)
    for item, motion, name, effect in product(
        cast.items, motions, plain, within(scope.effects, ("", *effects.KINDS))
    ):
        if split.admits(split_name, (item.base,), motion, name):
            for speed, turn, size, place in product(
                _speeds(motion, scope),
                _turns(motion),
                _sizes(motion, False, scope),
                _places(motion, scope),
            ):
                yield Outline(
                    items=(item,),
                    motion=motion,
                    speed=speed,
                    turn=turn,
                    towards="",
                    loop=False,
                    place=place,
                    size=size,
                    side=scope.side or SIZES[size],
                    count=1,
                    pair="",
                    camera="still",
                    background=Background(name=name),
                    effect=effect,
                )


def _admitted(
    cast: Cast, rng: random.Random, split_name: str, frames: int, scope: Scope
) -> Outline:
    for _ in range(ATTEMPTS):
        outline = _outline(cast, rng, frames > 1, scope)
        bases = tuple(item.base for item in outline.items)
        if split.admits(split_name, bases, outline.motion, outline.background.name):
            return outline
    raise ValueError(
        f"expected a combination of split {split_name!r}, got none in {ATTEMPTS} draws: use a"
        " larger world"
    )


def _outline(cast: Cast, rng: random.Random, moving: bool, scope: Scope) -> Outline:
    background = _background(rng, scope)
    camera = _camera(rng, background, scope) if moving else "still"
    kind = _kind(cast, rng, camera, moving, scope)
    motion = rng.choice(_motions(kind, camera, scope)) if moving else "stay"
    paired = motion in PAIRS or kind == "beside"
    size = _size(rng, motion, paired or kind == "copies", scope)
    return Outline(
        items=_items(cast, rng, "two" if paired else kind),
        motion=motion,
        speed=_speed(rng, motion, scope),
        turn=rng.choice((1, -1)) if motion in TURNING else 0,
        towards=rng.choice(("left", "right")) if motion == "chase" else "",
        loop=moving
        and MOTIONS[motion].cyclic
        and camera == "still"
        and rng.random() < 0.3
        and scope.loops,
        place=_place(rng, kind, motion, camera == "still" and size != "large", scope),
        size=size,
        side=scope.side if scope.side and kind == "one" else SIZES[size],
        count=rng.choice((2, 3, 4)) if kind == "copies" else 1,
        pair=motion if motion in PAIRS else "beside" if kind == "beside" else "",
        camera=camera,
        background=background,
        effect=_effect(rng, background, scope),
    )


def _items(cast: Cast, rng: random.Random, kind: str) -> tuple[Item, ...]:
    if kind == "copies":
        return (cast.choose_countable(rng),)
    first = cast.choose(rng)
    if kind == "one":
        return (first,)
    others = (cast.choose(rng) for _ in range(ATTEMPTS))
    second = next((item for item in others if item.base != first.base), None)
    if second is None:
        raise ValueError("expected two subjects or more, got one: use a larger world")
    return first, second


def _background(rng: random.Random, scope: Scope) -> Background:
    plain, scenes = (
        within(scope.backgrounds, backgrounds.PLAIN),
        within(scope.backgrounds, backgrounds.SCENES),
    )
    others = within(
        scope.backgrounds, [name for name in backgrounds.COLOURS if name not in backgrounds.PLAIN]
    )
    gradients = within(scope.backgrounds, ["gradient"])
    weights = (34 * bool(plain), 6 * bool(others), 15 * bool(gradients), 45 * bool(scenes))
    kind = rng.choices(("plain", "other colour", "gradient", "scene"), weights=weights)[0]
    if kind == "plain":
        return Background(name=rng.choice(plain))
    if kind == "other colour":
        return Background(name=rng.choice(others))
    if kind == "gradient":
        colours = tuple(rng.sample(list(backgrounds.COLOURS), 2))
        return Background(name="gradient", colours=colours, across=rng.random() < 0.5)
    return Background(name=rng.choice(scenes), variant=rng.randrange(backgrounds.VARIANTS))


def _camera(rng: random.Random, background: Background, scope: Scope) -> str:
    """On a plain colour nobody sees the camera move; where it moves, the subject stays."""
    moves = within(scope.cameras, CAMERAS[1:]) if within(scope.motions, IN_PLACE) else ()
    if background.name not in backgrounds.SCENES or not moves:
        return "still"
    still = not scope.cameras or "still" in scope.cameras
    return "still" if still and rng.random() < 0.65 else rng.choice(moves)


def _kind(cast: Cast, rng: random.Random, camera: str, moving: bool, scope: Scope) -> str:
    can = {
        "one": True,
        "copies": scope.copies and bool(cast.countable),
        "beside": scope.pairs,
        "pair": scope.pairs and moving and camera == "still",
    }
    weights = [
        share * (can[kind] and (not moving or bool(_motions(kind, camera, scope))))
        for kind, share in CROWDS.items()
    ]
    if not any(weights):
        raise ValueError(
            "scope: expected a motion that its subjects can make, got"
            f" {', '.join(scope.motions)}, allow pairs or other motions"
        )
    return rng.choices(tuple(CROWDS), weights=weights)[0]


def _motions(kind: str, camera: str, scope: Scope) -> tuple[str, ...]:
    fitting: tuple[str, ...]
    if kind == "pair":
        fitting = PAIRS
    elif camera != "still" or kind == "beside":
        fitting = IN_PLACE
    else:
        fitting = (
            CROSSINGS + IN_PLACE
            if kind == "copies"
            else tuple(motion for motion in MOTIONS if motion not in PAIRS)
        )
    return within(scope.motions, fitting)


def _speed(rng: random.Random, motion: str, scope: Scope) -> str:
    options = _speeds(motion, scope)
    return (
        rng.choices(options, weights=[1 + (speed == "medium") for speed in options])[0]
        if options != ("",)
        else ""
    )


def _speeds(motion: str, scope: Scope) -> tuple[str, ...]:
    rules = MOTIONS[motion]
    return (
        within(scope.speeds, SPEEDS)
        if rules.cycles or (rules.reach and "slow" in rules.reach)
        else ("",)
    )


def _turns(motion: str) -> tuple[int, ...]:
    return (1, -1) if motion in TURNING else (0,)


def _effect(rng: random.Random, background: Background, scope: Scope) -> str:
    """None in three of four; no snow where white on white would hide it."""
    pale = background.name in ("white", "snow") or "white" in background.colours
    fitting = within(
        scope.effects, [name for name in effects.KINDS if not (name == "snow" and pale)]
    )
    always = bool(scope.effects) and "" not in scope.effects
    return rng.choice(fitting) if fitting and (always or rng.random() < 0.25) else ""


def _size(rng: random.Random, motion: str, crowded: bool, scope: Scope) -> str:
    options = _sizes(motion, crowded, scope)
    return (
        options[0]
        if _settles_size(motion, crowded)
        else rng.choices(options, weights=[1 + 3 * (size == "medium") for size in options])[0]
    )


def _sizes(motion: str, crowded: bool, scope: Scope) -> tuple[str, ...]:
    if not _settles_size(motion, crowded):
        return within(scope.sizes, SIZES)
    return (
        ("large",) if motion in ("towards", "away") else ("small",)
    )  # of what comes and goes, when it is nearest


def _settles_size(motion: str, crowded: bool) -> bool:
    return crowded or motion in ("towards", "away", "circle")


def _place(rng: random.Random, kind: str, motion: str, roomy: bool, scope: Scope) -> str:
    options = _places(motion, scope)
    if kind != "one" or options == ("",):
        return ""
    return (
        rng.choice(options)
        if roomy and rng.random() < 0.6
        else "centre"
        if "centre" in options
        else options[0]
    )


def _places(motion: str, scope: Scope) -> tuple[str, ...]:
    """Where a lone subject may stand; "" where the motion leaves no place, or where the scope wants
    it in the middle unsaid.
    """
    return (
        ("",)
        if motion in CROSSINGS + PAIRS + ("towards", "away", "circle")
        else within(scope.places, PLACES) or ("",)
    )


def stage(
    outline: Outline, rng: random.Random, *, seed: int, split_name: str, language: str, frames: int
) -> Facts:
    """The facts of a content: `rng` draws what an outline leaves open."""
    view = _view(outline.camera, frames)
    return Facts(
        seed=seed,
        split=split_name,
        language=language,
        frames=frames,
        motion=outline.motion,
        speed=outline.speed,
        turn=outline.turn,
        towards=outline.towards,
        loop=outline.loop,
        place=outline.place,
        size=outline.size,
        count=outline.count,
        pair=outline.pair,
        camera=outline.camera,
        background=outline.background,
        effect=effects.plan(outline.effect, frames, rng) if outline.effect else None,
        view=view,
        actors=tuple(_actors(outline, view, frames, rng)),
    )


def _view(camera: str, frames: int) -> View:
    u, zero = times(frames, cyclic=False), np.zeros(frames)
    kind, _, way = camera.partition(" ")
    sweep = PAN * (u - 0.5) * (1 if way in ("right", "down") else -1)
    closer = ZOOM ** (u if way == "in" else 1 - u) if kind == "zoom" else np.ones(frames)
    across, along = way in ("left", "right"), way in ("up", "down")
    return View(x=sweep if across else zero, y=sweep if along else zero, zoom=closer)


def _actors(outline: Outline, view: View, frames: int, rng: random.Random) -> Iterator[Actor]:
    motion = MOTIONS[outline.motion]
    size, pace = rng.uniform(*outline.side), _pace(outline, rng, frames)
    pose = motion.path(times(frames, motion.cyclic), pace)
    starts = {item.id: rng.randrange(10_000) for item in outline.items}
    for part in _pair(outline, size, pose) if outline.pair else _alone(outline, size, pose, rng):
        yield _actor(
            part, view, _sprite_frames(part.item, frames, starts[part.item.id], outline.loop)
        )


def _pace(outline: Outline, rng: random.Random, frames: int) -> Pace:
    motion = MOTIONS[outline.motion]
    reach = rng.uniform(*motion.reach[outline.speed or "medium"]) if motion.reach else 0.0
    if outline.count > 1:
        reach = min(reach, 0.45)
    cycles = max(1, round(motion.cycles[outline.speed] * frames / 80)) if motion.cycles else 1
    return Pace(reach=reach, cycles=cycles, turn=outline.turn or 1)


def _resting(outline: Outline, size: float, rng: random.Random) -> tuple[float, float]:
    """Where the subject stands in the frame, so that it stays inside as it moves."""
    if outline.motion in ("left", "right") and outline.count == 1:
        return 0.5, rng.uniform(0.35, 0.65)
    if outline.motion in ("up", "down") and outline.count == 1:
        return rng.uniform(0.35, 0.65), 0.5
    way, extent = PLACES[outline.place or "centre"], MOTIONS[outline.motion].extent
    x, y = (
        0.5 + towards * max(0.08, min(0.27, 0.5 - size / 2 - stray))
        for towards, stray in zip(way, extent)
    )
    return x, y


def _alone(outline: Outline, size: float, pose: Pose, rng: random.Random) -> Iterator[Part]:
    x, y = _resting(outline, size, rng)
    for dx, dy in FORMATIONS[outline.count]:
        yield Part(item=outline.items[0], pose=pose, x=x + dx, y=y + dy, size=size)


def _pair(outline: Outline, size: float, pose: Pose) -> Iterator[Part]:
    a, b = outline.items
    if outline.pair == "orbit":  # the first goes round the second
        yield Part(item=a, pose=pose, x=0.5, y=0.5, size=0.22)
        yield Part(item=b, pose=Pose(), x=0.5, y=0.5, size=0.3)
    elif outline.pair == "chase":  # the first is behind
        forward = 1 if outline.towards == "right" else -1
        yield Part(item=a, pose=Pose(x=forward * pose.x), x=0.5 - forward * 0.18, y=0.5, size=size)
        yield Part(item=b, pose=Pose(x=forward * pose.x), x=0.5 + forward * 0.18, y=0.5, size=size)
    elif outline.pair == "meet" and isinstance(
        pose.x, np.ndarray
    ):  # the first comes from the left, the second from the right
        yield Part(item=a, pose=Pose(x=pose.x - pose.x[-1]), x=0.36, y=0.5, size=size)
        yield Part(item=b, pose=Pose(x=pose.x[-1] - pose.x), x=0.64, y=0.5, size=size)
    else:
        yield Part(item=a, pose=pose, x=0.27, y=0.5, size=size)
        yield Part(item=b, pose=pose, x=0.73, y=0.5, size=size)


def _actor(part: Part, view: View, frame: Int[np.ndarray, " f"]) -> Actor:
    item, pose, content = part.item, part.pose, part.item.content()
    side = part.size / max(content[2] - content[0], content[3] - content[1])
    curves = {
        "x": 0.5 + (part.x + pose.x - 0.5 - view.x) * view.zoom,
        "y": 0.5 + (part.y + pose.y - 0.5 - view.y) * view.zoom,
        "scale": side * pose.scale * view.zoom,
        "angle": pose.angle,
        "opacity": pose.opacity,
    }
    actor = Actor(
        item=item.id,
        subject=item.subject,
        style=item.style,
        animated=item.kind == "animated",
        **{
            name: np.round(np.broadcast_to(curve, frame.shape), 6) for name, curve in curves.items()
        },
        frame=frame,
        anchor=(float(content[0] + content[2]) / 2, float(content[1] + content[3]) / 2),
        boxes=np.zeros((len(frame), 4)),
    )
    return replace(actor, boxes=_boxes(actor, item.frame_boxes()[frame]))


def _sprite_frames(item: Item, frames: int, start: int, loop: bool) -> Int[np.ndarray, " f"]:
    """Which sprite frame is shown; in a loop the animation runs a whole number of times, a little
    faster or slower.
    """
    pace = item.fps / FPS
    if loop and item.frames > 1:
        pace = max(1, round(pace * frames / item.frames)) * item.frames / frames
    return (start + np.floor(np.arange(frames) * pace + 1e-9).astype(int)) % item.frames


def _boxes(actor: Actor, drawn: Float[np.ndarray, "f 4"]) -> Float[np.ndarray, "f 4"]:
    """The upright boxes round the turned sprite boxes, clipped; zeros where out of the frame or too
    faint to see.
    """
    x = drawn[:, [0, 2, 0, 2]] - actor.anchor[0]
    y = drawn[:, [1, 1, 3, 3]] - actor.anchor[1]
    cos, sin = np.cos(actor.angle)[:, None], np.sin(actor.angle)[:, None]
    across = actor.x[:, None] + actor.scale[:, None] * (cos * x - sin * y)
    along = actor.y[:, None] + actor.scale[:, None] * (sin * x + cos * y)
    boxes = np.clip(
        np.stack([across.min(1), along.min(1), across.max(1), along.max(1)], axis=1), 0, 1
    )
    seen = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]) & (actor.opacity >= VISIBLE)
    return np.round(boxes * seen[:, None], 4)
