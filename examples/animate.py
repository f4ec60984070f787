"""A camera pans over a picture: the first frame is the picture, bit by bit."""

from pathlib import Path

from openlumiere import Clip, Lumiere


def make(lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80) -> Clip:
    picture = lumiere.generate_image("a fox on a beach", seed=7, steps=steps).over("white")
    clip = lumiere.animate(
        picture, "a fox on a beach, the camera pans right", seed=7, steps=steps, frames=frames
    )
    clip.save(folder / "animate.mp4")
    return clip


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
