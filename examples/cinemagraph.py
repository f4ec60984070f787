"""A picture of which only the middle moves, in a seamless loop."""

from pathlib import Path

from openlumiere import Clip, Lumiere


def make(lumiere: Lumiere, folder: Path, steps: int = 10, frames: int = 80) -> Clip:
    picture = lumiere.generate_image("a fire under a night sky", seed=7, steps=steps).over("white")
    clip = lumiere.cinemagraph(
        picture,
        (0.2, 0.2, 0.8, 0.8),
        "a fire burns and flickers under a night sky",
        loop=True,
        seed=7,
        steps=steps,
        frames=frames,
    )
    clip.save(folder / "cinemagraph.mp4")
    return clip


if __name__ == "__main__":
    make(Lumiere.from_pretrained(), Path("."))
