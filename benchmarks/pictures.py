"""The pictures of docs/tasks.md, one a task: what is given, where it is known (white), what comes
out, by the default model; and a style's weights, by `world-32`.

    # every task: about a minute of one CPU core
    python benchmarks/pictures.py docs/pictures
    python benchmarks/pictures.py docs/pictures --world WORLD       # and the sweep over a style's
    weight: another minute

16 frames over five seconds, six of them shown; seeds are fixed, nothing is
chosen. WORLD is a whole built world (`lumiere data world build WORLD`): the style is learnt from
one of its drawings in the style that nothing was trained on.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from openlumiere import Clip, Lumiere
from openlumiere.engine.canvas import Canvas, extended, filled, keyframes, partly_moving, unheld
from openlumiere.media import contact_sheet, filmstrip, save_image
from openlumiere.quality.repair import mended
from openlumiere.tasks import Learning, Region
from openlumiere_world.measures.sources import Ask
from openlumiere_world.measures.style import WEIGHTS, references
from openlumiere_world.measures.tasks import around, damaged
from openlumiere_world.subjects import World

SHOWN = 6
SCALE = 2  # of the pictures of world-32
RATE = Fraction(16, 5)
LENGTH = {"frames": 16, "fps": RATE}
STEPS = {"steps": 10}
GREY = 127
DOG, FROG = "a dog moves right on a green background", "a frog moves right on a green background"
WIDE = 224, 128
MIDDLE = Region.box(0.2, 0.2, 0.8, 0.8)
LESSONS = 150


def animate(lumiere: Lumiere) -> tuple[Canvas, Clip]:
    picture = lumiere.generate_image(
        "a rocket on a blue background", seed=7, size=0, **STEPS
    ).frames[0]
    made = lumiere.animate(
        picture, "a rocket moves up on a blue background", seed=7, **LENGTH, **STEPS
    )
    return keyframes({0: picture}, len(made), RATE), made


def inpaint(lumiere: Lumiere) -> tuple[Canvas, Clip]:
    clip = words(lumiere, DOG, 7)
    region = around(clip)
    return filled(clip, region), lumiere.inpaint(clip, region, FROG, seed=8, **STEPS)


def outpaint(lumiere: Lumiere) -> tuple[Canvas, Clip]:
    prompt = "a star moves up on a blue background"
    clip = words(lumiere, prompt, 3)
    return extended(clip, *WIDE), lumiere.outpaint(clip, WIDE, prompt, seed=4, **STEPS)


def mend(lumiere: Lumiere) -> tuple[Canvas, Clip]:
    clip = damaged(words(lumiere, "a car moves left on a yellow background", 5))[0]
    return replace(unheld(clip), known=mended(clip).known), lumiere.mend(clip, **STEPS)


def cinemagraph(lumiere: Lumiere) -> tuple[Canvas, Clip]:
    prompt = "a star moves up on a black background"
    picture = lumiere.generate_image(
        "a star on a black background", seed=9, size=0, **STEPS
    ).frames[0]
    made = lumiere.cinemagraph(picture, MIDDLE, prompt, loop=True, seed=9, **LENGTH, **STEPS)
    return partly_moving(picture, MIDDLE, len(made), RATE), made


TASKS: dict[str, Callable[[Lumiere], tuple[Canvas, Clip]]] = {
    "animate": animate,
    "inpaint": inpaint,
    "outpaint": outpaint,
    "mend": mend,
    "cinemagraph": cinemagraph,
}


def words(lumiere: Lumiere, prompt: str, seed: int) -> Clip:
    return lumiere.generate(prompt, seed=seed, size=0, **LENGTH, **STEPS)


def strip(frames: np.ndarray) -> np.ndarray:
    return filmstrip(Clip(np.ascontiguousarray(frames)), SHOWN)


def larger(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(SCALE, 0).repeat(SCALE, 1)


def rows(canvas: Canvas, made: Clip, task: str) -> np.ndarray:
    """Given (grey: not known), known (white), made."""
    known = canvas.known[..., None]
    given = (
        canvas.frames if task == "mend" else np.where(known, canvas.frames, GREY).astype(np.uint8)
    )
    parts = [
        strip(given),
        strip(np.where(known, 255, 0).astype(np.uint8).repeat(3, axis=3)),
        strip(made.frames),
    ]
    return contact_sheet(parts, 1, ["given", "known", "made"])


def restyle(lumiere: Lumiere) -> np.ndarray:
    clip = words(lumiere, "a car moves left on a white background in 3D style", 6)
    made = lumiere.restyle(
        clip,
        "a car moves left on a white background in flat style",
        strength=0.7,
        seed=8,
        **STEPS,
    )
    return contact_sheet([strip(clip.frames), strip(made.frames)], 1, ["given", "made"])


def sweep(world: World) -> np.ndarray:
    """One sentence and one seed under a style at five weights."""
    lumiere = Lumiere.from_pretrained("world-32")
    asked = Ask(prompt="a car on a white background")
    (reference,) = references(world, [asked], seed=0)
    style = lumiere.learn_style(
        [reference.picture],
        "line drawing",
        prompts=[reference.prompt],
        learning=Learning(steps=LESSONS),
    )
    clips = [
        lumiere.generate(
            asked.prompt, seed=3, size=0, style=style, style_weight=weight, **LENGTH, **STEPS
        )
        for weight in WEIGHTS
    ]
    learnt = np.full((32, 32 * SHOWN, 3), 255, np.uint8)
    learnt[:, :32] = reference.picture
    captions = [f"learnt from: {reference.prompt}", *(f"a = {weight:g}" for weight in WEIGHTS)]
    strips = [learnt, *(strip(clip.frames) for clip in clips)]
    return contact_sheet([larger(each) for each in strips], 1, captions)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("--world", type=Path)
    options.add_argument("--model", help="for all but the style")
    options.add_argument("--only", nargs="*", default=[*TASKS, "restyle", "style"])
    asked = options.parse_args(sys.argv[1:])
    torch.set_num_threads(1)
    lumiere = Lumiere.from_pretrained(asked.model)
    asked.folder.mkdir(parents=True, exist_ok=True)
    for name in asked.only:
        if name == "style" and asked.world is None:
            continue
        picture = (
            sweep(World.open(asked.world))
            if name == "style"
            else restyle(lumiere)
            if name == "restyle"
            else rows(*TASKS[name](lumiere), name)
        )
        save_image(picture, asked.folder / f"{name}.png")
        print(asked.folder / f"{name}.png", flush=True)


if __name__ == "__main__":
    main()
