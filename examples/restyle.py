"""A clip made anew from a noisy version of itself, in another of the model's styles."""

from pathlib import Path

from openlumiere import Clip, Lumiere


def make(lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80) -> Clip:
    clip = lumiere.generate("a car in a city in 3D style", seed=7, steps=steps, frames=frames)
    made = lumiere.restyle(clip, "a car in a city in Noto style", strength=0.7, seed=8, steps=steps)
    made.save(folder / "restyle.mp4")
    return made


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
