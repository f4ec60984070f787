"""The bundled preview of the second model: opened by its name, transparent, replayed."""

import torch

from openlumiere import Lumiere
from openlumiere.models.hub import BUNDLED, locate


def test_toys_makes_a_transparent_clip(tmp_path, monkeypatch):
    lumiere = Lumiere.from_pretrained("toys")
    assert "fox" in lumiere.knows.subjects and len(lumiere.knows.subjects) == 250
    clip = lumiere.generate(
        "a fox on a transparent background in 3D style", seed=7, steps=4, frames=2, size=0
    )
    assert clip.frames.shape == (2, 128, 128, 4)
    alpha = torch.from_numpy(clip.frames[..., 3]).float() / 255
    assert alpha[:, :8, :8].mean() < 0.05  # a corner
    assert alpha[:, 40:88, 40:88].mean() > 0.5  # the middle
    assert lumiere.replay(clip.origin.record) == clip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toys").mkdir()  # a folder of that name comes first
    assert locate("toys") == (tmp_path / "toys").relative_to(tmp_path) != BUNDLED["toys"]
