"""One worker a device: a lock that a kill lets go of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def device_lock(folder: Path, device: str, wait: bool = False) -> Iterator[None]:
    """The device of a queue is this process's while it lasts. Raises ValueError where it is another
    worker's, unless it is to `wait` for it.
    """
    name = "".join(letter if letter.isalnum() else "-" for letter in device)
    lock = FileLock(folder / f"worker-{name}.lock", timeout=-1 if wait else 0)
    try:
        lock.acquire(poll_interval=0.1)
    except Timeout:
        raise ValueError(
            f"worker: expected a device that no other worker of this queue has, got {device}, "
            "wait for it or name another with --device"
        ) from None
    try:
        yield
    finally:
        lock.release()
