"""The server as a client meets it: real sockets, a real queue, the tiny model."""

import io
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import uvicorn
from calling import call, events, form
from PIL import Image

from openlumiere.apps.cli import main
from openlumiere.apps.queue import Queue, Worker
from openlumiere.apps.server.app import make_app
from openlumiere.apps.server.guards import Limits, name_of
from openlumiere.tasks import KINDS

TASK = {"kind": "generate", "prompt": "a dog", "steps": 2, "frames": 4, "size": 0}
TOKEN = "0123456789abcdef-a-long-token"


class Served:
    """A server in a thread."""

    def __init__(self, folder, token="", **limits):
        self.queue = Queue(folder)
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        app = make_app(self.queue, Limits(**{"rate": 10_000, **limits}), token)
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([listener],), daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def __call__(self, method, path, body=None, headers=None):
        return call(self.address, method, path, body, headers)

    def stop(self):
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def serve(tmp_path):
    """`serve(token="", **limits)`: a server of a queue in an empty folder."""
    running = []

    def start(**options):
        running.append(Served(tmp_path / "queue", **options))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def server(serve):
    return serve()


def png(side=16):
    file = io.BytesIO()
    Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(file, "png")
    return file.getvalue()


def mask(side=16):
    """White in the left half."""
    file = io.BytesIO()
    picture = np.zeros((side, side, 3), np.uint8)
    picture[:, : side // 2] = 255
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


def refused(answer, code):
    """The line of a refusal: one line, three parts, no path of this machine's."""
    status, _, content = answer
    assert status == code, content
    line = content["error"]
    assert ": expected " in line and ", got " in line and line.isprintable()
    assert "/tmp" not in line
    return line


def test_a_task_becomes_a_result(server, tiny):
    status, headers, job = server("POST", "/v1/jobs?format=webm", TASK)
    assert status == 201 and headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["result"], job["task"]["sampling"]["steps"]) == ("pending", "", 2)
    assert "expected a job that is done" in refused(
        server("GET", f"{headers['Location']}/result"), 409
    )
    Worker(server.queue, tiny).run()
    done = server("GET", headers["Location"])[2]
    assert (done["state"], done["step"], done["total"]) == ("done", 2, 2)
    status, headers, content = server("GET", done["result"])
    assert (
        status == 200
        and content == pathlib.Path(server.queue.get(job["id"]).results[0]).read_bytes()
    )
    assert str(server.queue.folder) not in json.dumps(done)
    assert [each["id"] for each in server("GET", "/v1/jobs?state=done")[2]] == [job["id"]]
    assert server("GET", "/v1/jobs?state=failed")[2] == []


def test_media_come_by_upload_or_in_a_form(server, tiny):
    status, _, upload = server("POST", "/v1/uploads", png())
    assert status == 201
    assert server("POST", "/v1/uploads", *form({}, {"file": ("../../etc/x", png())}))[2] == upload
    name = f"upload:{upload['id']}"
    asked = {
        "kind": "inpaint",
        "clip": name,
        "region": "0,0,0.5,0.5",
        "prompt": "a hat",
        "steps": 2,
    }
    one = server("POST", "/v1/jobs", asked)[2]
    assert one["task"]["clip"]["path"] == name
    asked = json.dumps({**asked, "clip": "upload:a", "region": "upload:b"})
    sent = form({"task": asked}, {"a": ("a.png", png()), "b": ("b", mask())})
    other = server("POST", "/v1/jobs", *sent)[2]
    assert other["task"]["clip"] == one["task"]["clip"]
    assert [job.error for job in Worker(server.queue, tiny).run()] == ["", ""]
    stored = {path.name for path in (server.queue.folder / "media").rglob("*") if path.is_file()}
    assert stored == {"upload.png"}


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "animate", "image": "/etc/passwd"},
        {"kind": "animate", "image": {"path": "../queue.sqlite3"}},
        {"kind": "animate", "image": "upload:../../etc/passwd"},
        {"kind": "animate", "image": f"upload:{'0' * 64}"},
        {"kind": "animate", "keyframes": ["3=/etc/passwd"]},
        {"kind": "mend", "clip": f"upload:{'0' * 64}", "region": "/etc/passwd"},
        {"kind": "mend", "clip": "sha256:" + "0" * 64},
        {"kind": "generate", "prompt": "x", "style": "/etc/passwd"},
        {"kind": "generate", "prompt": "x", "background": "/etc/passwd"},
    ],
)
def test_no_path_of_a_client_reaches_the_disk(server, asked, monkeypatch):
    touched = []
    for function in ("stat", "open"):
        real = getattr(os, function)
        monkeypatch.setattr(
            os,
            function,
            lambda path, *a, _r=real, **k: (touched.append(path), _r(path, *a, **k))[1],
        )
    refused(server("POST", "/v1/jobs", asked), 422)
    assert not [path for path in touched if "passwd" in str(path)]
    assert server.queue.list() == []


def test_a_mistake_names_the_nearest_field(server):
    line = refused(server("POST", "/v1/jobs", {**TASK, "stepz": 3}), 422)
    assert line.startswith("stepz: ") and line.endswith("perhaps you meant steps")
    assert "perhaps you meant generate" in refused(
        server("POST", "/v1/jobs", {"kind": "generat"}), 422
    )
    for body in (
        b"{",
        b"[]",
        b"\xff",
        b'{"kind": "generate", "prompt": "x", "steps": NaN}',
        b"[" * 100_000,
    ):
        refused(server("POST", "/v1/jobs", body, {"Content-Type": "application/json"}), 422)
    refused(server("POST", "/v1/jobs?format=exe", TASK), 422)
    refused(server("POST", "/v1/jobs", json.dumps(TASK), {"Content-Type": "text/plain"}), 415)
    for path in ("/v1/jobs/nothing", "/v1/jobs/%2e%2e", "/v1/jobs/nothing/events"):
        assert server("GET", path)[0] == 404
    refused(server("POST", "/v1/jobs?format=png", {**TASK, "frames": 4, "prompt": ""}), 422)


def test_what_is_no_media_is_refused(server):
    for content in (b"", b"#!/bin/sh", b"\x80\x04.", b"#EXTM3U\nhttp://example.com", b"PK\x03\x04"):
        line = refused(server("POST", "/v1/uploads", content), 415)
        assert "convert it" in line
    assert [path for path in (server.queue.folder / "media").iterdir()] == []


def test_a_broken_upload_fails_its_job_within_the_decoders_budget(server, tiny):
    """A header that claims 60000 x 60000 pixels."""
    bomb = png()[:16] + (60_000).to_bytes(4, "big") * 2 + png()[24:]
    upload = server("POST", "/v1/uploads", bomb)[2]["id"]
    job = server("POST", "/v1/jobs", {"kind": "animate", "image": f"upload:{upload}"})[2]
    Worker(server.queue, tiny).run()
    found = server("GET", f"/v1/jobs/{job['id']}")[2]
    assert found["state"] == "failed" and "expected" in found["error"]
    assert str(server.queue.folder) not in found["error"]


def test_the_same_request_twice_is_one_job(server):
    key = {"Idempotency-Key": "night 1"}
    first = server("POST", "/v1/jobs", TASK, key)
    again = server("POST", "/v1/jobs", TASK, key)
    assert (first[0], again[0], again[2]["id"]) == (201, 200, first[2]["id"])
    for path, task in (("/v1/jobs", {**TASK, "seed": 1}), ("/v1/jobs?format=gif", TASK)):
        assert "use a new key" in refused(server("POST", path, task, key), 409)
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(
                server("POST", "/v1/jobs", TASK, {"Idempotency-Key": "x"})
            )
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer[2]["id"] for answer in answers}) == 1 and len(server.queue.list()) == 2


def test_events_tell_what_happens(server, tiny, monkeypatch):
    monkeypatch.setattr("openlumiere.apps.queue.preview.FIRST", 0)
    job = server("POST", "/v1/jobs", {**TASK, "steps": 60})[2]
    bad = server("POST", "/v1/jobs", {"kind": "generate", "prompt": "x", "size": 0, "steps": 1})[2]
    server.queue.cancel(bad["id"])
    worker = threading.Thread(target=lambda: Worker(Queue(server.queue.folder), tiny).run())
    worker.start()
    heard = list(events(server.address, f"/v1/jobs/{job['id']}/events"))
    worker.join()
    names = [name for name, _ in heard]
    assert names[0] == "state" and names[-1] == "done" and {"step", "preview"} <= set(names)
    steps = [data["step"] for name, data in heard if name == "step"]
    assert steps == sorted(steps) and heard[-1][1]["result"]
    status, headers, content = server("GET", f"/v1/jobs/{job['id']}/preview")
    assert status == 200 and headers["Content-Type"] == "image/webp" and content[8:12] == b"WEBP"
    assert [name for name, _ in events(server.address, f"/v1/jobs/{bad['id']}/events")] == [
        "cancelled"
    ]


def test_delete_cancels(server, tiny):
    job = server("POST", "/v1/jobs", {**TASK, "steps": 1000})[2]
    worker = threading.Thread(target=lambda: Worker(Queue(server.queue.folder), tiny).run())
    worker.start()
    heard = events(server.address, f"/v1/jobs/{job['id']}/events")
    next(data for name, data in heard if name == "step")
    assert server("DELETE", f"/v1/jobs/{job['id']}")[2]["cancelling"]
    assert [name for name, _ in heard][-1] == "cancelled"
    worker.join(10)
    assert server.queue.get(job["id"]).step < 1000


def test_the_token(serve):
    server = serve(token=TOKEN)
    right = {"Authorization": f"Bearer {TOKEN}"}
    for wrong in ({}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": f"Bearer {TOKEN}x"}):
        for path in ("/v1/jobs", "/metrics", "/docs", "/openapi.json", "/nothing"):
            status, headers, _ = server("GET", path, None, wrong)
            assert status == 401 and headers["WWW-Authenticate"] == "Bearer"
    assert server("GET", "/v1/jobs", None, right | {"Host": "example.com"})[0] == 200


def test_pages_of_other_sites_are_refused(server):
    """CORS is off: nothing is allowed to other origins, and what a browser sends unasked is not
    taken either.
    """
    refused(server("GET", "/v1/jobs", None, {"Host": "evil.example"}), 403)
    refused(server("POST", "/v1/uploads", png(), {"Origin": "https://evil.example"}), 403)
    status, headers, _ = server(
        "OPTIONS", "/v1/jobs", None, {"Access-Control-Request-Method": "POST"}
    )
    assert status == 405 and "Access-Control-Allow-Origin" not in headers
    host, port = server.address
    assert server("GET", "/v1/jobs", None, {"Origin": f"http://{host}:{port}"})[0] == 200
    assert name_of("[::1]:80") == "::1" and name_of("localhost") == "localhost"


def test_a_client_that_asks_too_often_waits(serve):
    server = serve(rate=5)
    answers = [server("GET", "/v1/jobs") for _ in range(15)]
    codes = [status for status, _, _ in answers]
    assert codes[:10] == [200] * 10 and codes[-1] == 429
    assert answers[-1][1]["Retry-After"] == "1"
    time.sleep(0.5)
    assert server("GET", "/v1/jobs")[0] == 200


def test_ten_gigabytes_stop_at_the_limit(serve):
    """Announced: refused at once. Unannounced: cut off at the limit, and nothing stays."""
    server = serve(upload=2**20)
    assert announced(server.address, "/v1/uploads", "image/png", 10 * 2**30) == 413
    assert announced(server.address, "/v1/jobs", "application/json", 2**20 + 1) == 413
    for kind, start in (("image/png", b""), ("multipart/form-data; boundary=x", FORM)):
        sent = endless(server.address, kind, start)
        assert sent < 64 * 2**20
    assert server("GET", "/v1/jobs")[2] == []
    assert list((server.queue.folder / "media").iterdir()) == []


FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


def announced(address, path, kind, length):
    """The code of the answer to a request that only says how long it is going to be."""
    with socket.create_connection(address) as connection:
        head = f"Host: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(f"POST {path} HTTP/1.1\r\n{head}".encode())
        return int(connection.recv(4096).split()[1])


def endless(address, kind, start):
    """Send pieces of a body that never ends; the bytes that were taken until the server hung up."""
    connection = socket.create_connection(address)
    head = f"Host: localhost\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(f"POST /v1/uploads HTTP/1.1\r\n{head}".encode())
    sent = 0
    try:
        for piece in (start, *[bytes(2**16)] * 2000):
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"")
            sent += len(piece)
        raise AssertionError("the server took it all")
    except OSError:
        return sent
    finally:
        connection.close()


def test_metrics_count_jobs_and_requests(server):
    server("POST", "/v1/jobs", TASK)
    server("GET", "/v1/jobs/none")
    server("GET", "/somewhere/else")
    text = server("GET", "/metrics")[2].decode()
    for line in (
        'lumiere_jobs{state="pending"} 1.0',
        "lumiere_paused 0.0",
        'lumiere_requests_total{method="POST",route="/v1/jobs",status="201"} 1.0',
        'lumiere_requests_total{method="GET",route="/v1/jobs/{id}",status="404"} 1.0',
    ):
        assert line in text, text
    assert "somewhere" not in text


def test_openapi_holds_the_models_of_all_tasks(server):
    found = server("GET", "/openapi.json")[2]
    body = found["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    named = {each["$ref"].rpartition("/")[2] for each in body["schema"]["oneOf"]}
    assert named == {kind.__name__ for kind in KINDS.values()}
    schemas = found["components"]["schemas"]
    for name in named:
        assert schemas[name]["properties"].keys() == KINDS_BY_NAME[name].model_fields.keys()
    page = server("GET", "/docs")[2].decode()
    assert "swagger-ui-bundle.js" in page and "https://" not in page


KINDS_BY_NAME = {kind.__name__: kind for kind in KINDS.values()}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--host", "0.0.0.0"], "host: expected 127.0.0.1 .* add --token-file"),
        (["--token-file", "missing"], "token file: expected a file with a token"),
        (["--token-file", "short"], "token file: expected 16 characters or more"),
        (["--port", "{taken}"], "port: expected one that is free on 127.0.0.1"),
        (["--port", "99999"], "port: expected 0 to 65535"),
        (["--max-upload", "lots"], "expected a size such as"),
        (["--rate", "0"], "rate: expected 0.1"),
    ],
)
def test_mistakes_of_the_command(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [word.format(taken=taken.getsockname()[1]) for word in words]
        assert main(["serve", "--folder", "queue", *words]) == 2
    assert re.match(f"lumiere: .*{line}", capsys.readouterr().err)


def test_help_needs_no_torch():
    code = """
import contextlib, sys
from openlumiere.apps.cli import main
for verb in ("serve", "queue"):
    with contextlib.suppress(SystemExit):
        main([verb, "--help"])
assert not {"torch", "fastapi", "uvicorn"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, stdout=subprocess.DEVNULL)


def test_results_are_gone_when_they_were_pruned(server, tiny):
    job = server("POST", "/v1/jobs", TASK)[2]
    Worker(server.queue, tiny).run()
    server.queue.prune(days=-1)
    refused(server("GET", f"/v1/jobs/{job['id']}/result"), 410)
    assert server("GET", f"/v1/jobs/{job['id']}")[2]["pruned"] > 0
