"""What the command says on its two streams."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

REPORT = "openlumiere.report"  # what a run found and learnt: for whoever watches, no warning
EVERY = 10.0  # seconds between lines, away from a terminal


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """While it lasts, the library's log lines from warnings on, and its reports, appear on the
    error stream.
    """
    logger = logging.getLogger("openlumiere")
    report = logging.getLogger(REPORT)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda line: line.levelno >= logging.WARNING or line.name == REPORT)
    handler.setFormatter(logging.Formatter("lumiere: %(message)s"))
    logger.addHandler(handler)
    level = report.level
    report.setLevel(logging.INFO)
    propagates = logger.propagate
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        report.setLevel(level)
        logger.propagate = propagates


class Progress:
    """Where a run is: a bar on a terminal, from its first second on; elsewhere a line every ten
    seconds.
    """

    def __init__(self, what: str):
        self.what = what
        self.stage = "starting"
        self.done = 0
        self.total = 0
        self.began = time.monotonic()
        self.bar: Any = None
        self.over = threading.Event()

    def say(self, stage: str) -> None:
        """The part of the work that begins."""
        self.stage = stage
        if self.bar is not None:
            self.bar.set_postfix_str(stage)

    def on_step(self, step: Any) -> None:
        """One denoising step is done; `step` knows how many there are."""
        self.done += 1
        self.total = step.total
        if self.bar is not None:
            self.bar.total = step.total
            self.bar.update()

    def begin_again(self) -> None:
        """Another clip."""
        self.done = 0
        if self.bar is not None:
            self.bar.reset()

    def line(self) -> str:
        """The same in a line."""
        seconds = time.monotonic() - self.began
        steps = f", step {self.done} of {self.total}" if self.total else ""
        return f"lumiere: {self.what}: {self.stage}{steps}, {seconds:.0f} s"

    def watch(self) -> None:
        """Print a line every ten seconds until it is over."""
        while not self.over.wait(EVERY):
            print(self.line(), file=sys.stderr, flush=True)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Shows how a run goes, while it lasts."""
    found = Progress(what)
    if sys.stderr.isatty():
        from tqdm import tqdm

        found.bar = tqdm(desc=what, unit="step", postfix=found.stage)
    else:
        threading.Thread(target=found.watch, daemon=True).start()
    try:
        yield found
    finally:
        found.over.set()
        if found.bar is not None:
            found.bar.close()
