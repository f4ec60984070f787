"""The nodes as ComfyUI loads and calls them: the package by its path, a node's function by its
name, inputs by theirs, outputs by type.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parents[2] / "integrations/comfyui"
SAMPLED = {"seed": 3, "steps": 2, "guidance": 2.0, "negative": ""}
TYPES = {"IMAGE": torch.Tensor, "MASK": torch.Tensor, "FLOAT": float}


@pytest.fixture(scope="module")
def nodes():
    spec = importlib.util.spec_from_file_location(
        "comfy_openlumiere", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module.NODE_CLASS_MAPPINGS
    sys.modules.pop(spec.name)


def call(node, **given):
    """A node's outputs; every input that it requires is there, none that it doesn't know."""
    inputs = node.INPUT_TYPES()
    assert set(inputs["required"]) <= set(given)
    assert set(given) <= set(inputs["required"]) | set(inputs.get("optional", ()))
    made = getattr(node(), node.FUNCTION)(**given)
    assert len(made) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    for kind, value in zip(node.RETURN_TYPES, made, strict=True):
        assert isinstance(value, TYPES.get(kind, object))
    return made


@pytest.fixture(scope="module")
def lumiere(nodes, tiny_model):
    (made,) = call(nodes["LumiereLoad"], model=str(tiny_model), device="cpu", dtype="float32")
    return made


@pytest.fixture(scope="module")
def generated(nodes, lumiere):
    return call(nodes["LumiereGenerate"], lumiere=lumiere, prompt="a red cat", frames=4, **SAMPLED)


def check_pictures(images, mask):
    assert images.ndim == 4 and images.shape[-1] == 3 and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert mask.shape == images.shape[:3] and mask.min() >= 0 and mask.max() <= 1


def test_a_clip_comes_out_as_pictures_that_are_marked(generated, lumiere):
    images, mask, fps = generated
    check_pictures(images, mask)
    exact = lumiere.generate("a red cat", frames=4, size=0, **SAMPLED)
    shown = (images.numpy() * 255).round().astype(np.uint8)
    assert len(images) == 4 and fps == 16.0
    assert np.array_equal(shown, exact.origin.seal(exact.frames)[..., :3])
    assert not np.array_equal(shown, exact.frames[..., :3])


def test_inpainting_makes_the_white_of_the_mask_anew(nodes, lumiere, generated):
    images, _, fps = generated
    mask = torch.zeros(1, *images.shape[1:3])
    mask[:, :, : mask.shape[2] // 2] = 1
    made = call(
        nodes["LumiereInpaint"],
        lumiere=lumiere,
        images=images,
        mask=mask,
        prompt="a dog",
        fps=fps,
        **SAMPLED,
    )
    check_pictures(*made[:2])
    moved = (made[0] - images).abs().amax((0, 3))
    half = mask.shape[2] // 2
    assert moved[:, half:].max() <= 5.5 / 255  # the mark alone
    assert moved[:, :half].max() > 10 / 255


def test_restyling_by_nothing_gives_the_clip_back(nodes, lumiere, generated):
    images, _, _ = generated
    given = {"lumiere": lumiere, "images": images, "prompt": "a drawing", "fps": 12.5, **SAMPLED}
    same, _, fps = call(nodes["LumiereRestyle"], strength=0.0, **given)
    other, mask, _ = call(nodes["LumiereRestyle"], strength=1.0, **given)
    check_pictures(other, mask)
    assert fps == 12.5 and (same - images).abs().max() <= 5.5 / 255
    assert (other - images).abs().max() > 10 / 255


def test_what_cannot_be_opened_is_one_line(nodes, tmp_path):
    with pytest.raises(ValueError, match="model: expected") as raised:
        call(nodes["LumiereLoad"], model=str(tmp_path), device="cpu", dtype="float32")
    assert "\n" not in str(raised.value)
