"""A square clip in frames of 16 to 9."""

from pathlib import Path

from openlumiere import Clip, Lumiere


def make(lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80) -> Clip:
    clip = lumiere.generate("a cow on a meadow", seed=3, steps=steps, frames=frames, size=144)
    made = lumiere.outpaint(clip, (256, 144), "a cow on a meadow", seed=4, steps=steps)
    made.save(folder / "outpaint.mp4")
    return made


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
