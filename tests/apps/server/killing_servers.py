"""Kills servers at random moments while a client adds jobs: a process of its own, run by
`test_killed_servers.py`.

    python killing_servers.py FOLDER KILLS SEED

Each server is a fork of this process, in which no thread ran before. The client sends a request
again, with its key, until it is answered. Prints a line of JSON: the keys that were answered with
their jobs, and how many answers the kills took.
"""

import http.client
import json
import os
import random
import signal
import socket
import sys
import time

import uvicorn
from calling import call

from openlumiere.apps.queue import Queue
from openlumiere.apps.server.app import make_app
from openlumiere.apps.server.guards import Limits

LONGEST = 0.5  # seconds that a server lives at most, once it answers


def main(folder: str, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    answered: dict[str, str] = {}
    lost = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(kills):
            server = start(folder, listener)
            assert call(listener.getsockname(), "GET", "/v1/jobs?limit=1")[0] == 200
            killer = kill_later(server, moments.uniform(0, LONGEST))
            lost += add_jobs(listener.getsockname(), answered)
            for child in (server, killer):
                os.waitpid(child, 0)
    print(json.dumps({"answered": answered, "lost": lost}))


def start(folder: str, listener: socket.socket) -> int:
    """A server's process."""
    child = os.fork()
    if child:
        return child
    app = make_app(Queue(folder), Limits(rate=1e5))
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])
    os._exit(0)


def kill_later(server: int, seconds: float) -> int:
    """A process that kills the server."""
    child = os.fork()
    if child:
        return child
    time.sleep(seconds)
    os.kill(server, signal.SIGKILL)
    os._exit(0)


def add_jobs(address: tuple[str, int], answered: dict[str, str]) -> int:
    """Add jobs until the server is killed; 1 where that took an answer."""
    while True:
        key = f"key {len(answered)}"
        task = {"kind": "generate", "prompt": "a dog", "seed": len(answered)}
        try:
            status, _, job = call(
                address, "POST", "/v1/jobs", task, {"Idempotency-Key": key}, timeout=2
            )
        except (OSError, http.client.HTTPException):
            return 1
        assert status in (200, 201), job
        answered[key] = job["id"]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
