"""`lumiere train codec` on a small packed cache."""

import json

import numpy as np
import pytest
import torch

from openlumiere.apps.cli import main
from openlumiere.models.autoencoder import StickerAutoencoder


@pytest.fixture
def cache(tmp_path):
    """Seventy drawings and forty photographs of noise."""
    draw = np.random.default_rng(0)
    alpha = draw.integers(0, 256, (70, 8, 8, 1), dtype=np.uint8)
    drawings = np.concatenate([alpha // 2, alpha // 3, alpha, alpha], 3)
    photographs = draw.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    folder = tmp_path / "cache"
    folder.mkdir()
    np.save(folder / "drawings.npy", drawings.repeat(16, 1).repeat(16, 2))
    np.save(folder / "photographs.npy", photographs.repeat(18, 1).repeat(18, 2))
    return folder


def test_the_command_trains_a_codec_and_goes_on_from_it(cache, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["train", "codec", "--preset", "tiny", "--cache", str(cache), "--run", str(run)]
    assert main([*words, "--threads", "1", "--max-steps", "2"]) == 0
    assert "step 2" in capsys.readouterr().out
    net = StickerAutoencoder.from_pretrained(run / "codec")
    assert tuple(net.config.widths) == (8, 16, 16)
    config = json.loads((run / "config.json").read_text())
    assert config["stage"] == "codec" and config["loop"]["batch"] == 2
    other = tmp_path / "other"
    more = [*words[:-1], str(other), "--start", str(run), "--max-steps", "0", "--export"]
    assert main([*more, str(tmp_path / "out")]) == 0
    released = StickerAutoencoder.from_pretrained(tmp_path / "out", torch_dtype=torch.float16)
    expected = net.state_dict()
    assert all(torch.equal(v, expected[n].half()) for n, v in released.state_dict().items())


def test_a_cache_that_is_not_packed_is_one_line(tmp_path, capsys):
    words = ["train", "codec", "--run", str(tmp_path / "run")]
    for more in ([], ["--cache", str(tmp_path)]):
        assert main([*words, *more]) == 2
        assert "cache: expected a packed world of toys" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
