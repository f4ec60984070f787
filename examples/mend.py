"""A clip with a scratch and a lost frame, mended without saying where."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from openlumiere import Clip, Lumiere


def make(lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80) -> Clip:
    prompt = "a car in a city"
    drawn = lumiere.generate(prompt, seed=5, steps=steps, frames=frames, size=128)
    clip = drawn.over("white")
    damaged = np.array(clip.frames)
    damaged[:, :, 40] //= 2
    damaged[frames // 2] = 0
    made = lumiere.mend(replace(clip, frames=damaged, origin=None), prompt=prompt, steps=steps)
    made.save(folder / "mend.mp4")
    return made


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
