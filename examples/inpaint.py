"""Something new in a part of a clip, which moves along; the rest stays, bit by bit."""

from pathlib import Path

from openlumiere import Clip, Lumiere
from openlumiere.tasks.region import Region


def make(lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80) -> Clip:
    clip = lumiere.generate("a turtle moves right on a beach", seed=7, steps=steps, frames=frames)
    moving = Region.parse(f"0: 0,0.2,0.6,0.8; {frames - 1}: 0.4,0.2,1,0.8")
    made = lumiere.inpaint(clip, moving, "a frog moves right on a beach", seed=8, steps=steps)
    made.save(folder / "inpaint.mp4")
    return made


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
