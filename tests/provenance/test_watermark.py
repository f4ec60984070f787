"""Laws of the mark in the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from openlumiere.provenance.pattern import PUBLIC_KEY
from openlumiere.provenance.payload import Payload
from openlumiere.provenance.watermark import detect, embed

PAYLOAD = Payload(model=0xBEEF, clip=0x12345678)


@pytest.fixture(scope="module")
def flat() -> np.ndarray:
    """A square that crosses a plain ground, 16 frames of 256 x 256 pixels."""
    frames = np.full((16, 256, 256, 3), (90, 150, 80), np.uint8)
    for index, frame in enumerate(frames):
        frame[100:150, 20 + 10 * index : 70 + 10 * index] = (220, 60, 40)
    return frames


def test_a_mark_is_found_and_read(flat):
    found = detect(embed(flat, PAYLOAD))
    assert found.found and found.payload == PAYLOAD and found.intervals == ((0, 16),)
    assert detect(flat).p_value > 1e-3
