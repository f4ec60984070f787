"""A picture of which only the middle moves, in a seamless loop."""

from pathlib import Path

from openlumiere import Clip, Lumiere


def make(lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80) -> Clip:
    picture = lumiere.generate_image("a butterfly on a white background", seed=9, steps=steps)
    clip = lumiere.cinemagraph(
        picture,
        (0.2, 0.2, 0.8, 0.8),
        "a butterfly moves up on a white background",
        loop=True,
        seed=9,
        steps=steps,
        frames=frames,
    )
    clip.save(folder / "cinemagraph.mp4")
    return clip


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
