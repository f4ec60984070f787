"""How near an enlargement comes to the clip that was brought down: PSNR, SSIM, a distance of
features and flicker, beside bicubic and Lanczos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from openlumiere.engine.lumiere import Lumiere
from openlumiere.media import Clip
from openlumiere.quality.bench import Frames, Report, markdown
from openlumiere.quality.metrics import frame_psnr, ssim
from openlumiere.quality.seams import neighbour_errors
from openlumiere_world.batch import CLIP
from openlumiere_world.draw import render
from openlumiere_world.measures.judge import Judge
from openlumiere_world.scene import plan
from openlumiere_world.subjects import World

Enlarge: TypeAlias = Callable[[Frames], Frames]

FACTOR = 4
SIDE = 256  # pixels of the world's pictures
RESAMPLED = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
COLUMNS = {  # figure: how a table calls and writes it
    "psnr": ("PSNR", "{:.2f} dB"),
    "ssim": ("SSIM", "{:.3f}"),
    "features": ("features", "{:.4f}"),
    "flicker": ("flicker", "{:.2f}"),
    "wavering": ("wavering", "{:.2f}"),
}


def compare(
    clip: Frames, enlarge: Mapping[str, Enlarge], factor: int = 4, judge: Judge | None = None
) -> dict[str, dict[str, float]]:
    """For each way to enlarge a clip that was brought down `factor` times by areas: `psnr` in dB,
    `ssim`, `features`, `flicker`.

    Sides of `clip` must divide by `factor`. `features` is `feature_distance` by `judge`, where one
    is given. `flicker` is the mean change between frames over that of `clip`: 1 is the source's.
    `wavering` is the mean change of the error from frame to frame, in levels: flicker that the
    source's own motion can't hide.
    """
    small = bring_down(clip, factor)
    ways = {**{name: resampling(method, factor) for name, method in RESAMPLED.items()}, **enlarge}
    return {name: measure(way(small), clip, judge) for name, way in ways.items()}


def evaluate(
    lumiere: Lumiere,
    clips: Mapping[str, Iterable[Frames]],
    judge: Judge,
    *,
    steps: Sequence[int],
    noise: float,
    seed: int,
) -> Report:
    """Compare the super-resolution of `lumiere` in these numbers of steps with resampling, over
    collections of clips by their names.
    """
    ways = {
        f"net, {count} step{'s' * (count > 1)}": partial(
            enlarge, lumiere, steps=count, noise=noise, seed=seed
        )
        for count in steps
    }
    found = {}
    for name, collection in clips.items():
        bar = tqdm(collection, desc=name, disable=None)
        found[name] = average([compare(clip, ways, FACTOR, judge) for clip in bar])
    text = "\n\n".join(table(name, rows) for name, rows in found.items())
    return Report(text=text, figures={"measured": found})


def enlarge(lumiere: Lumiere, small: Frames, *, steps: int, noise: float, seed: int) -> Frames:
    """As `lumiere upscale` does."""
    return lumiere.upscale(Clip(small), steps=steps, noise=noise, seed=seed).frames


def of_world(world: World, count: int, frames: int) -> Iterator[Frames]:
    """Pictures, or frames from the middle of whole clips, of the validation split, at 256 px."""
    for seed in range(count):
        facts = plan(world, seed, "validation", 1 if frames == 1 else CLIP)
        first = max(0, (facts.frames - frames) // 2)
        shown = range(first, min(first + frames, facts.frames))
        yield render(world, facts, SIDE, shown)


def of_file(path: Path, frames: int, side: int = 0) -> Iterator[Frames]:
    """The first frames of a file, or their middle of at most `side` pixels, cut to whole pixels of
    the low resolution. Raises MediaError.
    """
    clip = Clip.load(path).over("white").frames[:frames]
    yield cut_to(middle(clip, side) if side else clip, FACTOR)


def average(found: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean over clips of each figure of each way; a figure that a clip lacks does not count."""
    ways = found[0] if found else {}
    return {way: means([each[way] for each in found]) for way in ways}


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def table(title: str, found: dict[str, dict[str, float]]) -> str:
    """Markdown, the nearest way first."""
    rows = sorted(found.items(), key=lambda row: -row[1]["psnr"])
    heads = [name for name in COLUMNS if any(name in row for _, row in rows)]
    lines = [[title, *(COLUMNS[name][0] for name in heads)]]
    for way, row in rows:
        cells = [COLUMNS[name][1].format(row[name]) if name in row else "" for name in heads]
        lines.append([way, *cells])
    return markdown(lines)


def cut_to(clip: Frames, factor: int) -> Frames:
    """The largest part from the top left whose sides divide by `factor`. Raises ValueError where
    there is none.
    """
    height, width = (side // factor * factor for side in clip.shape[1:3])
    if not height or not width:
        raise ValueError(
            f"clip: expected sides of {factor} px or more, got {clip.shape[2]} x {clip.shape[1]},"
            " choose a larger one"
        )
    return clip[:, :height, :width]


def middle(clip: Frames, side: int) -> Frames:
    """The middle of each frame, at most `side` pixels wide and high."""
    top, left = (max(0, (length - side) // 2) for length in clip.shape[1:3])
    return clip[:, top : top + side, left : left + side]


def measure(made: Frames, clip: Frames, judge: Judge | None = None) -> dict[str, float]:
    """The figures of one enlarged clip. Raises ValueError for another size."""
    if made.shape != clip.shape:
        raise ValueError(
            f"size: expected {clip.shape}, got {made.shape}, enlarge by the factor that the clip"
            " was brought down by"
        )
    found = {"psnr": frame_psnr(made, clip), "ssim": ssim(made, clip)}
    if judge is not None:
        found["features"] = feature_distance(made, clip, judge)
    source = change(clip)
    return (
        found
        if source == 0
        else {
            **found,
            "flicker": change(made) / source,
            "wavering": float(neighbour_errors(made, "frames", clip).mean()),
        }
    )


def bring_down(clip: Frames, factor: int) -> Frames:
    """To a size smaller by `factor`, averaged."""
    return np.stack([np.asarray(Image.fromarray(frame).reduce(factor)) for frame in clip])


def resampling(method: Image.Resampling, factor: int) -> Enlarge:
    """A way to enlarge, by this kernel."""

    def enlarge(small: Frames) -> Frames:
        size = (factor * small.shape[2], factor * small.shape[1])
        return np.stack(
            [np.asarray(Image.fromarray(frame).resize(size, method)) for frame in small]
        )

    return enlarge


@torch.no_grad()
def feature_distance(made: Frames, clip: Frames, judge: Judge) -> float:
    """How differently the convolutions of the sticker world's judge see two clips; 0 is alike, the
    mean over frames.

    At each place of each layer the channels are brought to unit length; squared differences,
    averaged over places, then layers (Zhang et al. 2018, equation 1, all channels of equal weight).
    That net knows 32 px cartoons: on real footage it tells edges and colours, not things, and no
    figure here compares with those of LPIPS.
    """
    return float(
        np.mean(
            [
                features_apart(picture(one), picture(other), judge)
                for one, other in zip(made, clip, strict=True)
            ]
        )
    )


def picture(frame: UInt8[np.ndarray, "h w 3"]) -> Tensor:
    """As the judge's layers take it."""
    return rearrange(torch.tensor(frame), "h w c -> 1 c h w") / 127.5 - 1


def features_apart(one: Tensor, other: Tensor, judge: Judge) -> float:
    """The distance of two pictures in the features of each layer, averaged."""
    apart = []
    for layer in judge.layers:
        one, other = layer(one), layer(other)
        apart.append(float(((F.normalize(one) - F.normalize(other)) ** 2).sum(1).mean()))
    return float(np.mean(apart))


def change(clip: Frames) -> float:
    """Mean absolute difference of neighbouring frames, in levels; 0 for a picture."""
    return (
        0.0
        if len(clip) < 2
        else float(np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in zip(clip[1:], clip)]))
    )
