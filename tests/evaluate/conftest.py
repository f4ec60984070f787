"""Eight sprites drawn here, packed as the real ones are."""

import tarfile
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from openlumiere.data.world.slice import SUBJECTS, load_sprites
from openlumiere.evaluate.reading import draw_templates

SIDE = 64


def draw_sprite(index: int) -> Image.Image:
    """A disc with a corner piece: both colours and the corner tell the subjects apart."""
    fills = ["#7f00ff", "#00c0c0", "#ff7f00", "#7f3f00", "#ff00c0", "#008060", "#808080", "#a0ff40"]
    image = Image.new("RGBA", (256, 256))
    pen = ImageDraw.Draw(image)
    pen.ellipse((30, 30, 226, 226), fill=fills[index])
    left, top = (index % 2) * 128, (index // 2 % 2) * 128
    pen.rectangle((left + 10, top + 10, left + 118, top + 118), fill=fills[(index + 3) % 8])
    return image


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("package") / "sprites.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for index, name in enumerate(SUBJECTS):
            data = BytesIO()
            draw_sprite(index).save(data, "WEBP", lossless=True)
            info = tarfile.TarInfo(f"package/assets/{name}.webp")
            info.size = len(data.getvalue())
            tar.addfile(info, BytesIO(data.getvalue()))
    return path


@pytest.fixture(scope="session")
def sprites(package) -> torch.Tensor:
    return load_sprites(package)


@pytest.fixture(scope="session")
def templates(sprites):
    return draw_templates(sprites, SIDE)
