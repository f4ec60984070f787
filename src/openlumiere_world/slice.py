"""The first slice of the sticker world: eight subjects, six plain backgrounds, four motions, two
languages.

The preview weights are trained on it: small enough that a net learns it on two CPU cores in an hour
or two.
"""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

# what `npm pack @lobehub/fluent-emoji-3d@1.1.0` writes (MIT, Microsoft)
STILLS = "lobehub-fluent-emoji-3d-1.1.0.tgz"
SPRITE_SIDE = 28  # pixels kept of a sprite's side: little over its size in the frame, so that bilinear sampling does not alias

SUBJECTS = {  # codepoint: English, Italian
    "1f408-200d-2b1b": ("a black cat", "un gatto nero"),
    "1f415": ("a dog", "un cane"),
    "1f680": ("a rocket", "un razzo"),
    "1f697": ("a red car", "un'auto rossa"),
    "2b50": ("a star", "una stella"),
    "1f438": ("a frog", "una rana"),
    "1f427": ("a penguin", "un pinguino"),
    "1f98b": ("a butterfly", "una farfalla"),
}
BACKGROUNDS = {  # English, Italian: RGB
    ("red", "rosso"): (220, 60, 60),
    ("blue", "blu"): (70, 110, 220),
    ("green", "verde"): (80, 180, 90),
    ("yellow", "giallo"): (240, 220, 90),
    ("white", "bianco"): (255, 255, 255),
    ("black", "nero"): (20, 20, 20),
}
MOTIONS = {  # English, Italian: direction in the frame, x to the right and y down
    ("left", "a sinistra"): (-1, 0),
    ("right", "a destra"): (1, 0),
    ("up", "in alto"): (0, -1),
    ("down", "in basso"): (0, 1),
}
TEMPLATES = (  # language (0 English, 1 Italian), text; a still picture's caption names no motion
    (0, "{subject} moves {motion} on a {background} background"),
    (0, "{subject} moving {motion}, {background} background"),
    (0, "on a {background} background, {subject} goes {motion}"),
    (1, "{subject} si muove {motion} su sfondo {background}"),
    (1, "su sfondo {background}, {subject} va {motion}"),
    (0, "{subject} on a {background} background"),
    (1, "{subject} su sfondo {background}"),
)
STILL_TEMPLATES = (5, 6)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is drawn: indices into SUBJECTS, BACKGROUNDS, MOTIONS and TEMPLATES; lengths in frame
    sides.
    """

    subject: int
    background: int
    motion: int
    template: int
    size: float
    travel: float
    offset: float  # of the path's middle from the frame's, along the motion
    aside: float  # of the path from the frame's middle, across the motion


def draw_facts(generator: torch.Generator, still: bool = False) -> Facts:
    """One scene; the path always covers at least 0.3 of the frame. With `still`, every other scene
    stands in the middle under a caption without motion (where a subject is certain, its name is
    learnt soonest).
    """
    pick = lambda n: int(torch.randint(n, (1,), generator=generator))  # noqa: E731
    between = lambda low, high: low + (high - low) * float(torch.rand(1, generator=generator))  # noqa: E731
    stands = still and pick(2) == 0
    return Facts(
        subject=pick(len(SUBJECTS)),
        background=pick(len(BACKGROUNDS)),
        motion=pick(len(MOTIONS)),
        template=STILL_TEMPLATES[pick(len(STILL_TEMPLATES))]
        if stands
        else pick(len(TEMPLATES) - len(STILL_TEMPLATES)),
        size=between(0.52, 0.60),
        travel=0.0 if stands else between(0.30, 0.42),
        offset=between(-0.03, 0.03),
        aside=between(-0.06, 0.06) / (2 if stands else 1),
    )


def caption(facts: Facts) -> str:
    language, text = TEMPLATES[facts.template]
    return text.format(
        subject=list(SUBJECTS.values())[facts.subject][language],
        background=list(BACKGROUNDS)[facts.background][language],
        motion=list(MOTIONS)[facts.motion][language],
    )


def all_captions() -> list[str]:
    """Every caption of the slice, so that text states are computed once."""
    return sorted(
        {
            caption(
                Facts(
                    subject=s,
                    background=b,
                    motion=m,
                    template=t,
                    size=0,
                    travel=0,
                    offset=0,
                    aside=0,
                )
            )
            for s in range(len(SUBJECTS))
            for b in range(len(BACKGROUNDS))
            for m in range(len(MOTIONS))
            for t in range(len(TEMPLATES))
        }
    )


def centres(facts: Facts, progress: Float[Tensor, " f"]) -> Float[Tensor, "f 2"]:
    """Centre of the subject (x, y), in frame sides from the frame's middle, for progress 0..1
    through the clip.
    """
    dx, dy = list(MOTIONS.values())[facts.motion]
    along = facts.offset + facts.travel * (progress - 0.5)
    return torch.stack([dx * along + dy * facts.aside, dy * along + dx * facts.aside], dim=1)


def open_sprites(package: Path, side: int = SPRITE_SIDE) -> Float[Tensor, "s 4 h w"]:
    """`load_sprites` of a file that a person names. Raises ValueError where it is missing, damaged
    or another.
    """
    if not package.is_file():
        raise ValueError(
            f"package: expected {STILLS}, got no file {package}, do: npm pack @lobehub/fluent-emoji-3d@1.1.0"
        )
    try:
        return load_sprites(package, side)
    except (tarfile.TarError, zlib.error, EOFError, KeyError, OSError) as error:
        raise ValueError(
            f"package: expected the sprites of {STILLS}, got {error} in {package}, fetch the file again"
        ) from None


def load_sprites(package: Path, side: int = SPRITE_SIDE) -> Float[Tensor, "s 4 h w"]:
    """The subjects' sprites, RGB premultiplied by alpha, in [0, 1]; `side` suits frames of 32 / 28
    times that.
    """
    with tarfile.open(package) as tar:
        files = [tar.extractfile(f"package/assets/{name}.webp").read() for name in SUBJECTS]
    return torch.stack([read_sprite(data, side) for data in files])


def read_sprite(data: bytes, side: int = SPRITE_SIDE) -> Float[Tensor, "4 h w"]:
    picture = Image.open(BytesIO(data)).convert("RGBa").resize((side, side), Image.Resampling.BOX)
    return (
        torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        .reshape(side, side, 4)
        .permute(2, 0, 1)
        / 255
    )


def render(
    sprites: Float[Tensor, "s 4 h w"],
    scenes: list[Facts],
    progress: Float[Tensor, "b f"],
    side: int,
) -> Float[Tensor, "b 3 f H W"]:
    """Clips in [-1, 1]: each scene at its own moments."""
    batch, frames = progress.shape
    size = torch.tensor([scene.size for scene in scenes]).repeat_interleave(frames)
    centre = torch.cat([centres(scene, row) for scene, row in zip(scenes, progress)])
    # The grid maps places of the frame to places of the sprite: p_sprite = (p_frame - centre) /
    # size, both in [-1, 1].
    affine = torch.zeros(batch * frames, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = 1 / size
    affine[:, :, 2] = -2 * centre / size[:, None]
    grid = F.affine_grid(affine, [batch * frames, 4, side, side], align_corners=False)
    sprite = sprites[[scene.subject for scene in scenes]].repeat_interleave(frames, dim=0)
    drawn = F.grid_sample(sprite, grid, align_corners=False)
    colours = torch.tensor(list(BACKGROUNDS.values()))[[scene.background for scene in scenes]] / 255
    background = colours.repeat_interleave(frames, dim=0)[:, :, None, None]
    pictures = drawn[:, :3] + background * (1 - drawn[:, 3:])
    return pictures.reshape(batch, frames, 3, side, side).transpose(1, 2) * 2 - 1
