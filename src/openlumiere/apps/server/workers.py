"""The server's workers: processes of their own, started again when they die."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

import psutil

log = logging.getLogger("openlumiere")

MISTAKE = 2  # the exit code of options that can't be
LONGEST = 30.0  # seconds between two starts
NICE = 5  # so that the server answers while they compute
PATIENCE = 30.0  # seconds for a worker to end its step


class Supervisor:
    """One worker: `lumiere queue run WORDS`. `on_mistake` is called where its options, its model or
    its device can't be: to start it again would not help.
    """

    def __init__(self, words: Sequence[str], on_mistake: Callable[[], None]):
        self.words = ["queue", "run", "--follow", "--wait", "--until-eof", *words]
        self.on_mistake = on_mistake
        self.stopping = threading.Event()
        self.process: subprocess.Popen | None = None
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def start(self) -> None:
        """Start the worker, and keep it running."""
        self.thread.start()

    def watch(self) -> None:
        """Start it again whenever it ends, at most every 30 seconds if it keeps dying."""
        pause = 0.5
        while not self.stopping.is_set():
            began = time.monotonic()
            code = self.run_once()
            if code == MISTAKE and not self.stopping.is_set():
                self.on_mistake()
                return
            if time.monotonic() - began > LONGEST:
                pause = 0.5
            if not self.stopping.is_set():
                log.warning("serve: a worker ended with %s and is started again", code)
            self.stopping.wait(pause)
            pause = min(2 * pause, LONGEST)

    def run_once(self) -> int:
        """The exit code of one worker. Its input ends when this process does, however that ends."""
        command = [sys.executable, "-m", "openlumiere.apps.cli", *self.words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        psutil.Process(self.process.pid).nice(NICE)
        return self.process.wait()

    def stop(self) -> None:
        """End the worker within a step; its job waits for the next one."""
        self.stopping.set()
        if self.process is not None:
            self.process.terminate()
        self.thread.join(PATIENCE)
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
