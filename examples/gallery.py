"""The moving pictures of the README, by the bundled weights.

    python examples/gallery.py docs/images/gallery [NAME ...]

Those named, or all. Seeds are fixed and nothing is chosen; what is to be seen in them is said in
docs/tasks.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from openlumiere import Clip, Lumiere
from openlumiere.media.alpha import on_chequerboard

SIZE = 160
HOW = {"steps": 10, "seed": 7}
ROCKET = "a rocket moves up on a blue background"
DOG = "a dog moves right on a green background"


def generate(lumiere: Lumiere) -> Clip:
    """Text to video."""
    return lumiere.generate(ROCKET, size=SIZE, **HOW)


def animate(lumiere: Lumiere) -> Clip:
    """Image to video."""
    picture = lumiere.generate_image("a car on a white background", size=SIZE, **HOW)
    return lumiere.animate(picture, "a car moves left on a white background", **HOW)


def inpaint(lumiere: Lumiere) -> Clip:
    """The left half made anew."""
    clip = lumiere.generate("a star stays still on a black background", size=SIZE, **HOW)
    prompt = "a frog stays still on a black background"
    return lumiere.inpaint(clip, "0.2,0.2,0.8,0.8", prompt, **HOW)


def cinemagraph(lumiere: Lumiere) -> Clip:
    """The middle of a picture moves in a seamless loop."""
    prompt = "a star moves up on a black background"
    picture = lumiere.generate_image(prompt, size=SIZE, **HOW)
    return lumiere.cinemagraph(picture, "0.2,0.1,0.8,0.9", prompt, **HOW)


def restyle(lumiere: Lumiere) -> Clip:
    """A clip under another sentence."""
    clip = lumiere.generate("a car moves left on a white background", size=SIZE, **HOW)
    return lumiere.restyle(clip, "a Noto emoji of a car on a white background", strength=0.7, **HOW)


def sticker(lumiere: Lumiere) -> Clip:
    """A transparent background, shown over a chequerboard."""
    clip = lumiere.generate(
        "a frog moves up on a white background", size=SIZE, background="transparent", **HOW
    )
    return replace(clip, frames=on_chequerboard(clip.frames)) if clip.has_alpha else clip


TOYS = {
    "toys-face": "a face with tears of joy on a transparent background",
    "toys-fox": "a fox on a transparent background in 3D style",
    "toys-heart": "a red heart on a pink background",
}


def of_toys(prompt: str) -> Clip:
    """A clip of the preview model, alpha over a chequerboard."""
    lumiere = Lumiere.from_pretrained("toys", dtype=torch.bfloat16)
    clip = lumiere.generate(prompt, size=0, seed=7, steps=10)
    return replace(clip, frames=on_chequerboard(clip.frames))


PICTURES: dict[str, Callable[[Lumiere], Clip]] = {
    "text-to-video": generate,
    "image-to-video": animate,
    "inpaint": inpaint,
    "cinemagraph": cinemagraph,
    "restyle": restyle,
    "sticker": sticker,
}


def main(folder: Path, *names: str) -> None:
    """Write an animated webp for each of the names, or for all."""
    folder.mkdir(parents=True, exist_ok=True)
    lumiere = Lumiere.from_pretrained()
    made = {name: partial(make, lumiere) for name, make in PICTURES.items()}
    made |= {name: partial(of_toys, prompt) for name, prompt in TOYS.items()}
    for name in names or made:
        clip = made[name]()
        shown = replace(clip, frames=np.ascontiguousarray(clip.frames[::2]), fps=clip.fps / 2)
        shown.save(folder / f"{name}.webp")
        (folder / f"{name}.webp.json").unlink(missing_ok=True)
        print(name, (folder / f"{name}.webp").stat().st_size, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
