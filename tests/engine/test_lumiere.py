import json
import resource
from fractions import Fraction

import numpy as np
import pytest
import torch

from openlumiere import Clip, Lumiere
from openlumiere.diffusion.process import SCHEDULERS
from openlumiere.engine.finish import Provenance, read_sidecar
from openlumiere.engine.fit import enlarge
from openlumiere.tasks import Generate, Upscale, read_record

PROMPT = "a dog moves right on a green background"


def test_a_clip_has_what_was_asked_for(tiny):
    clip = tiny.generate(PROMPT, frames=7, fps="30000/1001", steps=2, size=33)
    assert clip.frames.shape == (7, 33, 33, 3) and clip.fps == Fraction(30000, 1001)
    assert tiny.generate(PROMPT, seconds=0.5, fps=8, steps=1, size=0).frames.shape == (4, 16, 16, 3)


@pytest.mark.parametrize("frames", [1, 79, 81])
def test_odd_lengths(tiny, frames):
    assert len(tiny.generate(PROMPT, frames=frames, steps=1, size=0)) == frames


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_replays_to_the_bit(tiny, scheduler, tmp_path):
    """From the sidecar alone, by a model loaded anew under another number of threads, after other
    schedulers were used.
    """
    clip = tiny.generate(
        PROMPT,
        seed=2**62 + 5,
        negative="a cat",
        frames=8,
        steps=3,
        guidance=2.5,
        size=24,
        scheduler=scheduler,
    )
    clip.save(tmp_path / "clip.webp", lossless=True)
    tiny.generate("another", frames=1, steps=2, size=0, scheduler="heun")
    assert tiny.replay(read_sidecar(tmp_path / "clip.webp")) == clip
    assert np.array_equal(Clip.load(tmp_path / "clip.webp").frames, clip.origin.seal(clip.frames))
    assert clip.frames.std() > 1


def test_a_model_loaded_anew_replays_to_the_bit(tiny, tiny_model, tmp_path):
    clip = tiny.generate(PROMPT, seed=7, frames=9, steps=2, size=0)
    clip.save(str(tmp_path / "frames") + "/")
    torch.set_num_threads(2)
    try:
        again = Lumiere.from_pretrained(tiny_model).replay(read_sidecar(tmp_path / "frames"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert again == clip


def test_pictures_replay_too(tiny, tmp_path):
    picture = tiny.generate_image(PROMPT, seed=3, steps=2, size=20)
    assert picture.frames.shape == (1, 20, 20, 3)
    picture.save(tmp_path / "dog.png")
    assert tiny.replay(read_sidecar(tmp_path / "dog.png.json")) == picture


def test_the_sidecar_tells_all(tiny, tmp_path):
    tiny.generate("🐶 كلب", seed=4, frames=2, steps=1, size=0).save(tmp_path / "clip.gif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.gif", "clip.gif.json"]
    written = json.loads((tmp_path / "clip.gif.json").read_text(encoding="utf-8"))
    record = written["replay"]
    assert record["task"]["prompt"] == "🐶 كلب"
    assert record["task"]["sampling"]["seed"] == 4
    assert record["model"] == tiny.base.fingerprint()
    assert record["machine"] == {"dtype": "float32", "device": "cpu", "threads": 1}
    assert torch.__version__.startswith(
        written["versions"]["torch"]
    )  # a wheel may add its build, as in +cu130, to torch alone


def test_clip_and_record_are_written_together_or_not_at_all(tiny, tmp_path):
    """A limit on the size of files stands for a full disk: there is room for the clip, but not for
    the record of a long prompt.
    """
    path = tmp_path / "clip.webp"
    tiny.generate(PROMPT, frames=1, steps=1, size=0).save(path)
    older = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    newer = tiny.generate("猫" * 1999, seed=1, frames=1, steps=1, size=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(older["clip.webp"]) + 100, hard))
    try:
        with pytest.raises(ValueError, match="expected room and leave to write"):
            newer.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == older


def test_another_models_record_is_refused(tiny, build_tiny):
    record = tiny.generate(PROMPT, frames=1, steps=1, size=0).origin.record
    with pytest.raises(
        ValueError,
        match="replay: expected the model .*, got .*, load the one that made the clip, as float32",
    ):
        Lumiere(build_tiny(seed=1)).replay(record)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"replay": 3}', '{"replay": {"prompt": "a dog"}}', "hostile"]
)
def test_broken_sidecars_are_refused(tiny, tmp_path, content):
    if content == "hostile":
        made = tiny.generate(PROMPT, frames=1, steps=1, size=0)
        record = made.origin.record.model_dump(mode="json")
        record["task"]["length"]["frames"] = 10**9
        content = json.dumps({"replay": record})
    (tmp_path / "clip.mp4.json").write_text(content)
    with pytest.raises(
        ValueError, match="replay record: expected .*, got .*, name a clip that has one"
    ):
        read_sidecar(tmp_path / "clip.mp4")


def test_a_record_is_checked_like_a_task(tiny):
    record = tiny.generate(PROMPT, frames=1, steps=1, size=0).origin.record
    written = record.model_dump(mode="json")
    assert read_record(written) == record
    written["machine"]["threads"] = 0
    with pytest.raises(ValueError, match="threads: expected"):
        read_record(written)
    written["task"]["sampling"]["steps"] = 0
    with pytest.raises(ValueError, match="steps: expected"):
        read_record(written)


def test_loaded_and_saved_clips_have_no_sidecar(tiny, tmp_path):
    tiny.generate(PROMPT, frames=2, steps=1, size=0).save(tmp_path / "made.webp")
    Clip.load(tmp_path / "made.webp").save(tmp_path / "copied.webp")
    assert not (tmp_path / "copied.webp.json").exists()


def test_same_file_twice_before_signing(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Provenance, "sign", lambda self, path: None)
    for name in ("one.mp4", "two.mp4"):
        tiny.generate(PROMPT, seed=7, frames=4, steps=1, size=32).save(tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_enlarging():
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    assert enlarge(frames, 4, 4) is frames
    flat = np.full((2, 4, 4, 3), 77, np.uint8)
    assert np.array_equal(enlarge(flat, 9, 8), np.full((2, 8, 9, 3), 77))


def test_many_tasks_in_batches_replay_to_the_bit(tiny, tmp_path):
    """Those alike but for prompt and seed; the record says how many were denoised at once."""
    asked = [
        Generate(prompt=prompt, seed=seed, frames=6, steps=2, size=0, guidance=2.0)
        for seed, prompt in enumerate(
            ["a red dog", "a red cat", "a red car", "a red sun and a star"]
        )
    ]
    other = Generate(prompt="a red dog", frames=4, steps=2, size=0)
    steps = []
    made = tiny.run_many([*asked, other], steps.append, batch=2)
    assert [clip.origin.record.machine.batch for clip in made] == [2, 2, 1, 1, 1]
    assert len(steps) == 2 * 4
    for clip, task in zip(made, [*asked, other]):
        alone = tiny.run(task).frames.astype(int)
        assert clip.frames.shape == alone.shape and np.abs(alone - clip.frames).max() <= 1
        assert tiny.replay(clip.origin.record) == clip


def test_many_tasks_are_checked_before_the_first_runs(tiny):
    steps = []
    with pytest.raises(ValueError, match="expected"):
        tiny.run_many(
            [Generate(prompt="a dog", frames=2, steps=1), Upscale(clip="missing.mp4")], steps.append
        )
    with pytest.raises(ValueError, match="batch: expected 1 or more, got 0"):
        tiny.run_many([], batch=0)
    assert not steps
