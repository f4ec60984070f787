"""The reading process: it has everything imported, and forks once a file.

So each file, from a stranger, is decoded in a process of its own with a budget of memory, processor
time and patience, and a decoder that crashes, hangs or eats memory takes only that file with it;
but Python starts once for all files. Jobs come as JSON lines on standard input, outcomes leave as
JSON lines on standard output: {"rows": [...]}, {"error": reason} of a bad file, or {"stop": reason}
where the disk fails, which no other file would change.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from openlumiere.data.ingest.config import IngestConfig
from openlumiere.data.ingest.digest import digest
from openlumiere.data.ingest.pictures import pack
from openlumiere.data.ingest.reading import limits_of
from openlumiere.data.ingest.rules import measure
from openlumiere.media.limits import MediaError
from openlumiere.media.worker import confine

BEAT = b"."
EVERY = 16  # frames between two beats
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES)


def main() -> None:
    """Serve jobs until standard input ends or the parent is gone."""
    av.logging.set_level(av.logging.PANIC)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warm_up()
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), file=answers, flush=True)


def warm_up() -> None:
    """Do once what libraries put off until they are first used, a quarter of a second of it, so
    that not every fork does.
    """
    config = IngestConfig(side=16, frames=2)
    frames = np.zeros((config.frames, config.side, config.side, 3), np.uint8)
    measure(frames, [True, True], config)
    pack(frames, config)


def forked(job: dict) -> dict:
    """Do the job in a child of this process and say how it ended."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _child(job, theirs)
    os.close(theirs)
    said, hung = _listen(ours, child, job["config"]["stall"])
    os.close(ours)
    _, status = os.waitpid(child, 0)
    if said:
        return json.loads(said)
    if hung:
        return {"error": f"its reader gave no frame for {job['config']['stall']:g} s"}
    return {"error": f"its reader {ending(status)}"}


def ending(status: int) -> str:
    """How a process without an answer ended."""
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        why = " (over its budget of time)" if name in ("SIGXCPU", "SIGKILL") else ""
        return f"was stopped by {name}{why}"
    return f"ended with status {os.WEXITSTATUS(status)}"


def _listen(pipe: int, child: int, stall: float) -> tuple[bytes, bool]:
    """What the child says at its end, without its beats, and whether it was killed for silence."""
    said, heard = b"", time.monotonic()
    parent = os.getppid()
    while True:
        ready, _, _ = select.select([pipe], [], [], 0.5)
        if ready:
            data = os.read(pipe, 2**16)
            if not data:
                return said.lstrip(BEAT), False
            said, heard = said + data, time.monotonic()
            said = said.lstrip(BEAT)
        if os.getppid() != parent:
            os.kill(child, signal.SIGKILL)
            sys.exit(1)
        if time.monotonic() - heard > stall:
            os.kill(child, signal.SIGKILL)
            return b"", True


def _child(job: dict, pipe: int) -> None:
    """Do the job within its budget; never returns."""
    try:
        outcome = answer(job, Beats(pipe))
        data = json.dumps(outcome).encode()
        while data:
            data = data[os.write(pipe, data) :]
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


class Beats:
    """Lets the parent know, every few frames, that the reading goes on."""

    def __init__(self, pipe: int):
        self.pipe, self.count = pipe, 0

    def __call__(self) -> None:
        """One more frame was read."""
        self.count += 1
        if self.count % EVERY == 0:
            os.write(self.pipe, BEAT)


def answer(job: dict, on_frame: Callable[[], None]) -> dict:
    """The outcome of a job, done here."""
    config = IngestConfig.from_facts(job["config"])
    confine(limits_of(config))
    try:
        rows = digest(Path(job["path"]), job["key"], Path(job["part"]), config, on_frame)
        return {"rows": rows}
    except MediaError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": f"its reader needs more than {config.memory} bytes"}
    except OSError as error:
        kind = "stop" if error.errno in DISK and error.filename != job["path"] else "error"
        return {kind: f"{error.strerror or error} while its clips were written"}
    except Exception as error:
        return {"error": f"its reader failed ({type(error).__name__}: {str(error)[:120]})"}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main()
