"""Clips of pictures that are not of this world: photographs that a camera passes over, in which a
part flows or sways, or before which a sticker moves.

A net that is shown them learns to keep what it is given and to move it; no prompt alone is ever
asked for them (`Coded.shown`). `MovedPictures.plan` decides everything from a seed, and any moment
can be drawn; clips are as long as those of `scene.py`. All shares and ranges are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from openlumiere.tasks.values import WAYS
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.captions import WORDS, caption, drawn_language, picked, worded
from openlumiere_world.toys.pack import SIDE
from openlumiere_world.toys.scene import (
    CAMERAS,
    Chance,
    Planner,
    Scene,
    camera_path,
    mixed,
    with_ground,
)
from openlumiere_world.toys.scene import render as render_scene

KINDS = {"camera": 0.46, "flow": 0.18, "sway": 0.1, "front": 0.2, "still": 0.06}
WINDOW = (0.5, 0.68)  # of a picture's side, that a frame shows
NEAREST = 0.5  # how much further what is nearest goes when the camera pans
REACH = 1 + 40 / SIDE * (1 + NEAREST)  # half windows that a pan may show
DETAILED = 0.6  # of the pictures are taken
DEEP = 0.5  # of the pans: what is near goes further
MIXED = 0.3  # of the pictures: red, green and blue change places
TURNOVER = 2.5  # seconds, after which what flows is taken from the picture anew


@dataclass(frozen=True, kw_only=True)
class Moved:
    """`motion` is still, sway, or the way in which a part flows. `window` is the middle and half
    the side of what is seen at the start, the picture being [-1, 1].
    """

    seed: int
    picture: int
    mirrored: bool
    colours: tuple[int, int, int]
    light: float  # exponent of its levels
    window: tuple[float, float, float]
    camera: str
    deep: bool
    motion: str
    strength: float
    part: tuple[float, float, float, float]  # middle and half sides of what moves, in half frames
    front: Scene | None


@dataclass(frozen=True, kw_only=True)
class Says:
    """Of one language: names of pictures, what a part does, what is before a picture."""

    pictures: tuple[str, ...]
    motions: dict[str, tuple[str, ...]]
    before: tuple[str, ...]


SAYS = {
    "en": Says(
        pictures=("a photo", "a picture", "a photograph", ""),
        motions={
            "still": ("nothing moves", "it stays still"),
            "sway": ("it sways", "it sways in the wind", "it swings gently"),
            "left": ("it flows to the left", "the water flows left", "clouds drift to the left"),
            "right": ("it flows to the right", "the water flows right", "clouds drift right"),
            "up": ("it flows up", "smoke rises", "flames rise"),
            "down": ("it flows down", "the water flows down", "the water falls"),
        },
        before=("in front of a photo", "in front of a picture", ""),
    ),
    "it": Says(
        pictures=("una foto", "un'immagine", ""),
        motions={
            "still": ("niente si muove",),
            "sway": ("ondeggia", "ondeggia nel vento"),
            "left": ("scorre verso sinistra", "le nuvole vanno a sinistra"),
            "right": ("scorre verso destra", "le nuvole vanno a destra"),
            "up": ("scorre verso l'alto", "il fumo sale"),
            "down": ("scorre verso il basso", "l'acqua cade"),
        },
        before=("davanti a una foto", ""),
    ),
    "es": Says(
        pictures=("una foto", "una imagen", ""),
        motions={
            "still": ("nada se mueve",),
            "sway": ("se mece", "se mece con el viento"),
            "left": ("fluye a la izquierda", "las nubes van a la izquierda"),
            "right": ("fluye a la derecha", "las nubes van a la derecha"),
            "up": ("fluye hacia arriba", "el humo sube"),
            "down": ("fluye hacia abajo", "el agua cae"),
        },
        before=("delante de una foto", ""),
    ),
    "fr": Says(
        pictures=("une photo", "une image", ""),
        motions={
            "still": ("rien ne bouge",),
            "sway": ("ça se balance", "ça se balance dans le vent"),
            "left": ("ça coule vers la gauche", "les nuages vont à gauche"),
            "right": ("ça coule vers la droite", "les nuages vont à droite"),
            "up": ("ça coule vers le haut", "la fumée monte"),
            "down": ("ça coule vers le bas", "l'eau tombe"),
        },
        before=("devant une photo", ""),
    ),
    "de": Says(
        pictures=("ein Foto", "ein Bild", ""),
        motions={
            "still": ("nichts bewegt sich",),
            "sway": ("es schaukelt", "es wiegt sich im Wind"),
            "left": ("es fließt nach links", "Wolken ziehen nach links"),
            "right": ("es fließt nach rechts", "Wolken ziehen nach rechts"),
            "up": ("es fließt nach oben", "Rauch steigt auf"),
            "down": ("es fließt nach unten", "Wasser fällt"),
        },
        before=("vor einem Foto", ""),
    ),
}


class MovedPictures:
    """Draws clips of the pictures of a cache (`pictures.npy`); stickers before them are those of
    `planner`.

    Raises ValueError where the cache has none.
    """

    def __init__(self, cache: Cache, planner: Planner):
        self.cache, self.planner = cache, planner
        self.pictures = detailed(cache.pictures())

    def plan(self, seed: int, split: str = "train") -> Moved:
        """Of a seed; `split` is that of the sticker that may be before the picture."""
        chance = Chance(mixed(seed, 1))
        kind = chance.by_share(KINDS)
        half = chance.number(*WINDOW)
        spare = max(1 - half * REACH, 0.0)
        return Moved(
            seed=seed,
            picture=chance.one_of(range(len(self.pictures))),
            mirrored=chance.number() < 0.5,
            colours=drawn_colours(chance),
            light=chance.number(0.75, 1.3),
            window=(chance.number(-spare, spare), chance.number(-spare, spare), half),
            camera=chance.one_of(CAMERAS) if kind == "camera" else "still",
            deep=chance.number() < DEEP,
            motion=drawn_motion(kind, chance),
            strength=chance.number(0.6, 1.4),
            part=drawn_part(chance),
            front=self._before(seed, split) if kind == "front" else None,
        )

    def _before(self, seed: int, split: str) -> Scene:
        """A sticker on nothing."""
        attempts = (self.planner.plan(mixed(seed, attempt), split) for attempt in range(2, 10**6))
        return next(drawn for drawn in attempts if drawn.ground == "transparent")

    def render(self, moved: Moved, moments: Float[Tensor, " f"]) -> Float[Tensor, "f 4 128 128"]:
        """Opaque frames at moments in seconds."""
        frames = passed_over(self.picture(moved), moved, moments)
        if moved.front is not None:
            return with_ground(render_scene(self.cache, moved.front, moments), frames)
        return torch.cat([frames, torch.ones_like(frames[:, :1])], dim=1)

    def picture(self, moved: Moved) -> Float[Tensor, "3 H W"]:
        """The whole picture in its colours."""
        picture = self.pictures[moved.picture].permute(2, 0, 1)[list(moved.colours)].float() / 255
        return (picture.flip(-1) if moved.mirrored else picture) ** moved.light

    def caption(self, moved: Moved, wording: int = 0) -> str:
        """What is said of it."""
        seed, language = worded(moved.seed, wording)
        generator = torch.Generator().manual_seed(seed)
        language = language or drawn_language(generator)
        says = SAYS[language]
        if moved.front is not None:
            front, cache = moved.front, self.cache
            item, subject = cache.items[front.item], cache.subjects[front.subject]
            where = picked(says.before, generator)
            return caption(front, item, subject, seed, language, where=where)
        does = WORDS[language].cameras.get(moved.camera) or picked(
            says.motions[moved.motion], generator
        )
        name = picked(says.pictures, generator)
        return f"{name}, {does}" if name else does


def detailed(pictures: UInt8[Tensor, "p H W 3"]) -> UInt8[Tensor, "q H W 3"]:
    """Those with the most edges, in their order: on the others no motion is seen."""
    edges = torch.stack([picture.float().diff(dim=1).abs().mean() for picture in pictures])
    kept = edges.argsort(descending=True)[: math.ceil(DETAILED * len(pictures))]
    return pictures[kept.sort().values]


def drawn_colours(chance: Chance) -> tuple[int, int, int]:
    """Which of its three levels are a picture's red, green and blue."""
    if chance.number() > MIXED:
        return 0, 1, 2
    first, second, third = torch.randperm(3, generator=chance.generator).tolist()
    return first, second, third


def drawn_motion(kind: str, chance: Chance) -> str:
    """What a part of the picture does."""
    way = chance.one_of(list(WAYS))
    return way if kind == "flow" else "sway" if kind == "sway" else "still"


def drawn_part(chance: Chance) -> tuple[float, float, float, float]:
    """An ellipse within the frame, or as wide as it: a river, a sky."""
    wide = chance.number() < 0.4
    across = 4.0 if wide else chance.number(0.35, 0.7)
    return chance.number(-0.4, 0.4), chance.number(-0.5, 0.5), across, chance.number(0.3, 0.6)


def passed_over(
    picture: Float[Tensor, "3 H W"], moved: Moved, moments: Float[Tensor, " f"]
) -> Float[Tensor, "f 3 128 128"]:
    """What the camera sees of a picture."""
    right, down, zoom = camera_path(moved.camera, moments)
    pan = 2 / SIDE * torch.stack([right, down], dim=-1)[:, None, None]
    places = grid() / zoom[:, None, None, None] + pan * (1 + nearness(moved))
    if moved.motion == "sway":
        places = places + swayed(moved, moments)
    if moved.motion in WAYS:
        return flowing(picture, places, moved, moments)
    return seen(picture, places, moved)


def grid() -> Float[Tensor, "128 128 2"]:
    """x and y of a frame's pixels, -1 to 1 at its borders."""
    line = 2 * (torch.arange(SIDE) + 0.5) / SIDE - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)


def seen(
    picture: Float[Tensor, "3 H W"], places: Float[Tensor, "f 128 128 2"], moved: Moved
) -> Float[Tensor, "f 3 128 128"]:
    """A picture at places of its window."""
    across, along, half = moved.window
    shown = torch.tensor([across, along]) + half * places
    pictures = picture[None].expand(len(shown), -1, -1, -1)
    return F.grid_sample(
        pictures, shown, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def nearness(moved: Moved) -> Float[Tensor, "128 128 1"]:
    """How much further than the rest each place of a deep picture goes when the camera pans: what
    is below is near, and so is the part.
    """
    if not moved.deep or not moved.camera.startswith("pan"):
        return torch.zeros(SIDE, SIDE, 1)
    floor = torch.sigmoid(4 * grid()[..., 1:])
    return NEAREST * torch.maximum(floor, share_of(moved))


def share_of(moved: Moved) -> Float[Tensor, "128 128 1"]:
    """1 inside the part that moves, 0 outside, soft between."""
    x, y, across, along = moved.part
    away = (grid() - torch.tensor([x, y])) / torch.tensor([across, along])
    return torch.sigmoid(12 * (1 - away.norm(dim=-1, keepdim=True)))


def swayed(moved: Moved, moments: Float[Tensor, " f"]) -> Float[Tensor, "f 128 128 2"]:
    """From side to side by up to some five pixels, a wave from its foot up, at rest at first."""
    wave = 2 * math.pi * 0.5 * moments[:, None, None, None]
    lag = 1.5 * grid()[..., 1:]
    across = 0.07 * moved.strength * (torch.sin(wave + lag) - torch.sin(lag))
    return share_of(moved) * torch.cat([across, torch.zeros_like(across)], dim=-1)


def flowing(
    picture: Float[Tensor, "3 H W"],
    places: Float[Tensor, "f 128 128 2"],
    moved: Moved,
    moments: Float[Tensor, " f"],
) -> Float[Tensor, "f 3 128 128"]:
    """The part goes on and on: of two copies that flow, one is faded out and taken from the picture
    anew while the other is seen (as in animated flow maps).
    """
    way = torch.tensor(WAYS[moved.motion]) * 0.12 * moved.strength * share_of(moved)
    frames = torch.zeros(len(moments), 3, SIDE, SIDE)
    for start in (0.0, 0.5):
        gone = (moments / TURNOVER + start) % 1 - 0.5  # 0 at the middle of a turn
        copy = seen(picture, places - way * TURNOVER * gone[:, None, None, None], moved)
        frames += (1 - 2 * gone.abs())[:, None, None, None] * copy
    return frames
