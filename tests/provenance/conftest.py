import numpy as np
import pytest

from openlumiere.engine.finish import Provenance
from openlumiere.media import Clip
from openlumiere.tasks import Generate, Machine, Record


def moving(count=8, side=192, phase=0):
    """Smooth frames [f, side, side, 3] that move."""
    y, x = np.mgrid[:side, :side]
    waves = [
        np.stack([128 + 60 * np.sin(x / 17 + k / 5 + phase), 40 + y / 2, 200 - 0.4 * x + k], -1)
        for k in range(count)
    ]
    return np.stack(waves).astype(np.uint8)


@pytest.fixture
def pictures():
    """`pictures(count=8, side=192, phase=0)`: smooth frames that move."""
    return moving


@pytest.fixture
def made():
    """`made(prompt)`: a clip as a pipeline makes it."""

    def make(prompt="a dog", **content):
        return Clip(
            moving(**content),
            origin=Provenance(
                Record(
                    task=Generate(prompt=prompt),
                    model="ab" * 32,
                    machine=Machine(dtype="float32", device="cpu", threads=1),
                )
            ),
        )

    return make
