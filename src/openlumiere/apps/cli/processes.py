"""The same command in several processes of one machine, as `torchrun` would start them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

INSIDE = "WORLD_SIZE"  # set by every launcher of process groups


def launch(count: int, words: list[str]) -> int:
    """Run `lumiere WORDS` in `count` processes; the exit code of the first that ends badly, which
    ends the others, or 0.

    SIGTERM and SIGINT go on to all of them, each in a session of its own, so that none gets a
    signal twice.
    """
    children: list[subprocess.Popen] = []
    received: list[tuple[int, int]] = []

    def forward(number: int, _frame: object) -> None:
        received.append((number, len(children)))
        for child in children:
            child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for environment in environments(count):
            children.append(
                subprocess.Popen(command(words), env=environment, start_new_session=True)
            )
        for number, told in tuple(received):  # while they were started
            for child in children[told:]:
                child.send_signal(number)
        return first_failure(children)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def command(words: list[str]) -> list[str]:
    """How a process of ours is started."""
    return [sys.executable, "-m", "openlumiere.apps.cli", *words]


def first_failure(children: list[subprocess.Popen]) -> int:
    """Wait for all; when one fails the others wait for it in vain, so they are ended."""
    failed, waiting = 0, list(children)
    while waiting:
        for child in list(waiting):
            try:
                code = child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            waiting.remove(child)
            if code and not failed:
                failed = code if code > 0 else 128 - code
                for other in waiting:
                    other.kill()  # and the loop goes on until they are gone
    return failed


def environments(count: int) -> list[dict[str, str]]:
    """What torch.distributed and accelerate read, over the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        INSIDE: f"{count}",
        "LOCAL_WORLD_SIZE": f"{count}",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": f"{port}",
    }
    shared |= {
        "GLOO_SOCKET_IFNAME": os.environ.get(
            "GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo"
        )
    }
    return [
        {**os.environ, **shared, "RANK": f"{rank}", "LOCAL_RANK": f"{rank}"}
        for rank in range(count)
    ]
