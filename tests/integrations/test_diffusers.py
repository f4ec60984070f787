"""diffusers opens our folders by a custom pipeline and a custom component from local files, and the
hub is sent what opens again.
"""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from huggingface_hub import ModelCard

from openlumiere import Lumiere
from openlumiere.engine import card

FOLDER = Path(__file__).parents[2] / "integrations/diffusers"
ASKED = {"num_frames": 4, "num_inference_steps": 2, "seeds": 3}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """diffusers copies the code of custom parts before it imports it."""
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path))


def opened(folder):
    return DiffusionPipeline.from_pretrained(
        folder, custom_pipeline=str(FOLDER / "lumiere_pipeline.py"), trust_remote_code=True
    )


def with_component(folder):
    """The net through a file of the folder."""
    shutil.copy(FOLDER / "space_time_unet.py", folder / "stunet")
    index = json.loads((folder / "model_index.json").read_text())
    index["stunet"] = ["space_time_unet", "STUNet"]
    (folder / "model_index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("change", [lambda folder: None, with_component], ids=["plain", "net"])
def test_diffusers_opens_a_folder_of_ours(tiny_model, tiny, tmp_path, change):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    change(folder)
    pipeline = opened(folder)
    assert np.array_equal(
        pipeline("a red cat", **ASKED).frames, tiny.base("a red cat", **ASKED).frames
    )


def test_openlumiere_itself_opens_no_folder_with_code(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    with_component(folder)
    with pytest.raises(ValueError, match="model: expected safetensors and JSON only"):
        Lumiere.from_pretrained(folder)


def test_the_hub_is_sent_a_folder_that_opens_with_a_card(tiny, tmp_path, monkeypatch):
    """Only the two calls over the network are replaced."""
    asked = {}

    def create_repo(name, **options):
        asked.update(options)
        return SimpleNamespace(repo_id=f"maker/{name}")

    def upload_folder(*, repo_id, folder_path, token):
        shutil.copytree(folder_path, tmp_path / repo_id)
        return f"commit of {repo_id}"

    monkeypatch.setattr(card, "create_repo", create_repo)
    monkeypatch.setattr(card, "upload_folder", upload_folder)
    assert tiny.base.push_to_hub("small", private=True) == "commit of maker/small"
    assert asked == {"private": True, "token": None, "exist_ok": True}
    sent = ModelCard.load(tmp_path / "maker/small/README.md")
    assert sent.data.library_name == "openlumiere" and "--model maker/small" in sent.text
    assert f"| stunet | `STUNet` | {tiny.base.stunet.num_parameters():,} |" in sent.text
    again = Lumiere.from_pretrained(tmp_path / "maker/small")
    for one, other in zip(
        again.base.stunet.parameters(), tiny.base.stunet.parameters(), strict=True
    ):
        assert torch.equal(one, other)
