"""A style learnt from one picture, kept in a file, and mixed in at half strength."""

from pathlib import Path

import numpy as np

from openlumiere import Clip, Lumiere
from openlumiere.tasks import Learning


def make(
    lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80, lessons: int = 200
) -> Clip:
    picture = (
        np.where(np.eye(64, dtype=bool)[..., None], 0, 255).astype(np.uint8).repeat(3, axis=2)
    )  # a black line on white
    style = lumiere.learn_style(
        [picture],
        "line",
        prompts=["a star on a white background"],
        learning=Learning(steps=lessons),
    )
    style.save(folder / "line.safetensors")
    clip = lumiere.generate(
        "a star moves up on a white background",
        seed=3,
        steps=steps,
        frames=frames,
        style=folder / "line.safetensors",
        style_weight=0.5,
    )
    clip.save(folder / "style.mp4")
    return clip


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
