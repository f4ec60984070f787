"""What a model makes of photographs and footage that it was not trained on:

    python benchmarks/photographs.py FOLDER [--model toys]

Each picture of a folder is animated under one of six cameras, and made a cinemagraph whose middle
flows; clips that a camera passes over it are inpainted, outpainted and restyled, and so are the
first five seconds of each video file. Read off at 128 pixels:

* animate: whether the first frame is the picture; its first step over the median one; whether the
  camera goes as asked (the similarity that fits optical flow best, from frame to frame); PSNR of
  the frames to the picture after that motion is undone, where both are seen; sharpness (gradient
  energy at full size) over the picture's, also `--without-detail` carried along the motion.
* cinemagraph: movement inside, whether the outside is exact, the step over the loop's seam over the
  median one.
* inpaint, outpaint, both without a prompt: the step in what was made over the step in what was
  given; PSNR of what was made to what was there.
* restyle, "in flat style" at half strength: correlation of its optical flow with the given clip's,
  and of blurred levels (layout).
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from PIL import Image

from openlumiere import Lumiere
from openlumiere.engine import fit
from openlumiere.media import Clip, filmstrip, save_image
from openlumiere.quality.metrics import psnr
from openlumiere.quality.motion import flow
from openlumiere.tasks import Region

SIDE = 128
VIDEOS = {".mp4", ".avi", ".mkv", ".webm", ".mov"}
SHOWN = VIDEOS | {".jpg", ".jpeg", ".png", ".webp"}
CAMERAS = {
    "pan left": (1, 0, 0),  # which way what is seen goes: right, down, larger
    "pan right": (-1, 0, 0),
    "pan up": (0, 1, 0),
    "pan down": (0, -1, 0),
    "zoom in": (0, 0, 1),
    "zoom out": (0, 0, -1),
}
LEAST = 3.0  # pixels in all, below which a camera rests
STRIDE = 4  # frames between two that motion is read off
HOLE = (0.3, 0.3, 0.7, 0.7)  # left, top, right, bottom, as shares


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--pictures", type=int, default=1000, help="the first ones alone")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--without-detail", action="store_true")
    parser.add_argument("--out", type=Path, help="a folder for strips and figures")
    options = parser.parse_args()
    if options.without_detail:
        fit.whole_frames = lambda canvas, to: []
    lumiere = Lumiere.from_pretrained(options.model, dtype=options.dtype)
    how = {"steps": options.steps, "fast": options.fast, "guidance": options.guidance}
    files = [file for file in sorted(options.folder.iterdir()) if file.suffix in SHOWN]
    found: dict[str, list[dict]] = {task: [] for task in options.tasks}
    for number, file in enumerate(files[: options.pictures]):
        camera = list(CAMERAS)[number % len(CAMERAS)]
        for task in options.tasks:
            try:
                made = figures_of(task, lumiere, file, camera, how | {"seed": number})
            except ValueError as refused:  # by the screening of frames
                print(json.dumps({"task": task, "picture": file.stem, "refused": str(refused)}))
                continue
            if made is None:
                continue
            figures, clip = made
            found[task].append({"picture": file.stem, "camera": camera} | figures)
            print(json.dumps({"task": task} | found[task][-1]), flush=True)
            if options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                save_image(filmstrip(clip, 8), options.out / f"{task}-{file.stem}.png")
    summary = {task: summed(rows) for task, rows in found.items() if rows}
    print(json.dumps(summary, indent=1))
    if options.out:
        (options.out / "figures.json").write_text(json.dumps(found | {"all": summary}, indent=1))


def figures_of(
    task: str, lumiere: Lumiere, file: Path, camera: str, how: dict
) -> tuple[dict, Clip] | None:
    """What a task makes of a file, or None of a video that is asked for a picture's task."""
    if file.suffix in VIDEOS:
        return OF_CLIPS[task](lumiere, beginning(file), how) if task in OF_CLIPS else None
    picture = np.asarray(Image.open(file).convert("RGB"))
    if task in OF_CLIPS:
        return OF_CLIPS[task](lumiere, passed_over(picture, camera), how)
    return OF_PICTURES[task](lumiere, picture, camera, how)


def beginning(file: Path) -> Clip:
    """The middle square of the first 80 frames at 16 a second, 256 x 256 pixels at most."""
    clip = Clip.load(file)
    places = np.arange(80) * float(clip.fps) / 16
    frames = clip.frames[places[places < len(clip)].astype(int)]
    side = min(clip.size)
    top, left = (frames.shape[1] - side) // 2, (frames.shape[2] - side) // 2
    square = frames[:, top : top + side, left : left + side]
    return Clip(small(square, min(side, 2 * SIDE)), fps=16)


def animated(lumiere: Lumiere, picture: np.ndarray, camera: str, how: dict) -> tuple[dict, Clip]:
    """Image to video under a camera."""
    clip = lumiere.animate(picture, f"a photo, {said(camera)}", **how)
    frames = small(clip.frames)
    moves = moved_since_first(frames)
    steps = steps_of(frames)
    right, down, _ = moves[-1] @ [SIDE / 2, SIDE / 2, 1] - SIDE / 2
    went = {"right": float(right), "down": float(down), "larger": zoom_of(moves[-1])}
    figures = {
        "first frame exact": bool(np.array_equal(clip.frames[0], picture)),
        "first step": steps[0] / max(median(steps), 1e-6),
        "as asked": goes_as(camera, went),
        "psnr": median(undone(frames, moves)),
        "step": median(steps),
        "sharpness": median(map(sharpness, clip.frames[8::8])) / sharpness(picture),
    }
    return figures | went, clip


def cinemagraphed(
    lumiere: Lumiere, picture: np.ndarray, camera: str, how: dict
) -> tuple[dict, Clip]:
    """Only the middle moves, in a loop."""
    region = Region.of(HOLE)
    clip = lumiere.cinemagraph(picture, region, "a photo, it flows to the left", **how)
    hole = mask_of(picture.shape[:2])
    steps = [
        float(np.abs(one.astype(float) - other)[hole].mean())
        for one, other in zip(clip.frames, np.roll(clip.frames, -1, axis=0), strict=True)
    ]
    outside = all(np.array_equal(frame[~hole], picture[~hole]) for frame in clip.frames)
    inside = np.abs(clip.frames.astype(float) - picture)[:, hole].mean()
    return {
        "outside exact": outside,
        "change inside": float(inside),
        "step": median(steps),
        "seam": steps[-1] / max(median(steps), 1e-6),
        "largest step": max(steps) / max(median(steps), 1e-6),
    }, clip


def inpainted(lumiere: Lumiere, given: Clip, how: dict) -> tuple[dict, Clip]:
    """A hole in the middle."""
    clip = lumiere.inpaint(given, Region.of(HOLE), **how)
    return around(clip, given, mask_of(given.frames.shape[1:3])), clip


def outpainted(lumiere: Lumiere, given: Clip, how: dict) -> tuple[dict, Clip]:
    """A quarter of the width is cut off and made anew."""
    width, height = given.size
    edge = width // 8
    narrow = Clip(np.ascontiguousarray(given.frames[:, :, edge:-edge]), given.fps)
    clip = lumiere.outpaint(narrow, (width, height), **how)
    x = np.arange(width)
    return around(clip, given, np.tile((x < edge) | (x >= width - edge), (height, 1))), clip


def around(clip: Clip, given: Clip, made: np.ndarray) -> dict:
    """Figures of what was made beside what was given."""
    change = np.abs(np.diff(clip.frames.astype(float), axis=0))
    ratio = change[:, made].mean() / max(change[:, ~made].mean(), 1e-6)
    return {
        "step made over given": float(ratio),
        "psnr made": psnr(clip.frames[:, made], given.frames[:, made]),
    }


def restyled(lumiere: Lumiere, given: Clip, how: dict) -> tuple[dict, Clip]:
    """Another style, half of the steps."""
    clip = lumiere.restyle(given, "in flat style", strength=0.5, **how)
    made, before = small(clip.over("white").frames), small(given.frames)
    pairs = [
        (flow(before[k], before[k + STRIDE]), flow(made[k], made[k + STRIDE]))
        for k in range(0, len(made) - STRIDE, STRIDE)
    ]
    return {
        "motion": correlation(*(np.stack(each) for each in zip(*pairs, strict=True))),
        "layout": correlation(small(before, SIDE // 8), small(made, SIDE // 8)),
    }, clip


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, of all values; 0 where either is constant."""
    spread = np.std(one) * np.std(other)
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if spread > 0 else 0.0


OF_PICTURES = {"animate": animated, "cinemagraph": cinemagraphed}
OF_CLIPS = {"inpaint": inpainted, "outpaint": outpainted, "restyle": restyled}
TASKS = OF_PICTURES | OF_CLIPS


def said(camera: str) -> str:
    """The words that ask for a camera."""
    verb, way = camera.split()
    return f"the camera {verb}s {way}"


def passed_over(picture: np.ndarray, camera: str) -> Clip:
    """A clip of 80 frames of 128 x 128 pixels, of the middle of a picture."""
    right, down, larger = CAMERAS[camera]
    frames = []
    for share in np.linspace(0, 1, 80):
        scale = SIDE / (0.6 * min(picture.shape[:2])) * (1 + 0.3 * larger * (share - 0.5))
        middle = np.array(picture.shape[1::-1]) / 2
        shift = SIDE / 2 - scale * middle + 30 * (share - 0.5) * np.array([right, down])
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        frames.append(
            cv2.warpAffine(
                picture, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT
            )
        )
    return Clip(np.stack(frames), fps=16)


def mask_of(size: tuple[int, int]) -> np.ndarray:
    """True inside the hole."""
    height, width = size
    left, top, right, bottom = HOLE
    y, x = (np.arange(height)[:, None] + 0.5) / height, (np.arange(width) + 0.5) / width
    return (x > left) & (x < right) & (y > top) & (y < bottom)


def small(frames: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Frames at the side that they are measured at, or another."""
    return np.stack(
        [cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in frames]
    )


def steps_of(frames: np.ndarray) -> list[float]:
    """Mean change from each frame to the next, in levels."""
    return [float(np.abs(one.astype(float) - other).mean()) for one, other in pairwise(frames)]


def moved_since_first(frames: np.ndarray) -> list[np.ndarray]:
    """For every few frames the similarity, 3 x 3, that takes places of the first frame there."""
    moves = [np.eye(3)]
    for start in range(0, len(frames) - STRIDE, STRIDE):
        moves.append(similarity(frames[start], frames[start + STRIDE]) @ moves[-1])
    return moves


def similarity(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The shift, turn and scale that fit the flow between two frames best, by RANSAC."""
    y, x = np.mgrid[4:SIDE:6, 4:SIDE:6]
    places = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)
    way = flow(here, there)[places[:, 1].astype(int), places[:, 0].astype(int)]
    matrix, _ = cv2.estimateAffinePartial2D(places, places + way, ransacReprojThreshold=0.7)
    return np.eye(3) if matrix is None else np.vstack([matrix, [0, 0, 1]])


def zoom_of(move: np.ndarray) -> float:
    """How far a place halfway to the border moves outwards, in pixels."""
    scale = float(np.sqrt(abs(np.linalg.det(move[:2, :2]))))
    return SIDE / 4 * (scale - 1)


def goes_as(camera: str, went: dict[str, float]) -> bool:
    """Whether most of the motion is the one that was asked for."""
    names = list(went)
    most = max(names, key=lambda name: abs(went[name]))
    asked = CAMERAS[camera][names.index(most)]
    return abs(went[most]) > LEAST and asked * went[most] > 0


def undone(frames: np.ndarray, moves: list[np.ndarray]) -> list[float]:
    """PSNR to the first frame of frames whose motion is undone, where both are seen."""
    found = []
    for frame, move in zip(frames[::STRIDE][1:], moves[1:], strict=False):
        back = np.linalg.inv(move)[:2]
        there = cv2.warpAffine(frame, back, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
        both = cv2.warpAffine(np.ones((SIDE, SIDE), np.uint8), back, (SIDE, SIDE)) > 0
        both = cv2.erode(both.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        if both.sum() > SIDE:
            found.append(psnr(there[both], frames[0][both]))
    return found or [0.0]


def sharpness(picture: np.ndarray) -> float:
    """Root of the mean squared difference between neighbours, in levels."""
    levels = picture.astype(float)
    return float(np.sqrt(sum(np.square(np.diff(levels, axis=axis)).mean() for axis in (0, 1))))


def summed(rows: list[dict]) -> dict[str, float]:
    """Shares of what is true, medians of numbers."""
    names = [name for name, value in rows[0].items() if not isinstance(value, str)]
    return {
        name: sum(row[name] for row in rows) / len(rows)
        if isinstance(rows[0][name], bool)
        else median(row[name] for row in rows)
        for name in names
    }


if __name__ == "__main__":
    main()
