"""A world of four subjects in two styles, drawn here, and a judge that learnt it in some steps."""

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from openlumiere_world.build import Batch, Job, finish, render_batch
from openlumiere_world.measures.judge import Judge, JudgeConfig, train_judge
from openlumiere_world.names import Concept
from openlumiere_world.originals import Drawing
from openlumiere_world.scope import WORLD_32, Scope
from openlumiere_world.subjects import World

SUBJECTS = {
    "1f408": ("cat", (150, 0, 220)),
    "1f415": ("dog", (0, 200, 200)),
    "1f680": ("rocket", (240, 120, 0)),
    "2b50": ("star", (120, 70, 0)),
}
SOURCES = {"fluent-3d": "3d", "noto": "noto"}


def draw_subject(subject: str, source: str) -> Image.Image:
    """A disc in one style, a ring in the other; a white corner piece tells subjects apart too."""
    number, (_, colour) = list(SUBJECTS).index(subject), SUBJECTS[subject]
    image = Image.new("RGBA", (256, 256))
    pen = ImageDraw.Draw(image)
    pen.ellipse((30, 30, 226, 226), fill=colour)
    if source == "noto":
        pen.ellipse((80, 80, 176, 176), fill=(250, 250, 250))
    left, top = number % 2 * 128, number // 2 * 128
    pen.rectangle((left + 20, top + 20, left + 70, top + 70), fill=colour)
    return image


def write_world(folder: Path, pictures: dict[tuple[str, str], Image.Image]) -> Path:
    """A built world of one drawing a (source, subject), as a folder."""
    for part in ("shards", "rows", "originals"):
        (folder / part).mkdir()
    batch = Batch(
        name="stills-0000",
        jobs=tuple(
            make_job(*which, picture, folder / "originals") for which, picture in pictures.items()
        ),
    )
    render_batch(batch, folder)
    finish(folder, [batch], packages={})
    return folder


def make_job(source: str, subject: str, picture: Image.Image, folder: Path) -> Job:
    path = folder / f"{source}-{subject}.webp"
    picture.save(path, lossless=True)
    names = dict.fromkeys(("en", "it", "es", "fr", "de"), SUBJECTS[subject][0])
    concept = Concept(
        subject=subject, base=subject, group="objects", names=names, tags=(), formal=""
    )
    return Job(
        source=source,
        concept=concept,
        drawing=Drawing(form="webp", kind="still", path=str(path)),
        member=path.name,
        package="drawn by the test",
    )


@pytest.fixture(scope="session")
def world_of(tmp_path_factory):
    """`world_of({(source, subject): picture})`: a built world of these drawings."""
    return lambda pictures: World.open(write_world(tmp_path_factory.mktemp("world"), pictures))


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory) -> Path:
    pictures = {
        (source, subject): draw_subject(subject, source)
        for source in SOURCES
        for subject in SUBJECTS
    }
    return write_world(tmp_path_factory.mktemp("world"), pictures)


@pytest.fixture(scope="session")
def world(world_folder) -> World:
    return World.open(world_folder)


@pytest.fixture(scope="session")
def scope() -> Scope:
    return Scope(
        **vars(WORLD_32) | {"subjects": tuple(SUBJECTS), "styles": tuple(SOURCES.values())}
    )


@pytest.fixture(scope="session")
def judge(world, scope) -> Judge:
    torch.manual_seed(0)
    return train_judge(world, scope, JudgeConfig(steps=40, batch=32, learning_rate=4e-3))
