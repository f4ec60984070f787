"""A picture becomes a clip: its first frame is the picture, bit by bit."""

from pathlib import Path

from openlumiere import Clip, Lumiere


def make(lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80) -> Clip:
    picture = lumiere.generate_image("a dog on a green background", seed=7, steps=steps)
    clip = lumiere.animate(
        picture, "a dog moves right on a green background", seed=7, steps=steps, frames=frames
    )
    clip.save(folder / "animate.mp4")
    return clip


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
