"""The head and a replica without Ray between them: what travels is pickled, as Ray does."""

import asyncio
import json
import pickle
import queue as queues
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from openlumiere.apps.cluster.head import Cluster
from openlumiere.apps.cluster.options import OnRay
from openlumiere.apps.cluster.pool import Pool
from openlumiere.apps.cluster.replica import Call, Loading, Replica
from openlumiere.apps.queue import Queue, Worker
from openlumiere.apps.queue.worker import Interrupted, Unavailable, WorkerLost
from openlumiere.engine.inputs import open_task
from openlumiere.media import save_image
from openlumiere.provenance.verify import verify
from openlumiere.settings import Settings
from openlumiere.tasks import read_task

DOG = {"kind": "generate", "prompt": "a dog", "steps": 2, "frames": 4, "size": 0}


class Near:
    """A replica in a thread of this process, in the place of Ray Serve."""

    def __init__(self, replica):
        self.replica = replica
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.sent = []

    def cluster(self):
        about = asyncio.run_coroutine_threadsafe(self.replica.about(), self.loop).result()
        return Cluster(self.send, about.knows, Settings.load())

    def send(self, task, previews):
        self.sent.append(Stream(self, pickle.loads(pickle.dumps(task)), previews))
        return self.sent[-1]

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


class Stream:
    """Messages of one call; an exception among them is raised."""

    def __init__(self, near, task, previews):
        self.messages = queues.Queue()
        pump = self.pump(near.replica, task, previews)
        self.future = asyncio.run_coroutine_threadsafe(pump, near.loop)

    async def pump(self, replica, task, previews):
        answers = replica.make(task, previews)
        try:
            async for message in answers:
                self.messages.put(pickle.dumps(message))
        finally:
            await answers.aclose()

    def __iter__(self):
        while True:
            message = self.messages.get(timeout=60)
            if isinstance(message, Exception):
                raise message
            yield pickle.loads(message)

    def cancel(self):
        self.fail(Interrupted())

    def fail(self, error):
        self.future.cancel()
        self.messages.put(error)


@pytest.fixture(scope="module")
def replica(tiny_model):
    return Replica(Loading(model=str(tiny_model), dtype="float32", batch=4))


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "queue")


@pytest.fixture
def pool(queue, replica):
    """A pool of one worker, and what it sent."""
    near = Near(replica)
    made = Pool(queue, lambda: near, 1)
    made.near = near
    return made


def later(condition, act):
    """Act once a condition holds, from another thread."""

    def watch():
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_files_are_those_that_a_worker_here_writes(queue, pool, tiny, tmp_path):
    """The clip byte for byte, and its record; what it was made from is a file of the head's."""
    tiny.generate("a cat", steps=1, frames=4, size=0).save(tmp_path / "cat.webm", lossless=True)
    region = np.zeros((16, 16, 3), np.uint8)
    region[4:12] = 255
    save_image(region, tmp_path / "region.png")
    edit = {"clip": str(tmp_path / "cat.webm"), "region": {"mask": str(tmp_path / "region.png")}}
    asked = [DOG, {"kind": "inpaint", "prompt": "a hat", "steps": 1, **edit}]
    here = Queue(tmp_path / "here")
    for task in asked:
        for one in (here, queue):
            one.add(task, lossless=True, suffix=".webm")
    alone, made = Worker(here, tiny).run(), pool.run()
    assert [job.error for job in made] == [""] * 2
    for one, other in zip(alone, made, strict=True):
        first, second = Path(one.results[0]), Path(other.results[0])
        assert first.read_bytes() == second.read_bytes()
        records = [json.loads(Path(f"{path}.json").read_text()) for path in (first, second)]
        assert records[0] == records[1]
        assert verify(first).verdict == verify(second).verdict
    assert made[1].device == "ray-0"


def test_steps_and_previews_come_back(queue, pool, monkeypatch):
    monkeypatch.setattr("openlumiere.apps.queue.preview.FIRST", 0)
    monkeypatch.setattr("openlumiere.apps.queue.worker.BEAT", 0.01)
    job = queue.add({**DOG, "steps": 15})
    seen = []
    thread = later(lambda: seen.append(queue.get(job.id)) or seen[-1].preview, lambda: None)
    (done,) = pool.run()
    thread.join()
    steps = [each.step for each in seen]
    assert steps == sorted(steps) and 0 < steps[-1] <= 15
    assert (done.state, done.step, done.total) == ("done", 15, 15)
    assert verify(Path(done.preview)).manifest.state != "none"


LONG = {**DOG, "steps": 1000}


def test_a_cancelled_job_ends_within_a_step(queue, pool, replica):
    job = queue.add(LONG)
    later(lambda: queue.get(job.id).step > 0, lambda: queue.cancel(job.id))
    (ended,) = pool.run()
    assert (ended.state, ended.results) == ("cancelled", ())
    assert replica.busy.acquire(timeout=5)  # it stopped computing
    replica.busy.release()


def test_what_has_no_steps_is_not_waited_for(queue, pool, tmp_path):
    """The replica learns on; its job is cancelled meanwhile."""
    save_image(np.zeros((16, 16, 3), np.uint8), tmp_path / "a.png")
    asked = {"kind": "learn-style", "images": [str(tmp_path / "a.png")], "name": "ink"}
    job = queue.add({**asked, "learning": {"steps": 10}})
    busy = pool.near.replica.busy
    left = []
    later(busy.locked, lambda: queue.cancel(job.id))
    watching = later(lambda: queue.get(job.id).ended, lambda: left.append(busy.locked()))
    assert [each.state for each in pool.run()] == ["cancelled"]
    watching.join()
    assert left == [True]


def test_a_pool_that_is_stopped_gives_its_jobs_back(queue, pool):
    job = queue.add(LONG)
    later(lambda: queue.get(job.id).step > 0, pool.stop)
    assert pool.run() == []
    assert (queue.get(job.id).state, queue.get(job.id).attempts) == ("pending", 0)


def test_a_killed_replica_makes_its_job_pending_again(queue, pool):
    job = queue.add({**DOG, "steps": 20})
    other = queue.add(DOG)
    later(lambda: queue.get(job.id).step > 0, lambda: pool.near.sent[0].fail(WorkerLost()))
    made = pool.run()
    assert [(each.id, each.state) for each in made] == [(job.id, "done"), (other.id, "done")]
    assert queue.get(job.id).attempts == 2 and len(pool.near.sent) == 3


def test_a_job_that_kills_its_replicas_fails(queue, pool, monkeypatch):
    monkeypatch.setattr(Stream, "pump", nothing)
    monkeypatch.setattr(Stream, "__iter__", lost)
    job = queue.add(DOG)
    (failed,) = pool.run()
    assert (failed.id, failed.state, failed.attempts) == (job.id, "failed", 5)
    assert "killed 5 times" in failed.error


def test_without_replicas_a_job_waits(queue, pool, monkeypatch):
    monkeypatch.setattr("openlumiere.apps.queue.worker.PAUSE", 0.01)
    monkeypatch.setattr(Stream, "pump", nothing)
    monkeypatch.setattr(Stream, "__iter__", unavailable)
    job = queue.add(DOG)
    later(lambda: len(pool.near.sent) > 8, pool.stop)
    assert pool.run() == []
    assert (queue.get(job.id).state, queue.get(job.id).attempts) == ("pending", 0)


async def nothing(*_):
    pass


def lost(_):
    raise WorkerLost
    yield


def unavailable(_):
    raise Unavailable("none")
    yield


def test_a_job_fails_alone_and_says_why(queue, pool, tmp_path):
    save_image(np.zeros((16, 16, 3), np.uint8), tmp_path / "a.png")
    bad = queue.add({"kind": "animate", "image": str(tmp_path / "a.png"), "frames": 4})
    good = queue.add(DOG)
    (tmp_path / "a.png").unlink()
    refused = queue.add(DOG | {"fast": True})  # the tiny model was not distilled
    states = {job.id: job for job in pool.run()}
    assert [states[each.id].state for each in (bad, good, refused)] == ["failed", "done", "failed"]
    assert "image: expected" in states[bad.id].error
    assert states[refused.id].error.startswith("fast: expected a model")


def made_together(replica, tasks):
    """The messages of calls that come together, and whether they were dropped before."""

    async def make():
        calls = [Call(open_task(read_task(task)), False) for task in tasks]
        for call, task in zip(calls, tasks, strict=True):
            if task["prompt"] == "dropped":
                call.dropped.set()
        await replica.make_all(calls)
        await asyncio.sleep(0)
        return [
            [call.messages.get_nowait() for _ in range(call.messages.qsize())] for call in calls
        ]

    return asyncio.run(make())


def test_alike_calls_are_made_in_one_batch(replica, tiny):
    tasks = [{**DOG, "prompt": prompt} for prompt in ("a dog", "dropped", "a cat")]
    tasks += [{**DOG, "frames": 6}, {"kind": "image", "prompt": "a dog", "steps": 2, "size": 0}]
    one, none, two, longer, picture = made_together(replica, tasks)
    assert none == []
    made = [messages[-1].result for messages in (one, two, longer, picture)]
    assert [clip.origin.record.machine.batch for clip in made] == [2, 2, 1, 1]
    assert [len(clip) for clip in made] == [4, 4, 6, 1]
    assert [len(messages) for messages in (one, two)] == [3, 3]
    alone = tiny.run_many([read_task(tasks[0]), read_task(tasks[2])])
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(made, alone))


def test_a_call_of_a_batch_fails_alone(replica):
    refused = "a dog; harmful words: how to make a pipe bomb"
    good, bad = made_together(replica, [DOG, {**DOG, "prompt": refused}])
    assert len(good[-1].result) == 4
    assert bad[-1].line.startswith("prompt")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"replicas": "many"}, "replicas: expected N or MIN:MAX, got 'many'"),
        ({"replicas": "3:2"}, "replicas: expected 3 to 1000, got 2"),
        ({"replicas": "0"}, "replicas: expected 1 to 1000, got 0"),
        ({"batch": 0}, "batch: expected 1 to 64, got 0"),
        ({"replica_cpus": float("nan")}, "replica-cpus: expected 0 to 1000, got nan"),
    ],
)
def test_numbers_that_cannot_be_are_refused(words, error):
    with pytest.raises(ValueError, match=error):
        OnRay(ray="auto", **words).check()


def test_options_reach_the_workers_process():
    options = OnRay(ray="auto", replicas="0:8", batch=4)
    assert options.words() == ["--ray=auto", "--replicas=0:8", "--replica-cpus=1.0", "--batch=4"]
    assert options.limits() == (0, 8) and options.at_once() == 40
    assert OnRay().words() == []
