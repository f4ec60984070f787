"""The ways to enlarge four times, measured: SPAN, the super-resolution net, Lanczos.

    python benchmarks/enlarge.py [--cache CACHE] [--generated CLIP.npz ...]

Of clips of the toy world in CACHE: their own 128 pixels brought down to 32 by area and by bicubic,
enlarged, and compared: PSNR over three colours on a plain ground, and the step ratio: mean absolute
change from frame to frame, made by true (1: neither lost nor added). Of generated clips there is no
truth: the step ratio is by that of Lanczos. Seconds a frame of 128 pixels, on one core.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image

from openlumiere import Clip, Lumiere
from openlumiere.models.span import FACTOR, enlarged, installed_span
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.scene import Planner, clip

WAYS = ("span", "cascade", "lanczos")
DOWN = {"area": Image.Resampling.BOX, "bicubic": Image.Resampling.BICUBIC}
TIMED = 4  # frames


def main(
    cache: Path | None = None,
    clips: int = 10,
    frames: int = 8,
    generated: tuple[Path, ...] = (),
    threads: int = 1,
) -> None:
    """Measure on held-out clips of the world, and on frames [f, h, w, 3] named `raw`."""
    torch.set_num_threads(threads)
    lumiere = Lumiere.from_pretrained()
    if cache is not None:
        drawn = list(of_world(cache, clips, frames))
        for name, kernel in DOWN.items():
            small = [resized(each, kernel, 1 / FACTOR) for each in drawn]
            for way in WAYS:
                rows = [measured(enlarge(lumiere, s, way), d) for s, d in zip(small, drawn)]
                psnr, ratio = np.nanmean(rows, axis=0)
                print(f"{name}, {way}: PSNR {psnr:.2f} dB, step ratio {ratio:.3f}", flush=True)
    clips_made = [np.load(file)["raw"] for file in generated]
    for way in ("span", "cascade"):
        ratios = [steps_by_lanczos(lumiere, raw, way) for raw in clips_made]
        if ratios:
            print(f"generated, {way}: steps by those of Lanczos {np.mean(ratios):.3f}", flush=True)
    timed(lumiere)


def of_world(cache: Path, count: int, frames: int):
    planner = Planner(Cache(cache))
    for seed in range(count):
        drawn = clip(planner.cache, planner.plan(seed, "held out"), frames)
        shown = drawn[:, :3] + (1 - drawn[:, 3:]) * 0.95
        yield (shown * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def resized(frames: np.ndarray, kernel: Image.Resampling, factor: float) -> np.ndarray:
    size = round(frames.shape[2] * factor), round(frames.shape[1] * factor)
    return np.stack([np.asarray(Image.fromarray(each).resize(size, kernel)) for each in frames])


def enlarge(lumiere: Lumiere, small: np.ndarray, way: str) -> np.ndarray:
    return lumiere.upscale(Clip(small), enlarger=way).frames


def step(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames.astype(float), axis=0)).mean())


def measured(made: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    errors = ((made.astype(float) - true) ** 2).mean((1, 2, 3))
    psnr = 10 * np.log10(255**2 / errors.clip(1e-3)).mean()
    moving = step(true) > 0.05
    return float(psnr), step(made) / step(true) if moving else np.nan


def steps_by_lanczos(lumiere: Lumiere, raw: np.ndarray, way: str) -> float:
    return step(enlarge(lumiere, raw, way)) / step(enlarge(lumiere, raw, "lanczos"))


def timed(lumiere: Lumiere) -> None:
    small = np.random.default_rng(0).integers(0, 256, (TIMED, 128, 128, 3), dtype=np.uint8)
    net = installed_span()
    out = np.empty((TIMED, 512, 512, 3), np.uint8)
    for dtype in (torch.float32, torch.bfloat16):
        cast = net.to(dtype, memory_format=torch.channels_last)
        print(f"span, {dtype}: {seconds(lambda: enlarged(cast, small, out)):.3f} s a frame")  # noqa: B023
    net.to(torch.float32)
    for way in ("cascade", "lanczos"):
        print(f"{way}: {seconds(lambda: enlarge(lumiere, small, way)):.3f} s a frame")  # noqa: B023


def seconds(run) -> float:
    """Of processor time, the better of two."""
    spent = []
    for _ in range(2):
        start = time.process_time()
        run()
        spent.append((time.process_time() - start) / TIMED)
    return min(spent)


if __name__ == "__main__":
    tyro.cli(main)
