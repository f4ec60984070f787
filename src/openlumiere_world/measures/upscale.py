"""How near an enlargement comes to the clip that was brought down: PSNR, SSIM, a distance of
features and flicker, beside bicubic and Lanczos.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from openlumiere.quality.metrics import frame_psnr, ssim
from openlumiere.quality.seams import neighbour_errors
from openlumiere_world.measures.judge import Judge

Frames: TypeAlias = UInt8[np.ndarray, "f h w 3"]
Enlarge: TypeAlias = Callable[[Frames], Frames]

RESAMPLED = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
COLUMNS = {  # figure: how a table calls and writes it
    "psnr": ("PSNR", "{:.2f} dB"),
    "ssim": ("SSIM", "{:.3f}"),
    "features": ("features", "{:.4f}"),
    "flicker": ("flicker", "{:.2f}"),
    "wavering": ("wavering", "{:.2f}"),
}


def compare(
    clip: Frames, enlarge: dict[str, Enlarge], factor: int = 4, judge: Judge | None = None
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


def average(found: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean over clips of each figure of each way; a figure that a clip lacks does not count."""
    ways = found[0] if found else {}
    return {way: means([each[way] for each in found]) for way in ways}


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def table(title: str, found: dict[str, dict[str, float]]) -> str:
    """Markdown, the nearest way first."""
    rows = sorted(found.items(), key=lambda row: -row[1]["psnr"])
    heads = [name for name in COLUMNS if any(name in row for _, row in rows)]
    lines = [
        f"| {way} | {' | '.join(COLUMNS[name][1].format(row[name]) if name in row else '' for name in heads)} |"
        for way, row in rows
    ]
    return "\n".join(
        [
            f"| {title} | {' | '.join(COLUMNS[name][0] for name in heads)} |",
            f"|{' --- |' * (len(heads) + 1)}",
            *lines,
        ]
    )


def cut_to(clip: Frames, factor: int) -> Frames:
    """The largest part from the top left whose sides divide by `factor`. Raises ValueError where
    there is none.
    """
    height, width = (side // factor * factor for side in clip.shape[1:3])
    if not height or not width:
        raise ValueError(
            f"clip: expected sides of {factor} px or more, got {clip.shape[2]} x {clip.shape[1]}, choose a larger one"
        )
    return clip[:, :height, :width]


def middle(clip: Frames, side: int) -> Frames:
    """The middle of each frame, at most `side` pixels wide and high."""
    top, left = (max(0, (length - side) // 2) for length in clip.shape[1:3])
    return clip[:, top : top + side, left : left + side]


def measure(made: Frames, clip: Frames, judge: Judge | None = None) -> dict[str, float]:
    if made.shape != clip.shape:
        raise ValueError(
            f"size: expected {clip.shape}, got {made.shape}, enlarge by the factor that the clip was brought down by"
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
    return np.stack([np.asarray(Image.fromarray(frame).reduce(factor)) for frame in clip])


def resampling(method: Image.Resampling, factor: int) -> Enlarge:
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
    return rearrange(torch.tensor(frame), "h w c -> 1 c h w") / 127.5 - 1


def features_apart(one: Tensor, other: Tensor, judge: Judge) -> float:
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
