"""Signed files of the formats that came with alpha: the signature holds and the pixels stay."""

import numpy as np
import pytest

from openlumiere.engine.finish import ReportProvenance
from openlumiere.media import Clip
from openlumiere.provenance.verify import read_manifest


@pytest.mark.parametrize("suffix", [".apng", ".mov", ".webp"])
def test_signed_files_with_alpha(tmp_path, suffix):
    frames = np.random.default_rng(1).integers(60, 190, (3, 32, 32, 4), dtype=np.uint8)
    frames[..., 3] = 255
    frames[:, :10, :, 3] = 0
    origin = ReportProvenance(command="lumiere evaluate", model="0" * 64)
    path = Clip(frames, origin=origin).save(tmp_path / f"a{suffix}", lossless=True)
    assert read_manifest(path).state not in ("none", "invalid")
    loaded = Clip.load(path)
    assert np.array_equal(loaded.frames[..., 3], frames[..., 3])
    assert (np.abs(loaded.frames[:, 10:].astype(int) - frames[:, 10:]) <= 5).all()
