"""Seams of windows and tiles with MultiDiffusion and without it, in figures and as the paper's Fig.
14.

    python benchmarks/seams.py base --picture docs/pictures/seams-base.png
    python benchmarks/seams.py upscale --world WORLD --picture docs/pictures/seams-upscale.png

`base` makes clips of three windows by the base net; the ratio is of the change between neighbouring
frames, at the borders over elsewhere. `upscale` enlarges held-out world clips, in windows over time
and in tiles; what is read there is the error against the clip that was brought down, so that motion
does not count. Errors of all clips are pooled. 1 is no seam.
"""

import argparse
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from openlumiere import Lumiere
from openlumiere.diffusion.multidiffusion import Windows, borders
from openlumiere.engine.cascade import LumiereUpscalePipeline
from openlumiere.media import Clip, contact_sheet, save_image, xt_slice
from openlumiere.quality.seams import Axis, mean_ratio, neighbour_errors
from openlumiere_world.draw import render
from openlumiere_world.measures.upscale import bring_down
from openlumiere_world.scene import plan
from openlumiere_world.subjects import World

PROMPTS = ("a dog moves right on a green background", "a rocket on a blue background")
RATE, BASE_FRAMES = Fraction(4), 60  # fifteen seconds in windows of five
BASE_WINDOW, WINDOW, TILE = (
    20,
    8,
    32,
)  # frames, and low-resolution pixels of a side; the pipelines' own are 80 (at 16 fps), 16 and 64
NATIVE, SIDE = 80, 256
ROW, PLOT = 4, 48  # pixels of a frame's row in a slice through time, and of the plot's height

Windowed = dict[str, Windows]


def base_windows() -> Windowed:
    return {
        "apart": Windows(frames=BASE_WINDOW, overlap=0),
        "2 shared": Windows(frames=BASE_WINDOW, overlap=2),
        "4 shared, tapered": Windows(frames=BASE_WINDOW, overlap=4, tapered=True),
    }


def time_windows() -> Windowed:
    return {
        "apart": Windows(frames=WINDOW, overlap=0),
        "2 shared": Windows(frames=WINDOW, overlap=2),
        "2 shared, tapered": Windows(frames=WINDOW, overlap=2, tapered=True),
    }


def tile_windows() -> Windowed:
    sizes = {"height": TILE, "width": TILE}
    return {
        "apart": Windows(**sizes, tile_overlap=0),
        "2 shared": Windows(**sizes, tile_overlap=2),
        "8 shared": Windows(**sizes, tile_overlap=8),
        "8 shared, tapered": Windows(**sizes, tile_overlap=8, tapered=True),
    }


def base_clips(lumiere: Lumiere, steps: int) -> Callable[[Windows], list[np.ndarray]]:
    """Each prompt's clip by these windows, from the same noise."""

    def make(windows: Windows) -> list[np.ndarray]:
        made = (
            lumiere.base(
                prompt,
                seeds=0,
                num_frames=BASE_FRAMES,
                frame_rate=RATE,
                num_inference_steps=steps,
                windows=windows,
            )
            for prompt in PROMPTS
        )
        return [clip.frames[0] for clip in made]

    return make


def enlarged(
    net: LumiereUpscalePipeline, sources: list[np.ndarray], steps: int, noise: float
) -> Callable[[Windows], list[np.ndarray]]:
    def make(windows: Windows) -> list[np.ndarray]:
        return [
            net(bring_down(clip, 4), num_inference_steps=steps, noise=noise, windows=windows)
            for clip in sources
        ]

    return make


def held_out(world: World, count: int, frames: int) -> list[np.ndarray]:
    """Frames from the middle of clips that training does not see."""
    first = (NATIVE - frames) // 2
    return [
        render(world, plan(world, seed, "validation", NATIVE), SIDE, range(first, first + frames))
        for seed in range(count)
    ]


def report(
    title: str,
    made: dict[str, list[np.ndarray]],
    places: dict[str, list[int]],
    axis: Axis,
    sources: list[np.ndarray] | None,
) -> None:
    """A table row a way; beside it, what clips of one window, where there are some, read at the
    same places.
    """
    whole = made.get("one window")
    heads = [title, "ratio at borders", *(["of one window there"] if whole else [])]
    print(f"\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for way, at in places.items():
        ratios = [mean_ratio(clips, at, axis, sources) for clips in (made[way], whole) if clips]
        print(f"| {way} | {' | '.join(f'{ratio:.3f}' for ratio in ratios)} |", flush=True)


def draw_ways(
    made: dict[str, list[np.ndarray]],
    places: dict[str, list[int]],
    sources: list[np.ndarray] | None,
    number: int = 0,
) -> np.ndarray:
    """For each way a slice through time of one clip, and its error from frame to frame, borders in
    red.
    """
    source = None if sources is None else sources[number]
    errors = {way: neighbour_errors(clips[number], "frames", source) for way, clips in made.items()}
    top = max(each.max() for each in errors.values())
    cells = [
        draw_way(clips[number], errors[way], places.get(way, []), top)
        for way, clips in made.items()
    ]
    return contact_sheet(cells, len(cells), list(made))


def draw_way(frames: np.ndarray, errors: np.ndarray, at: list[int], top: float) -> np.ndarray:
    """Time runs to the right in both."""
    upright = xt_slice(Clip(frames)).transpose(1, 0, 2)
    height = max(1, 128 // len(upright))
    through_time = upright.repeat(height, 0)[:: max(1, len(upright) // 128)].repeat(ROW, 1)
    plot = Image.new("RGB", (ROW * len(frames), PLOT), "white")
    for number, error in enumerate(errors, 1):
        left, level = ROW * number - ROW // 2, PLOT - 1 - round((PLOT - 1) * error / top)
        ImageDraw.Draw(plot).rectangle(
            (left, level, left + ROW - 2, PLOT), fill="red" if number in at else "grey"
        )
    return np.concatenate([through_time, np.asarray(plot)])


def measure_base(lumiere: Lumiere, steps: int, picture: Path | None) -> None:
    make = base_clips(lumiere, steps)
    made = {way: make(windows) for way, windows in base_windows().items()}
    places = {
        way: borders(BASE_FRAMES, windows.frames, windows.overlap)
        for way, windows in base_windows().items()
    }
    report(
        f"base, {BASE_FRAMES} frames in windows of {BASE_WINDOW}, {steps} steps",
        made,
        places,
        "frames",
        None,
    )
    if picture is not None:
        save_image(draw_ways(made, places, None), picture)


def measure_upscale(net: LumiereUpscalePipeline, world: World, options: argparse.Namespace) -> None:
    sources = held_out(world, options.clips, options.frames)
    make = enlarged(net, sources, options.steps, options.noise)
    made = {
        way: make(windows) for way, windows in {"one window": Windows(), **time_windows()}.items()
    }
    places = {
        way: borders(options.frames, windows.frames, windows.overlap)
        for way, windows in time_windows().items()
    }
    steps = f"{options.steps} step{'s' * (options.steps > 1)}"
    clips = f"{options.clips} world clips of {options.frames} frames"
    how = f"{clips}, {steps}, noise {options.noise:g}"
    report(f"windows of {WINDOW} frames, {how}", made, places, "frames", sources)
    if options.picture is not None:
        save_image(draw_ways(made, places, sources), options.picture)
    few = [clip[: options.tile_frames] for clip in sources]
    make = enlarged(net, few, options.steps, options.noise)
    made = {
        way: make(windows) for way, windows in {"one window": Windows(), **tile_windows()}.items()
    }
    places = {
        way: [4 * at for at in borders(SIDE // 4, TILE, windows.tile_overlap)]
        for way, windows in tile_windows().items()
    }
    for axis in ("height", "width"):
        report(
            f"tiles of {TILE}, {axis}, {options.tile_frames} frames each", made, places, axis, few
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("net", choices=("base", "upscale"))
    parser.add_argument("--world", type=Path, help="a built world, for upscale")
    parser.add_argument("--model", default="world-32", help="a bundled model or a folder")
    parser.add_argument(
        "--upscaler", help="the folder of a super-resolution net alone, such as RUN/upscaler"
    )
    parser.add_argument("--steps", type=int)
    parser.add_argument("--noise", type=float, default=0.0, help="of the low-resolution clip")
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--tile-frames", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="where to write slices through time: .png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.net == "base":
        return measure_base(
            Lumiere.from_pretrained(options.model), options.steps or 4, options.picture
        )
    options.steps = options.steps or 1
    net = (
        LumiereUpscalePipeline.from_pretrained(options.upscaler)
        if options.upscaler
        else Lumiere.from_pretrained(options.model).upscaler
    )
    measure_upscale(net, World.open(options.world), options)


if __name__ == "__main__":
    with torch.no_grad():
        main()
