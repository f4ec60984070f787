"""A tiny world: discs and squares drawn here, built by the same code as the real one."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from openlumiere_world.build import Batch, Job, finish, render_batch
from openlumiere_world.names import Concept
from openlumiere_world.originals import Drawing

SUBJECTS = {  # code points: names in five languages, colour
    "1f408": (("cat", "gatto", "gato", "chat", "Katze"), (230, 0, 230)),
    "1f415": (("dog", "cane", "perro", "chien", "Hund"), (0, 200, 200)),
    "2b50": (("star", "stella", "estrella", "étoile", "Stern"), (255, 120, 0)),
    "1f680": (("rocket", "razzo", "cohete", "fusée", "Rakete"), (120, 0, 255)),
    "1f4a1": (("light bulb", "lampadina", "bombilla", "ampoule", "Glühbirne"), (0, 120, 90)),
    "1f4bf": (
        ("optical disk", "disco ottico", "disco óptico", "disque optique", "optische Disc"),
        (90, 60, 0),
    ),
}
SOURCES = ("fluent-3d", "noto", "openmoji")


def concept(subject: str) -> Concept:
    names = dict(zip(("en", "it", "es", "fr", "de"), SUBJECTS[subject][0]))
    return Concept(
        subject=subject, base=subject, group="objects", names=names, tags=("round",), formal=""
    )


def disc(colour: tuple[int, int, int], radius: int = 90, dx: int = 0) -> Image.Image:
    image = Image.new("RGBA", (256, 256))
    ImageDraw.Draw(image).ellipse(
        (128 + dx - radius, 128 - radius, 128 + dx + radius, 128 + radius), fill=colour
    )
    return image


def still_job(source: str, subject: str, folder: Path) -> Job:
    path = folder / f"{source}-{subject}.webp"
    disc(SUBJECTS[subject][1]).save(path, lossless=True)
    drawing = Drawing(form="webp", kind="still", path=str(path))
    return Job(
        source=source,
        concept=concept(subject),
        drawing=drawing,
        member=path.name,
        package="drawn by the test",
    )


def animated_job(subject: str, folder: Path) -> Job:
    """A disc that moves a little sideways: 24 frames of 42 ms, so 16 frames at 16 fps."""
    path = folder / f"animated-{subject}.webp"
    frames = [
        disc(SUBJECTS[subject][1], dx=round(12 * np.sin(2 * np.pi * n / 24))) for n in range(24)
    ]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=42, lossless=True, loop=0
    )
    drawing = Drawing(form="webp", kind="animated", path=str(path))
    return Job(
        source="fluent-anim",
        concept=concept(subject),
        drawing=drawing,
        member=path.name,
        package="drawn by the test",
    )


def build_tiny(folder: Path) -> Path:
    """Build the tiny world in `folder`: six subjects, two styles and the held-out one, each also
    animated once.
    """
    for part in ("shards", "rows", "originals"):
        (folder / part).mkdir()
    jobs = [
        still_job(source, subject, folder / "originals")
        for source in SOURCES
        for subject in SUBJECTS
    ]
    batches = [
        Batch(name="stills-0000", jobs=tuple(jobs)),
        Batch(
            name="animated-0000",
            jobs=tuple(animated_job(subject, folder / "originals") for subject in SUBJECTS),
        ),
    ]
    for batch in batches:
        render_batch(batch, folder)
    finish(folder, batches, packages={})
    return folder
