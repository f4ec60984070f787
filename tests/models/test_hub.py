"""A model by its name on the hub: read from the hub's cache without a network, and one line where
there is none.
"""

import pytest

from openlumiere import Lumiere
from openlumiere.apps.cli import main
from openlumiere.models.folder import ModelError
from openlumiere.models.hub import WORLD_32, locate, named_files

COMMIT = "0" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The hub's cache as it lies on a machine that has fetched `someone/clips` and has no network
    now.
    """
    model = tmp_path / "hub" / "models--someone--clips"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    (model / "snapshots").mkdir()
    (model / "snapshots" / COMMIT).symlink_to(WORLD_32, target_is_directory=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_model_of_the_hub_loads_from_its_cache():
    assert (
        Lumiere.from_pretrained("someone/clips").base.fingerprint()
        == Lumiere.from_pretrained("world-32").base.fingerprint()
    )


def test_model_that_was_never_fetched_ends_in_one_line(tmp_path, capsys):
    assert (
        main(["generate", "a dog", "-o", str(tmp_path / "dog.mp4"), "--model", "someone/else"]) == 2
    )
    told = capsys.readouterr().err
    assert told.startswith(
        "lumiere: model: expected a folder or a model of the hub, got someone/else"
    )
    assert told.count("\n") == 1


def test_folder_comes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "someone" / "clips").mkdir(parents=True)
    assert locate("someone/clips").is_dir()


@pytest.mark.parametrize(
    "name", ["../secrets", "someone", "a/b/c", "someone/../clips", "/nowhere/at all"]
)
def test_neither_a_folder_nor_a_name_of_the_hub(name):
    with pytest.raises(ModelError, match=f"expected a folder, .*, got '{name}', .*, check the"):
        locate(name)


def test_the_nearest_bundled_model_is_named():
    with pytest.raises(ModelError, match="perhaps you meant toys"):
        locate("tyos")


def test_error_is_a_users_mistake():
    assert issubclass(ModelError, ValueError)


def test_only_what_the_index_names_is_fetched(tmp_path):
    """Some published models keep tens of other weights beside."""
    index = tmp_path / "model_index.json"
    index.write_text('{"_class_name": "LTXPipeline", "vae": ["diffusers", "AutoencoderKL"]}')
    patterns = named_files(index)
    assert "vae/*.safetensors" in patterns and "*.json" in patterns
    assert "*.safetensors" not in patterns
