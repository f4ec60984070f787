"""A clip made anew from a noisy version of itself, under another sentence."""

from pathlib import Path

from openlumiere import Clip, Lumiere


def make(lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80) -> Clip:
    clip = lumiere.generate(
        "a dog moves right on a green background", seed=7, steps=steps, frames=frames
    )
    made = lumiere.restyle(
        clip, "a car moves right on a green background", strength=0.8, seed=8, steps=steps
    )
    made.save(folder / "restyle.mp4")
    return made


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
