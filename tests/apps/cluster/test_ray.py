"""`lumiere serve --ray local` with two replicas on this machine, one of them killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from calling import call, events

from openlumiere import Lumiere
from openlumiere.apps.queue import Queue
from openlumiere.tasks import read_task

pytest.importorskip("ray.serve", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

DOG = {"kind": "generate", "prompt": "a dog", "steps": 10, "frames": 4, "size": 0}
COMMAND = [sys.executable, "-m", "openlumiere.apps.cli"]


@contextmanager
def serving(folder, model, *words):
    """The server's address and process."""
    given = ["--folder", str(folder), "--model", str(model), "--dtype=float32", "--port=0"]
    given += ["--rate=100000", "--ray=local", "--replicas=2", "--replica-cpus=0.5", *words]
    server = subprocess.Popen([*COMMAND, "serve", *given], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().rpartition(":")[2].partition("/")[0])
        yield ("127.0.0.1", port), psutil.Process(server.pid)
    finally:
        server.terminate()
        server.communicate(timeout=120)


def replicas(server):
    """The processes of the replicas."""
    return [each for each in server.children(recursive=True) if "ServeReplica" in each.name()]


def wait_for(condition, seconds=400):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_replica_loses_and_doubles_nothing(tmp_path, tiny_model):
    queue = Queue(tmp_path)
    with serving(tmp_path, tiny_model) as (address, server):
        long = add(address, {**DOG, "steps": 1000})
        wait_for(lambda: queue.get(long).step > 2)
        jobs = [add(address, {**DOG, "seed": seed}) for seed in range(12)]
        wait_for(lambda: queue.counts()["done"] >= 2)
        assert len(replicas(server)) == 2
        assert call(address, "DELETE", f"/v1/jobs/{long}")[0] == 200
        assert [*events(address, f"/v1/jobs/{long}/events")][-1][0] == "cancelled"
        written = times_of(queue)
        replicas(server)[0].send_signal(signal.SIGKILL)
        wait_for(lambda: queue.counts()["done"] == 12)
        wait_for(lambda: len(replicas(server)) == 2)
        assert written.items() <= times_of(queue).items()
        bad = add(address, {"kind": "upscale", "clip": upload(address, queue.get(jobs[0]))})
        last = list(events(address, f"/v1/jobs/{bad}/events"))[-1]
        assert last[0] == "error" and last[1]["error"].startswith("upscale: expected a model with")
    assert {queue.get(name).state for name in jobs} == {"done"}
    assert {queue.get(name).device for name in jobs} <= {f"ray-{number}" for number in range(4)}
    assert sum(queue.get(name).attempts for name in jobs) in (12, 13, 14)
    check_bytes(queue, jobs[3], tiny_model, tmp_path)


def check_bytes(queue, name, model, folder):
    """A result is the file that would be written here."""
    done = queue.get(name)
    lumiere = Lumiere.from_pretrained(model)
    lumiere.run(read_task(done.task.model_dump())).save(folder / "here.webm")
    assert Path(done.results[0]).read_bytes() == (folder / "here.webm").read_bytes()


def add(address, task):
    """A job's id."""
    status, _, job = call(address, "POST", "/v1/jobs?format=webm", task)
    assert status == 201, job
    return job["id"]


def upload(address, job):
    """A job's result as an upload."""
    content = Path(job.results[0]).read_bytes()
    found = call(address, "POST", "/v1/uploads", content)[2]
    return f"upload:{found['id']}"


def times_of(queue):
    """When results were written, by their paths."""
    done = queue.list("done")
    return {job.results[0]: os.stat(job.results[0]).st_mtime_ns for job in done}


def test_alike_jobs_are_made_in_batches_by_replicas_that_come_as_needed(tmp_path, tiny_model):
    queue = Queue(tmp_path)
    names = [queue.add({**DOG, "seed": seed}, suffix=".webm").id for seed in range(8)]
    words = ["--ray=local", "--replicas=0:2", "--replica-cpus=0.5", "--batch=4"]
    done = subprocess.run(
        [*COMMAND, "queue", "run", f"--folder={tmp_path}", f"--model={tiny_model}", *words],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(Path(f"{queue.get(name).results[0]}.json").read_text()) for name in names]
    sizes = [record["replay"]["machine"].get("batch", 1) for record in records]
    assert max(sizes) > 1, sizes


def test_a_model_that_cannot_be_loaded_is_said_and_ends_the_server(tmp_path):
    words = ["--ray=local", f"--folder={tmp_path}", f"--model={tmp_path}", "--port=0"]
    done = subprocess.run([*COMMAND, "serve", *words], capture_output=True, text=True, timeout=900)
    assert done.returncode == 2
    assert "ray: expected replicas that load the model, got '" in done.stderr
    assert "Traceback" not in done.stderr
