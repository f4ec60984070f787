"""Records that 0.1.0 wrote (`sidecars/`, by its own code) make the same clips again."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from openlumiere import Clip, Lumiere
from openlumiere.engine.finish import read_sidecar
from openlumiere.models.lora import LowRank
from openlumiere.models.style import Style

SIDECARS = sorted((Path(__file__).parent / "sidecars").glob("*.json"))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def plain_style(net):
    """What was mixed into the restyled clip."""
    shape = net.conv_in.weight.shape
    down = torch.full((1, *shape[1:]), 0.01)
    up = torch.full((shape[0], 1, 1, 1), 0.01)
    return Style("plain", {"conv_in": LowRank(down, up, 1.0)}, {}, None)


@pytest.fixture(scope="module")
def lumiere():
    return Lumiere.from_pretrained("world-32")


@pytest.mark.parametrize("path", SIDECARS, ids=lambda path: path.stem)
def test_a_record_of_the_first_release_makes_its_clip_again(lumiere, tmp_path, path):
    kept = json.loads(path.read_text())
    (tmp_path / "made.webp.json").write_text(json.dumps(kept["written"]))
    record = read_sidecar(tmp_path / "made.webp")
    assert record.task.kind == path.stem == kept["written"]["replay"]["task"]
    given = {
        "clip": Clip(noise(3, 18, 30, 3)),
        "picture": noise(18, 30, 3),
        "frame 0": noise(18, 30, 3),
        "frame 3": noise(18, 30, 3, seed=1),
        "region": np.eye(18, 30) > 0,
        "style 0": plain_style(lumiere.base.stunet.unet2d),
    }
    roles = {each["role"] for each in kept["written"]["replay"]["inputs"]}
    made = lumiere.replay(record, inputs={role: given[role] for role in roles})
    assert sha256(made.frames.tobytes()).hexdigest() == kept["frames_sha256"]
