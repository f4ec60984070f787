"""A clip of the toy world: who, how it moves, on what ground, under what camera, and the frames of
it.

`Planner.plan` decides everything from a seed; `render` draws any of its moments. Clips are 80
frames at 16 a second, 128 x 128, premultiplied RGBA in [0, 1]. Toys are moved at the speed of their
feet, facing where they go; where that would leave the frame, the camera follows. All shares are our
choice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.effects import EFFECTS, layer
from openlumiere_world.toys.frames import over
from openlumiere_world.toys.grounds import (
    COLOURS,
    HEIGHT,
    SCENES,
    VARIANTS,
    WIDTH,
    gradient,
    levels,
    scene,
    windows,
)
from openlumiere_world.toys.pack import RATE, SIDE, Item

FRAMES = 80
SECONDS = FRAMES / RATE
KINDS = {"toy": 0.42, "sticker": 0.28, "still": 0.30}
GROUNDS = {"transparent": 0.33, "plain": 0.27, "gradient": 0.06, "scene": 0.34}
CAMERA = 0.35  # share of clips before a scene in which the camera moves
CAMERAS = ("pan left", "pan right", "pan up", "pan down", "zoom in", "zoom out")
EFFECT = 0.1
SPLITS = ("train", "held out")
HELD_OUT = 20  # one combination of subject, action and ground in so many is kept out of training
GOING = (
    "walks",
    "runs",
    "gallops",
    "leaps",
    "swims",
    "swims fast",
    "flies",
    "flies fast",
    "drives",
    "rolls",
)
SWIMMING = {
    "swims": 0.35,
    "swims fast": 0.7,
    "flies": 0.5,
    "flies fast": 0.9,
}  # own lengths a second, of those without feet
MOVES = (
    "stay",
    "left",
    "right",
    "up",
    "down",
    "towards",
    "away",
    "spin",
    "swing",
    "bounce",
    "jump",
    "float",
    "shake",
    "appear",
    "fade",
    "circle",
)
DIRECTIONS = ("left", "right", "up", "down")  # drawn twice as often as other moves
WAYS = (*DIRECTIONS, "towards", "away")
STANDING_SIZES = (80, 112)  # pixels of a toy's longer side; thin legs are lost where it is small
GOING_SIZES = (62, 106)  # smaller ones go over the frame, larger ones are followed
MOVED = 0.35  # of the animated stickers go in one of these while they do what they do
ROOM = 96.0  # pixels that a subject may cover by going before the camera follows it
FASTEST = 90.0  # pixels a second that a followed ground goes by


@dataclass(frozen=True, kw_only=True)
class Scene:
    """`action` is a toy's English verb, "own" for an animated sticker, or one of `MOVES`; `way` is
    left, right, up, down, towards, away or nothing. `size` is the longer side of what is seen in
    pixels, `place` its middle at the start, `speed` pixels a second.
    """

    seed: int
    item: int
    subject: str
    style: str
    action: str
    way: str
    ground: str  # transparent, a colour, "red to blue", or a scene
    variant: int
    turn: float  # of a gradient, in radians
    camera: str  # still, follow, or one of `CAMERAS`
    effect: str
    size: float
    place: tuple[float, float]
    speed: float
    mirrored: bool
    phase: float  # seconds into a loop at the start

    @property
    def held_out(self) -> bool:
        """Whether the combination is one of those that are never trained on."""
        return combination(self.subject, self.action, self.ground) % HELD_OUT == 0


def combination(subject: str, action: str, ground: str) -> int:
    """A number of what is shown doing what where, by which the split is made."""
    return int.from_bytes(hashlib.sha256(f"{subject}/{action}/{ground}".encode()).digest()[:4])


class Chance:
    """What is drawn from a seed, in the order of asking."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def number(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number between two bounds."""
        return float(torch.rand((), generator=self.generator)) * (high - low) + low

    def one_of(self, values):
        """One of some values, all alike."""
        return values[int(torch.randint(len(values), (), generator=self.generator))]

    def by_share(self, shares: dict[str, float]) -> str:
        """A name by its share."""
        picked = torch.multinomial(torch.tensor(list(shares.values())), 1, generator=self.generator)
        return list(shares)[int(picked)]


class Planner:
    """Draws scenes from a cache: a kind by its share, a subject of that kind, then one of its
    items, all alike.
    """

    def __init__(self, cache: Cache, kinds: Mapping[str, float] = KINDS):
        self.cache = cache
        self.choices = {kind: self._choices(kind) for kind in kinds}
        self.kinds = {kind: share for kind, share in kinds.items() if self.choices[kind]}

    def _choices(self, kind: str) -> list[list[int]]:
        """Items of each subject that has any of this kind."""
        found = [
            [number for number in numbers if kind_of(self.cache.items[number]) == kind]
            for numbers in self.cache.by_subject.values()
        ]
        return [numbers for numbers in found if numbers]

    def plan(self, seed: int, split: str = "train") -> Scene:
        """Of a split "train" or "held out": scenes are drawn one after another until one is of it.
        Raises ValueError.
        """
        if split not in SPLITS:
            raise ValueError(
                f"split: expected 'train' or 'held out', got {split!r}, name one of the two"
            )
        attempts = (self._draw(seed, Chance(mixed(seed, attempt))) for attempt in count())
        return next(drawn for drawn in attempts if drawn.held_out == (split == "held out"))

    def _draw(self, seed: int, chance: Chance) -> Scene:
        number = chance.one_of(chance.one_of(self.choices[chance.by_share(self.kinds)]))
        item = self.cache.items[number]
        drawn = Scene(
            seed=seed,
            item=number,
            subject=item.subject,
            style=item.style,
            action="own",
            way="",
            ground=draw_ground(chance),
            variant=0,
            turn=chance.number(0, 2 * math.pi),
            camera="still",
            effect="",
            size=chance.number(58, 100),
            place=(64.0, 64.0),
            speed=0.0,
            mirrored=False,
            phase=chance.number(0, item.seconds),
        )
        drawn = replace(
            drawn,
            variant=int(chance.number(0, VARIANTS)),
            effect=chance.one_of(EFFECTS) if chance.number() < EFFECT else "",
        )
        moved = {"toy": toy_motion, "sticker": sticker_motion, "still": still_motion}[
            kind_of(item)
        ](drawn, item, chance)
        return with_camera(moved, chance)


def mixed(seed: int, attempt: int) -> int:
    """A seed for an attempt."""
    return int.from_bytes(hashlib.sha256(f"toys/{seed}/{attempt}".encode()).digest()[:7])


def kind_of(item: Item) -> str:
    """The kind of an item: toy, sticker or still."""
    if item.style == "toy":
        return "toy"
    return "sticker" if item.count > 1 else "still"


def draw_ground(chance: Chance) -> str:
    """A ground by its kind's share."""
    kind = chance.by_share(GROUNDS)
    if kind == "plain":
        return chance.one_of(list(COLOURS))
    if kind == "scene":
        return chance.one_of(list(SCENES))
    if kind == "transparent":
        return kind
    first, last = chance.one_of(list(COLOURS)), chance.one_of(list(COLOURS))
    return first if first == last else f"{first} to {last}"


def toy_motion(drawn: Scene, item: Item, chance: Chance) -> Scene:
    """Where a toy goes by its own action, and where it stands."""
    action = item.motion["en"]
    size = chance.number(*(GOING_SIZES if action in GOING else STANDING_SIZES))
    mirrored = chance.number() < 0.5
    drawn = replace(drawn, action=action, size=size, mirrored=mirrored and item.view != "front")
    if action not in GOING:
        return replace(drawn, place=standing(drawn, item, chance, chance.number(52, 76)))
    if item.view == "front":
        return replace(
            drawn,
            way="towards",
            size=size * 0.8,
            place=standing(drawn, item, chance, 64.0),
            speed=1.0,
        )
    way = "right" if drawn.mirrored else "left"
    speed = going_speed(drawn, item) * (1.0 if item.view == "side" else 0.75)
    across = speed * SECONDS
    if across > ROOM:
        follow = replace(drawn, way=way, camera="follow", speed=min(speed, FASTEST))
        return replace(follow, place=standing(follow, item, chance, chance.number(56, 72)))
    start = 64 + (-1 if way == "right" else 1) * across / 2
    return replace(drawn, way=way, speed=speed, place=standing(drawn, item, chance, start))


def going_speed(drawn: Scene, item: Item) -> float:
    """Pixels a second, from the feet; of those that have none in their own lengths."""
    enlarged, wide = scale_of(drawn, item), (item.box[2] - item.box[0]) * scale_of(drawn, item)
    action = item.motion["en"]
    measured = item.facts.get("foot_speed", 0.0) * item.facts.get("pixels_a_unit", 0.0) * enlarged
    if action in SWIMMING:
        return SWIMMING[action] * wide
    return measured if measured > 0.15 * wide else 0.45 * wide


def standing(drawn: Scene, item: Item, chance: Chance, across: float) -> tuple[float, float]:
    """The middle of what is seen, so that its foot is on the ground of a scene; swimmers and flyers
    are anywhere.
    """
    tall = (item.box[3] - item.box[1]) * scale_of(drawn, item)
    if (
        drawn.action in SWIMMING
        or drawn.ground not in SCENES
        or drawn.ground in ("space", "underwater")
    ):
        return across, chance.number(max(tall / 2 + 4, 54), min(124 - tall / 2, 74))
    return across, max(chance.number(102, 118), tall + 4) - tall / 2


def scale_of(drawn: Scene, item: Item) -> float:
    """Pixels of the frame per pixel of the item."""
    left, top, right, bottom = item.box
    return drawn.size / max(right - left, bottom - top)


def sticker_motion(drawn: Scene, item: Item, chance: Chance) -> Scene:
    """A sticker does what it does, about the middle or as it goes over the frame."""
    if chance.number() < MOVED:
        return going(replace(drawn, action=chance.one_of(DIRECTIONS)), chance)
    return replace(drawn, place=standing(drawn, item, chance, chance.number(56, 72)))


def still_motion(drawn: Scene, item: Item, chance: Chance) -> Scene:
    """One of `MOVES`; what goes over the frame is smaller."""
    drawn = replace(drawn, action=chance.one_of(MOVES + DIRECTIONS))
    if drawn.action in ("stay", "spin", "swing", "shake", "appear", "fade"):
        return replace(drawn, place=standing(drawn, item, chance, chance.number(54, 74)))
    return going(drawn, chance)


def going(drawn: Scene, chance: Chance) -> Scene:
    """The path of a move through the middle of the frame."""
    action = drawn.action
    way = action if action in WAYS else ""
    across = {"left": 1.0, "right": -1.0}.get(action, 0.0) * chance.number(20, 32)
    along = {"up": 1.0, "down": -1.0}.get(action, 0.0) * chance.number(18, 28)
    return replace(
        drawn,
        way=way,
        size=min(drawn.size, 70.0),
        speed=2 * math.hypot(across, along) / SECONDS,
        place=(64 + across, 64 + along),
    )


def with_camera(drawn: Scene, chance: Chance) -> Scene:
    """The camera moves before a scene alone, where it is seen to."""
    if drawn.ground not in SCENES or drawn.camera != "still" or chance.number() > CAMERA:
        return drawn
    return replace(drawn, camera=chance.one_of(CAMERAS))


# Drawing.


def render(
    cache: Cache, drawn: Scene, moments: Float[Tensor, " f"]
) -> Float[Tensor, "f 4 128 128"]:
    """Premultiplied frames in [0, 1] at these moments in seconds."""
    item = cache.items[drawn.item]
    right, down, zoom = camera_path(drawn.camera, moments)
    pose = motion_path(drawn, item, moments)
    middle = pose.middle - torch.stack([right, down], dim=1)
    middle = 64 + (middle - 64) * zoom[:, None]
    frames = subject_frames(cache, drawn, item, moments, pose, middle, zoom)
    if drawn.ground != "transparent":
        frames = with_ground(frames, ground_frames(drawn, moments, right, down, zoom))
    if drawn.effect:
        frames = over(layer(drawn.effect, drawn.variant % 3, moments), frames)
    return frames


def clip(cache: Cache, drawn: Scene, frames: int = FRAMES) -> Float[Tensor, "f 4 128 128"]:
    """The first frames of a clip at the world's rate."""
    return render(cache, drawn, torch.arange(frames) / RATE)


def with_ground(
    frames: Float[Tensor, "f 4 h w"], ground: Float[Tensor, "#f 3 h w"]
) -> Float[Tensor, "f 4 h w"]:
    """Premultiplied frames over a ground: opaque RGBA."""
    behind = ground * (1 - frames[:, 3:])
    return torch.cat([frames[:, :3] + behind, torch.ones_like(frames[:, 3:])], dim=1)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Of each frame: the middle in pixels, and what it is scaled, turned and faded by."""

    middle: Float[Tensor, "f 2"]
    size: Float[Tensor, " f"]
    turn: Float[Tensor, " f"]
    shown: Float[Tensor, " f"]


def motion_path(drawn: Scene, item: Item, moments: Float[Tensor, " f"]) -> Pose:
    """How the subject is moved besides what its own frames show."""
    share = moments / SECONDS
    still = torch.zeros_like(moments)
    x, y = still + drawn.place[0], still + drawn.place[1]
    size, turn, shown = still + 1, still, still + 1
    across, along = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}.get(
        drawn.way, (0, 0)
    )
    if drawn.camera != "follow":
        x, y = x + across * drawn.speed * moments, y + along * drawn.speed * moments
    beat = 2 * math.pi * moments
    match drawn.action:
        case "spin":
            turn = (1 if drawn.variant % 2 else -1) * beat * 0.4
        case "swing":
            turn = 0.45 * torch.sin(beat * 0.6)
        case "bounce":
            y = y + 14 - 34 * torch.sin(beat * 0.5).abs()
        case "jump":
            y = (
                y
                + 14
                - 44
                * (4 * (moments % 1.25) / 1.25 * (1 - (moments % 1.25) / 1.25) - 0.35).clamp(min=0)
            )
        case "float":
            x, y = x + 4 * torch.sin(beat * 0.21), y + 9 * torch.sin(beat * 0.4)
        case "shake":
            x = x + 3.5 * torch.sin(beat * 3.1)
        case "appear":
            shown = (share * 2.2 - 0.2).clamp(0, 1)
        case "fade":
            shown = (2.0 - share * 2.2).clamp(0, 1)
        case "circle":
            x, y = x + 26 * torch.sin(beat * 0.3), y - 26 * torch.cos(beat * 0.3)
    if drawn.way == "towards":
        size = 0.62 + 0.63 * share
        y = y + (14 * (share - 0.5) if drawn.ground in SCENES else 0)
    if drawn.way == "away":
        size = 1.25 - 0.63 * share
    return Pose(middle=torch.stack([x, y], dim=1), size=size, turn=turn, shown=shown)


def camera_path(camera: str, moments: Float[Tensor, " f"]) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels to the right and down, and enlargement, of each frame. Pans are of 40 or 22 pixels in
    all, about the middle.
    """
    share = moments / SECONDS - 0.5
    still = torch.zeros_like(moments)
    right = {"pan left": -40.0, "pan right": 40.0}.get(camera, 0.0) * share
    down = {"pan up": -22.0, "pan down": 22.0}.get(camera, 0.0) * share
    zoom = still + 1
    if camera in ("zoom in", "zoom out"):
        zoom = 1.2 + (0.4 if camera == "zoom in" else -0.4) * share
    return right + still, down + still, zoom


def ground_frames(
    drawn: Scene, moments: Tensor, right: Tensor, down: Tensor, zoom: Tensor
) -> Float[Tensor, "#f 3 128 128"]:
    """Opaque colours behind; one frame where nothing moves."""
    if drawn.ground in COLOURS:
        return levels(COLOURS[drawn.ground]).expand(1, 3, SIDE, SIDE)
    if drawn.ground not in SCENES:
        first, last = drawn.ground.split(" to ")
        return windows(gradient(first, last, drawn.turn), right[:1], down[:1])
    picture = scene(drawn.ground, drawn.variant)
    start = 37.0 * drawn.variant
    if drawn.camera == "follow":
        gone = drawn.speed * moments * (1 if drawn.way == "right" else -1)
        return windows(picture, start + gone, down)
    if drawn.camera.startswith("zoom"):
        return zoomed(picture, start, zoom)
    if drawn.camera == "still":
        return windows(picture, right[:1] + start, down[:1])
    return windows(picture, right + start, down)


def zoomed(
    picture: Float[Tensor, "3 h w"], start: float, zoom: Float[Tensor, " f"]
) -> Float[Tensor, "f 3 128 128"]:
    """The middle window, enlarged."""
    rolled = picture.roll(-round(start), dims=-1)[None].expand(len(zoom), -1, -1, -1)
    matrix = torch.zeros(len(zoom), 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = SIDE / WIDTH / zoom, SIDE / HEIGHT / zoom
    grid = F.affine_grid(matrix, [len(zoom), 3, SIDE, SIDE], align_corners=False)
    return F.grid_sample(rolled, grid, mode="bilinear", padding_mode="border", align_corners=False)


def subject_frames(
    cache: Cache,
    drawn: Scene,
    item: Item,
    moments: Tensor,
    pose: Pose,
    middle: Float[Tensor, "f 2"],
    zoom: Float[Tensor, " f"],
) -> Float[Tensor, "f 4 128 128"]:
    """The subject alone, where it is at those moments."""
    loop = [
        int((float(moment) + drawn.phase) / item.seconds * item.count) % item.count
        if item.count > 1
        else 0
        for moment in moments
    ]
    rows = sorted(set(loop))
    drawings = cache.frames(drawn.item, rows).permute(0, 3, 1, 2).float().div_(255)
    scale = scale_of(drawn, item) * pose.size * zoom
    if float(scale.max()) < 0.6:
        drawings = F.interpolate(F.avg_pool2d(drawings, 2), scale_factor=2.0, mode="bilinear")
    order = torch.tensor([rows.index(row) for row in loop])
    placed = place(drawings[order], item.box, scale, pose.turn, middle, drawn.mirrored)
    if float(pose.shown.min()) < 1:
        placed = placed * pose.shown[:, None, None, None]
    return placed


def place(
    drawings: Float[Tensor, "f 4 128 128"],
    box: tuple[int, int, int, int],
    scale: Tensor,
    turn: Tensor,
    middle: Float[Tensor, "f 2"],
    mirrored: bool,
) -> Float[Tensor, "f 4 128 128"]:
    """The middle of `box` comes to `middle`, in pixels."""
    left, top, right, bottom = box
    source = (torch.tensor([left + right, top + bottom]) / SIDE - 1).float()
    target = middle / (SIDE / 2) - 1
    side = -1.0 if mirrored else 1.0
    cosine, sine = turn.cos() / scale, turn.sin() / scale
    matrix = torch.stack(
        [torch.stack([side * cosine, side * sine], 1), torch.stack([-sine, cosine], 1)], 1
    )
    shift = source - torch.einsum("fij,fj->fi", matrix, target)
    grid = F.affine_grid(
        torch.cat([matrix, shift[..., None]], dim=2),
        [len(scale), 4, SIDE, SIDE],
        align_corners=False,
    )
    return F.grid_sample(drawings, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
