"""Distilled weights in a model's folder, and clips by them."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nets import small_fast
from openlumiere import Lumiere
from openlumiere.contract import SparseFirst
from openlumiere.models.fast import FILE, read_fast
from openlumiere.models.folder import ModelError, write_checksums
from openlumiere.models.hub import WORLD_32
from openlumiere.models.style import NOTE
from openlumiere.tasks import Generate

ASKED = {"frames": 4, "size": 0, "seed": 2, "fast": True}


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    """The tiny model with distilled weights."""
    made = tmp_path_factory.mktemp("distilled") / "tiny"
    shutil.copytree(tiny_model, made)
    small_fast().save(made / FILE)
    write_checksums(made)
    return made


def test_what_is_read_is_what_was_saved(folder):
    saved, read = small_fast(), read_fast(folder)
    assert read.shift == saved.shift
    for layer, low in saved.factors.low_rank.items():
        torch.testing.assert_close(
            read.factors.low_rank[layer].change, low.change, rtol=0.01, atol=0.02
        )


def test_a_model_without_them_refuses_in_one_line(tiny):
    assert tiny.fast is None
    with pytest.raises(ValueError, match=r"^fast: expected a model that was distilled .* got "):
        tiny.generate("a fox", **ASKED)


def test_a_clip_is_another_and_replays_bit_for_bit(folder):
    lumiere = Lumiere.from_pretrained(folder)
    clip = lumiere.generate("a fox", **ASKED)
    record = clip.origin.record
    assert record.task.sampling.steps == 4 and record.model != lumiere.fingerprint
    assert np.array_equal(lumiere.replay(record).frames, clip.frames)
    slow = lumiere.generate("a fox", **ASKED | {"fast": False, "steps": 4, "guidance": 1.0})
    assert slow.origin.record.model == lumiere.fingerprint
    assert not np.array_equal(slow.frames, clip.frames)


def test_several_at_once_are_as_one_by_one(folder):
    lumiere = Lumiere.from_pretrained(folder)
    tasks = [Generate(prompt=prompt, **ASKED) for prompt in ("a fox", "a dog")]
    for together, task in zip(lumiere.run_many(tasks), tasks, strict=True):
        alone = lumiere.run(task).frames
        assert np.abs(together.frames.astype(int) - alone).max() <= 2


def test_replay_by_a_model_without_them_is_refused(folder, tiny):
    record = Lumiere.from_pretrained(folder).generate("a fox", **ASKED).origin.record
    with pytest.raises(ValueError, match="replay: expected the model"):
        tiny.replay(record)


def test_few_steps_keep_the_path_that_they_were_distilled_for(tiny, tmp_path):
    path = SparseFirst(spacing=3, until=400)
    small_fast(path=path).save(tmp_path / FILE)
    read = read_fast(tmp_path)
    before = tiny.base.backbone.sparse
    assert read.path == path != before
    assert tiny.base.hastened(read).backbone.sparse == path
    assert tiny.base.hastened(small_fast()).backbone.sparse == tiny.base.backbone.sparse == before


@pytest.mark.parametrize(
    ("note", "named"),
    [
        ("", "shift"),
        ("[]", "shift"),
        ('{"shift": "much"}', "shift"),
        ('{"shift": 4, "path_spacing": 0, "path_until": 600}', "path_spacing"),
        ('{"shift": 4, "path_spacing": 5}', "path_until"),
    ],
)
def test_a_file_without_its_levels_is_refused(tmp_path, note, named):
    factors = {"a.lora_A.weight": torch.ones(1, 2), "a.lora_B.weight": torch.ones(2, 1)}
    save_file(factors, tmp_path / FILE, metadata={NOTE: note})
    with pytest.raises(ModelError, match=f"a {named} above 0"):
        read_fast(tmp_path)


def test_a_broken_file_is_refused(tmp_path):
    (tmp_path / FILE).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=FILE):
        read_fast(tmp_path)


def test_the_default_model_has_none():
    assert read_fast(WORLD_32) is None
