"""How well a plain background is taken out where the subject's true alpha is known.

    python benchmarks/keying.py --cache CACHE [--clips 20]

Transparent clips of the toy world are put on grounds as a net draws them: a colour with a smooth
unevenness that drifts, bumps of the net's own coarse grid, all of it blurred by enlarging. Printed:
the share that is keyed, the overlap of visible pixels (alpha of a half; intersection over union),
the mean alpha error, and the step ratio: mean absolute change of alpha from frame to frame, keyed
by true. Above 1 is flicker added.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro

from openlumiere.media.keying import ground_of, keyed
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.scene import Planner, clip

COLOURS = {
    "white": (252, 252, 250),
    "blue": (66, 110, 222),
    "green": (60, 170, 90),
    "yellow": (240, 215, 90),
    "red": (215, 55, 55),
    "black": (18, 20, 18),
}
UNEVEN = 10  # levels of the smooth part, as a deviation of its terms
BUMPS = 3  # levels of the coarse grid, as a deviation
COARSE = 32  # pixels a side of that grid
HALF = 128


def main(cache: Path, clips: int = 20, frames: int = 24, blur: int = 1, threads: int = 1) -> None:
    """Key the first frames of so many clips, on one colour after the other; the frames lose `blur`
    times of their resolution first (4: 32 pixels enlarged to 128).
    """
    torch.set_num_threads(threads)
    planner = Planner(Cache(cache))
    seeds = (seed for seed in range(10_000) if planner.plan(seed).ground == "transparent")
    rows = []
    for number, seed in zip(range(clips), seeds):
        name = list(COLOURS)[number % len(COLOURS)]
        drawn = coarser(clip(planner.cache, planner.plan(seed), frames), blur)
        rows.append(measured(drawn, COLOURS[name], number))
        print(seed, name, "kept opaque" if rows[-1] is None else figures(rows[-1]), flush=True)
    found = [row for row in rows if row is not None]
    print(f"keyed {len(found)} of {clips}; mean {figures(np.nanmean(found, axis=0))}")
    print(f"median {figures(np.nanmedian(found, axis=0))}")


def figures(row: np.ndarray) -> str:
    return f"overlap {row[0]:.3f}, alpha error {row[1]:.4f}, step ratio {row[2]:.3f}"


def coarser(drawn: torch.Tensor, blur: int) -> torch.Tensor:
    side = drawn.shape[-1]
    small = F.avg_pool2d(drawn, blur)
    return F.interpolate(small, side, mode="bicubic", antialias=False).clamp(0, 1)


def measured(drawn: torch.Tensor, colour: tuple[int, int, int], seed: int) -> np.ndarray | None:
    """Overlap, alpha error and step ratio of a premultiplied clip [f, 4, h, w] on a colour."""
    true = (drawn[:, 3] * 255).round().numpy()
    behind = uneven(colour, len(drawn), drawn.shape[-1], seed)
    shown = drawn[:, :3] * 255 + (1 - drawn[:, 3:]) * behind
    frames = shown.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    ground = ground_of(frames)
    if ground is None:
        return None
    found = keyed(frames, ground)[..., 3].astype(float)
    both = ((found >= HALF) & (true >= HALF)).sum()
    either = ((found >= HALF) | (true >= HALF)).sum()
    steps = np.abs(np.diff(true, axis=0)).mean()
    ratio = np.abs(np.diff(found, axis=0)).mean() / steps if steps > 0.01 else np.nan
    return np.array([both / max(either, 1), np.abs(found - true).mean() / 255, ratio])


def uneven(colour: tuple[int, int, int], count: int, side: int, seed: int) -> torch.Tensor:
    """Grounds [f, 3, h, w] in 0 to 255."""
    generator = torch.Generator().manual_seed(seed)
    first, last = UNEVEN * torch.randn(2, 1, 3, 3, 3, generator=generator)
    share = torch.linspace(0, 1, count)[:, None, None, None]
    bumps = BUMPS * torch.randn(count, 3, COARSE, COARSE, generator=generator)
    coarse = torch.lerp(first, last, share)
    made = [
        F.interpolate(part, side, mode="bicubic", align_corners=True) for part in (coarse, bumps)
    ]
    return (torch.tensor(colour)[None, :, None, None] + sum(made)).clamp(0, 255)


if __name__ == "__main__":
    tyro.cli(main)
