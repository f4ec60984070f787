"""The queue as a value on the disk: order, changes before the start, and what survives."""

import json
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest

from openlumiere.apps.queue import Queue
from openlumiere.apps.queue.claim import LeaseLost, claim, outputs_of, recover
from openlumiere.apps.queue.store import DATABASE
from openlumiere.media import Clip, save_image
from openlumiere.tasks import Generate


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "queue")


def task(prompt="a dog", **values):
    return {"kind": "generate", "prompt": prompt, **values}


def names(jobs):
    return [job.task.prompt for job in jobs]


def filled(queue, *prompts):
    return [queue.add(task(prompt)) for prompt in prompts]


def test_jobs_start_by_priority_then_in_order(queue):
    filled(queue, "a", "b")
    queue.add(task("c"), priority=1)
    assert names(queue.list()) == ["c", "a", "b"]
    started = [claim(queue, "cpu").job.task.prompt for _ in range(3)]
    assert started == ["c", "a", "b"] and claim(queue, "cpu") is None


def test_a_job_moves_among_those_that_wait(queue):
    a, b, c, d = filled(queue, "a", "b", "c", "d")
    queue.prioritise(b.id, 5)
    queue.move(d.id, 0)
    assert names(queue.list()) == ["d", "b", "a", "c"]
    queue.move(d.id, 2)
    assert names(queue.list()) == ["b", "a", "d", "c"] and queue.get(d.id).priority == 0
    queue.move(b.id, 99)
    assert names(queue.list()) == ["a", "d", "c", "b"]
    assert queue.add(task("e"), priority=5).id == queue.list()[0].id
    assert a.id != c.id


def test_a_job_is_changed_only_before_it_starts(queue):
    (job,) = filled(queue, "a")
    edited = queue.edit(job.id, task("b", seed=4), lossless=True)
    assert edited.task == Generate(prompt="b", seed=4) and edited.written.lossless
    assert edited.written.output == job.written.output
    claim(queue, "cpu")
    for change in (
        lambda: queue.edit(job.id, task("c")),
        lambda: queue.move(job.id, 0),
        lambda: queue.prioritise(job.id, 1),
        lambda: queue.pause(job.id),
        lambda: queue.retry(job.id),
    ):
        with pytest.raises(ValueError, match=r"expected a job that is .*, got one that is running"):
            change()


def test_a_duplicate_has_a_result_of_its_own(queue, tmp_path):
    job = queue.add(task("a"), output=str(tmp_path / "a.webm"), lossless=True)
    other = queue.duplicate(job.id)
    assert other.task == job.task and other.written.lossless
    assert other.written.output.endswith(f"{other.id}/clip.webm")


def test_paused_jobs_do_not_start(queue):
    a, _ = filled(queue, "a", "b")
    queue.pause(a.id)
    assert claim(queue, "cpu").job.task.prompt == "b"
    queue.resume(a.id)
    queue.pause()
    assert queue.paused and claim(queue, "cpu") is None
    queue.resume()
    assert claim(queue, "cpu").job.id == a.id


def test_a_job_that_waits_is_cancelled_at_once_and_may_wait_again(queue):
    (job,) = filled(queue, "a")
    assert queue.cancel(job.id).state == "cancelled" and claim(queue, "cpu") is None
    assert queue.cancel(job.id).state == "cancelled"
    assert queue.retry(job.id).state == "pending"


def test_the_same_key_is_the_same_job(queue, tmp_path):
    save_image(np.zeros((8, 8, 3), np.uint8), tmp_path / "a.png")
    asked = {"kind": "animate", "image": str(tmp_path / "a.png")}
    first = queue.add(asked, key="x")
    assert queue.add(asked, key="x").id == first.id
    with pytest.raises(ValueError, match="idempotency key: expected the request that 'x'"):
        queue.add(asked, key="x", lossless=True)
    save_image(np.ones((8, 8, 3), np.uint8), tmp_path / "a.png")
    with pytest.raises(ValueError, match="idempotency key"):
        queue.add(asked, key="x")
    assert len(queue.list()) == 1


def test_one_path_is_one_jobs(queue, tmp_path):
    job = queue.add(task("a"), output=str(tmp_path / "a.mp4"))
    with pytest.raises(ValueError, match=rf"output: expected a path .* of job {job.id}"):
        queue.add(task("b"), output=str(tmp_path / "a.mp4"))
    queue.cancel(job.id)
    queue.add(task("b"), output=str(tmp_path / "a.mp4"))
    with pytest.raises(ValueError, match="output: expected a path"):
        queue.retry(job.id)


def style(tmp_path):
    save_image(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.png")
    return {"kind": "learn-style", "images": [str(tmp_path / "a.png")], "name": "ink"}


def test_a_job_counts_the_pictures_beside_what_its_task_makes(queue, tmp_path):
    """A style has one picture beside it, `.preview.png`; a clip has `.sheet.png` and `.xt.png`."""
    job = queue.add(style(tmp_path), output=str(tmp_path / "ink.safetensors"), preview=True)
    ends = [path.removeprefix(str(tmp_path / "ink")) for path in outputs_of(job)]
    assert ends == [".safetensors", ".safetensors.preview.png"]
    clip = queue.add(task(), output=str(tmp_path / "a.mp4"), preview=True)
    ends = [path.removeprefix(str(tmp_path / "a")) for path in outputs_of(clip)]
    assert ends == [".mp4", ".mp4.sheet.png", ".mp4.xt.png"]
    assert len(outputs_of(queue.add(style(tmp_path)))) == 1


def test_lines_are_read_once(queue, tmp_path):
    filled(queue, "a", "b")
    queue.add(task("c"), priority=2, key="k", lossless=True)
    lines = list(queue.export())
    assert len(queue.import_lines(lines)) == 3 and len(queue.list()) == 3
    other = Queue(tmp_path / "other")
    other.import_lines(lines)
    other.import_lines(lines)
    assert [json.loads(line) for line in other.export()] == [json.loads(line) for line in lines]
    for broken in ('{"task": ', "[1]", '{"task": {"kind": "generate", "promt": "x"}}'):
        with pytest.raises(ValueError, match=r"line 1: .*: expected .*, got .*, "):
            other.import_lines([broken])


def test_content_in_memory_is_kept_pixel_by_pixel(queue):
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 4), dtype=np.uint8)
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3:6] = True
    job = queue.add({"kind": "inpaint", "clip": Clip(frames), "region": mask, "prompt": "a hat"})
    media = job.task.media()
    assert np.array_equal(Clip.load(media["clip"].path).frames, frames)
    white = Clip.load(media["region"].path).frames[0, ..., 0] > 127
    assert np.array_equal(white, mask)


def test_a_copy_outlives_its_file(queue, tmp_path):
    save_image(np.zeros((8, 8, 3), np.uint8), tmp_path / "a.png")
    asked = {"kind": "animate", "image": str(tmp_path / "a.png")}
    copied = queue.add(asked, copy=True).task.image
    (tmp_path / "a.png").unlink()
    assert Clip.load(copied.path).size == (8, 8) and copied.name == "a.png"
    with pytest.raises(ValueError, match="image: expected a file that can be read, got .*a.png"):
        queue.add(asked)


def test_a_lost_hold_changes_nothing(queue):
    (job,) = filled(queue, "a")
    lost = claim(queue, "cpu", lease=-1)
    assert [each.state for each in recover(queue, "cuda", 5)] == ["pending"]
    mine = claim(queue, "cuda")
    assert mine.job.attempts == 2
    for change in (
        lambda: lost.done(2),
        lost.cancelled,
        lost.given_back,
        lambda: lost.beat(1, 2, ""),
    ):
        with pytest.raises(LeaseLost):
            change()
    mine.done(2)
    assert queue.get(job.id).state == "done"


def test_a_job_that_kills_its_worker_fails_in_the_end(queue):
    (job,) = filled(queue, "a")
    for expected in ("pending", "pending", "failed"):
        claim(queue, "cpu")
        assert [each.state for each in recover(queue, "cpu", 3)] == [expected]
    assert "worker: expected to finish the job, got killed 3 times" in queue.get(job.id).error
    assert queue.retry(job.id).attempts == 0


def test_many_writers_lose_nothing(queue):
    """Four threads add, two take: each job is taken once."""
    taken = []

    def add(number):
        filled(queue, *(f"{number} {index}" for index in range(10)))

    def take():
        while len(taken) < 40:
            held = claim(queue, threading.current_thread().name)
            taken.extend([held.job.id] if held else [])

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    threads += [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40


@pytest.mark.parametrize("damage", ["no database", "torn page", "cut"])
def test_a_damaged_database_is_moved_aside_and_said(tmp_path, caplog, damage):
    queue = Queue(tmp_path)
    filled(queue, *(f"job {index}" for index in range(50)))
    queue.store.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    queue.store.close()
    file = tmp_path / DATABASE
    content = bytearray(file.read_bytes())
    if damage == "no database":
        content = b"not a database at all" * 1000
    elif damage == "torn page":
        content[4096 : 2 * 4096] = bytes(4096)
    else:
        content = content[: len(content) // 2]
    file.write_bytes(content)
    with caplog.at_level("WARNING", "openlumiere"):
        assert Queue(tmp_path).list() == []
    kept = sorted(each for each in tmp_path.iterdir() if ".damaged-" in each.name)
    assert content in [each.read_bytes() for each in kept]
    assert "queue: expected a whole database, got" in caplog.text and kept[0].name in caplog.text


def test_a_later_version_is_not_touched(tmp_path):
    Queue(tmp_path).store.close()
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ValueError, match="queue: expected a database of version 1, got version 99"):
        Queue(tmp_path)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="queue: expected a folder that can be written"):
        Queue(tmp_path / "file")


def test_the_queue_needs_no_torch():
    code = "import sys; from openlumiere.apps.queue import Queue; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
