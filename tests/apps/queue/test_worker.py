"""The worker: it writes what the command writes, stops within a step, and a job fails alone."""

import json
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openlumiere.apps.cli import main
from openlumiere.apps.queue import Queue, Worker
from openlumiere.apps.queue.lock import device_lock
from openlumiere.media import Clip, save_image
from openlumiere.provenance.verify import verify

QUICK = {"sampling": {"steps": 2}, "length": {"frames": 4}, "size": 0}
DOG = {"kind": "generate", "prompt": "a dog", **QUICK}


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "queue")


class Watched:
    """The real model, with a look at each step before the worker sees it."""

    def __init__(self, lumiere, look):
        self.lumiere = lumiere
        self.look = look
        self.steps = 0

    def __getattr__(self, name):
        return getattr(self.lumiere, name)

    def run(self, task, on_step):
        def after(step):
            self.steps += 1
            self.look(step)
            on_step(step)

        return self.lumiere.run(task, after)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def without_manifest(file):
    """An mp4's boxes or a png's chunks but for the signed manifest; a statement but for its
    signature, which is drawn at random and is a few bytes shorter once in a hundred times.
    """
    content = file.read_bytes()
    if file.suffix == ".json":
        return {name: part for name, part in json.loads(content).items() if name != "signature"}
    if file.suffix == ".png":
        return [chunk for chunk in parts(content[8:], 12) if chunk[4:8] != b"caBX"]
    return [box for box in parts(content, 0) if box[4:8] != b"uuid"]


def parts(content, more):
    """Pieces that begin with their length, to which `more` bytes are added."""
    found = []
    while content:
        length = int.from_bytes(content[:4], "big") + more
        found.append(content[:length])
        content = content[length:]
    return found


def test_files_are_those_that_the_command_writes(queue, tiny, tiny_model, tmp_path, monkeypatch):
    """Byte by byte where the manifest lies beside; where it lies inside, all but the manifest,
    which holds times, random numbers and a signature, and is as long.
    """
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    save_image(image, tmp_path / "cat.png")
    words = ["--steps", "2", "--frames", "4", "--size", "16"]
    asked = {
        "dog.webm": ["generate", "a dog", *words, "--lossless"],
        "dog/": ["generate", "a dog", *words, "--seed", "3"],
        "cat.mp4": ["animate", "cat.png", "it jumps", *words, "--preview"],
    }
    for name in ("command", "worker"):
        (tmp_path / name).mkdir()
    for output, verb in asked.items():
        assert (
            main([*verb, "-o", f"command/{output}", "--model", str(tiny_model), "--dtype=float32"])
            == 0
        )
        added = main(["queue", "add", *verb, "-o", f"worker/{output}", "--folder", "queue"])
        assert added == 0
    jobs = Worker(queue, tiny).run()
    assert [job.state for job in jobs] == ["done"] * 3
    made = files(tmp_path / "command")
    assert files(tmp_path / "worker") == made and len(made) == 16
    for name in made:
        one, other = tmp_path / "command" / name, tmp_path / "worker" / name
        if name.endswith("provenance.json"):
            assert without_manifest(one) == without_manifest(other), name
        elif name.endswith((".mp4", "sheet.png", "xt.png")):
            assert one.stat().st_size == other.stat().st_size
            assert without_manifest(one) == without_manifest(other), name
        else:
            assert one.read_bytes() == other.read_bytes(), name
    assert Clip.load("worker/cat.mp4") == Clip.load("command/cat.mp4")
    assert verify(Path("worker/cat.mp4")).verdict == verify(Path("command/cat.mp4")).verdict


def test_steps_and_previews_are_seen_while_it_samples(queue, tiny, monkeypatch):
    monkeypatch.setattr("openlumiere.apps.queue.preview.FIRST", 0)
    job = queue.add({**DOG, "sampling": {"steps": 30}, "length": {"frames": 20}})
    seen = []

    def look(step):
        time.sleep(0.01)
        seen.append(queue.get(job.id))

    Worker(queue, Watched(tiny, look)).run()
    steps = [each.step for each in seen]
    assert steps == sorted(steps) and steps[-1] > 5 and {each.state for each in seen} == {"running"}
    done = queue.get(job.id)
    assert (done.step, done.total, done.state) == (30, 30, "done")
    shown = Clip.load(done.preview)
    assert len(shown) == 16 and shown.size == (16, 16)
    assert verify(Path(done.preview)).manifest.state != "none"


@pytest.mark.parametrize("moment", [0, 7, 19])
def test_a_cancelled_job_stops_within_a_step(queue, tiny, moment):
    job = queue.add({**DOG, "sampling": {"steps": 20}})
    model = Watched(tiny, lambda step: step.index == moment and queue.cancel(job.id))
    (ended,) = Worker(queue, model, previews=False).run()
    assert (ended.state, model.steps) == ("cancelled", moment + 1)
    assert files(queue.folder / "results") == []


def test_what_has_no_steps_is_cancelled_too(queue, tiny, tmp_path):
    """Learning a style of 100,000 steps, in the main thread as `lumiere queue run` has it."""
    save_image(np.zeros((16, 16, 3), np.uint8), tmp_path / "a.png")
    asked = {"kind": "learn-style", "images": [str(tmp_path / "a.png")], "name": "ink"}
    job = queue.add({**asked, "learning": {"steps": 100_000}})
    threading.Timer(1.0, lambda: Queue(queue.folder).cancel(job.id)).start()
    (ended,) = Worker(queue, tiny).run()
    assert ended.state == "cancelled" and ended.finished - ended.started < 10


def test_a_worker_that_is_stopped_gives_its_job_back(queue, tiny):
    job = queue.add({**DOG, "sampling": {"steps": 20}})
    worker = Worker(queue, Watched(tiny, lambda step: worker.stop()), previews=False)
    assert worker.run() == []
    found = queue.get(job.id)
    assert (found.state, found.attempts, worker.lumiere.steps) == ("pending", 0, 1)
    assert [each.state for each in Worker(queue, tiny).run()] == ["done"]


@pytest.mark.parametrize("trouble", ["vanished", "changed", "no picture", "a bug"])
def test_a_job_fails_alone_and_says_why(queue, tiny, tmp_path, trouble):
    save_image(np.zeros((16, 16, 3), np.uint8), tmp_path / "a.png")
    if trouble == "no picture":
        (tmp_path / "a.png").write_text("a letter")
    bad = queue.add({"kind": "animate", "image": str(tmp_path / "a.png"), **QUICK})
    good = queue.add(DOG)
    if trouble == "vanished":
        (tmp_path / "a.png").unlink()
    elif trouble == "changed":
        save_image(np.ones((16, 16, 3), np.uint8), tmp_path / "a.png")
    model = tiny if trouble != "a bug" else Watched(tiny, fails_once())
    states = {job.id: job for job in Worker(queue, model).run()}
    assert (states[bad.id].state, states[good.id].state) == ("failed", "done")
    line = states[bad.id].error
    assert "expected" in line and "got" in line and line.isprintable()
    assert queue.retry(bad.id).error == ""


def fails_once():
    """A step that raises what nobody expects, the first time."""
    calls = iter(["fail"])

    def look(step):
        if next(calls, None):
            raise RuntimeError("a bug\nof two lines")

    return look


def test_a_full_disk_fails_that_job_alone(queue, tiny, small_disk, tmp_path):
    full = queue.add({**DOG, "length": {"frames": 80}}, output=f"{small_disk}/a/", lossless=True)
    good = queue.add(DOG, output=str(tmp_path / "b.webm"))
    (small_disk / "filler").write_bytes(bytes(90_000))
    states = {job.id: job for job in Worker(queue, tiny).run()}
    assert (states[full.id].state, states[good.id].state) == ("failed", "done")
    assert "free some space" in states[full.id].error
    assert files(small_disk) == ["filler"]
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    queue.retry(full.id)
    assert [job.state for job in Worker(queue, tiny).run()] == ["done"]


def test_one_worker_a_device(queue, tiny):
    for prompt in ("a", "b"):
        queue.add({**DOG, "prompt": prompt})
    refused = []

    def look(step):
        if not refused:
            with pytest.raises(ValueError, match=r"worker: expected a device that no other") as why:
                Worker(queue, tiny).run()
            refused.append(str(why.value))
            (other,) = Worker(Queue(queue.folder), tiny, device="cpu:1").run()
            assert other.task.prompt == "b"

    (mine,) = Worker(queue, Watched(tiny, look)).run()
    assert mine.task.prompt == "a" and refused


def test_a_worker_that_slept_too_long_writes_nothing(queue, tiny, monkeypatch):
    """Its job was given to another one: the other's result stands."""
    monkeypatch.setattr("openlumiere.apps.queue.worker.BEAT", 60)  # asleep, it renews nothing
    job = queue.add(DOG)
    results = []

    def look(step):
        if not results:
            time.sleep(0.3)
            with queue.store.writing() as connection:
                connection.execute("UPDATE jobs SET lease = 0")
            (other,) = Worker(Queue(queue.folder), tiny, device="cpu:1").run()
            results.append(Path(other.results[0]).stat().st_ino)

    assert Worker(queue, Watched(tiny, look)).run() != []
    found = queue.get(job.id)
    assert found.device == "cpu:1" and Path(found.results[0]).stat().st_ino == results[0]


def test_old_results_are_pruned_by_the_rule(queue, tiny, tmp_path):
    kept = queue.add(DOG, output=str(tmp_path / "mine.webm"))
    old, young = queue.add(DOG), queue.add(DOG)
    Worker(queue, tiny).run()
    with queue.store.writing() as connection:
        connection.execute("UPDATE jobs SET finished = 1 WHERE id != ?", (young.id,))
    assert {job.id for job in queue.prune(30, dry_run=True)} == {kept.id, old.id}
    assert Path(queue.get(old.id).results[0]).exists()
    assert {job.id for job in queue.prune(30)} == {kept.id, old.id}
    assert queue.prune(30) == []
    assert queue.get(old.id).results == () and queue.get(old.id).pruned
    assert not (queue.folder / "results" / old.id).exists()
    assert Path(queue.get(kept.id).results[0]).exists()
    assert Path(queue.get(young.id).results[0]).exists()


def test_a_result_keeps_the_history_of_its_inputs(queue, tiny):
    """A clip of ours that is edited: the manifest names it."""
    clip = tiny.generate("a dog", steps=1, frames=4, size=0)
    job = queue.add({"kind": "restyle", "clip": clip, "prompt": "a cat", "sampling": {"steps": 2}})
    (done,) = Worker(queue, tiny).run()
    assert done.error == "" and done.id == job.id
    direct = tiny.restyle(replace(clip, origin=None), "a cat", steps=2)
    assert Clip.load(done.results[0]).frames.shape == direct.frames.shape


def test_a_worker_that_waits_for_the_device_ends_when_it_is_stopped(queue, tiny):
    with device_lock(queue.folder, "cpu"):
        waiting = Worker(queue, tiny, device="cpu")
        thread = threading.Thread(target=waiting.run, kwargs={"follow": True, "wait": True})
        thread.start()
        waiting.stop()
        thread.join(10)
        assert not thread.is_alive()
