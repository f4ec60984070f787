"""The moving pictures of the README, by the default model.

    python examples/gallery.py docs/images/gallery [NAME ...]

Those named, or all. Seeds are fixed and nothing is chosen. What is transparent is shown over a
chequerboard.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from openlumiere import Clip, Lumiere
from openlumiere.media.alpha import on_chequerboard

SIDE = 128  # the net's own
HOW = {"steps": 10, "seed": 7}
MIDDLE = "0.2,0.2,0.8,0.8"


def text_to_video(lumiere: Lumiere) -> Clip:
    """A subject, a motion and a ground."""
    return drawn(lumiere, "a rocket moves up in space")


def face(lumiere: Lumiere) -> Clip:
    """Alpha by the net."""
    return drawn(lumiere, "a face with tears of joy on a transparent background")


def fox(lumiere: Lumiere) -> Clip:
    """Alpha by the net, and a style."""
    return drawn(lumiere, "a fox on a transparent background in 3D style")


def image_to_video(lumiere: Lumiere) -> Clip:
    """A picture that a camera passes over."""
    prompt = "a fox on a beach, the camera pans right"
    return lumiere.animate(picture(lumiere, "a fox on a beach"), prompt, **HOW)


def inpaint(lumiere: Lumiere) -> Clip:
    """The middle made anew."""
    clip = drawn(lumiere, "a dog on a meadow")
    return lumiere.inpaint(clip, MIDDLE, "a penguin on a meadow", **HOW)


def cinemagraph(lumiere: Lumiere) -> Clip:
    """The middle of a picture moves in a seamless loop."""
    image = picture(lumiere, "a fire under a night sky")
    prompt = "a fire burns and flickers under a night sky"
    return lumiere.cinemagraph(image, "0.2,0.1,0.8,0.9", prompt, **HOW)


def restyle(lumiere: Lumiere) -> Clip:
    """A clip in another of the model's styles."""
    clip = drawn(lumiere, "a car in a city in 3D style")
    return lumiere.restyle(clip, "a car in a city in Noto style", strength=0.7, **HOW)


def outpaint(lumiere: Lumiere) -> Clip:
    """Half as wide again."""
    prompt = "a cow on a meadow"
    return lumiere.outpaint(drawn(lumiere, prompt), (SIDE * 3 // 2, SIDE), prompt, **HOW)


def sticker(lumiere: Lumiere) -> Clip:
    """What `lumiere sticker` fits into a messenger's limits."""
    return drawn(lumiere, "a crying face on a transparent background")


def drawn(lumiere: Lumiere, prompt: str) -> Clip:
    """A clip of a prompt."""
    return lumiere.generate(prompt, size=0, **HOW)


def picture(lumiere: Lumiere, prompt: str) -> Clip:
    """A picture of a prompt, opaque as a photograph is."""
    return lumiere.generate_image(prompt, size=0, **HOW).over("white")


PICTURES: dict[str, Callable[[Lumiere], Clip]] = {
    "text-to-video-rocket": text_to_video,
    "transparent-face": face,
    "transparent-fox": fox,
    "image-to-video-fox": image_to_video,
    "inpaint-penguin": inpaint,
    "cinemagraph-fire": cinemagraph,
    "restyle-car": restyle,
    "outpaint-cow": outpaint,
    "sticker-crying": sticker,
}


def main(folder: Path, *names: str) -> None:
    """Write an animated webp for each of the names, or for all."""
    folder.mkdir(parents=True, exist_ok=True)
    lumiere = Lumiere.from_pretrained("toys", dtype=torch.bfloat16)
    for name in names or PICTURES:
        clip = PICTURES[name](lumiere)
        frames = np.ascontiguousarray(clip.frames[::2])
        shown = on_chequerboard(frames) if clip.has_alpha else frames
        replace(clip, frames=shown, fps=clip.fps / 2).save(folder / f"{name}.webp")
        (folder / f"{name}.webp.json").unlink(missing_ok=True)
        print(name, (folder / f"{name}.webp").stat().st_size, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
