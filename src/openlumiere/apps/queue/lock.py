"""One worker a device: a lock that a kill lets go of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def device_lock(
    folder: Path, device: str, wait: bool = False, stopped: Callable[[], bool] = bool
) -> Iterator[bool]:
    """The device of a queue is this process's while it lasts, which is answered. Raises ValueError
    where it is another worker's, unless it is to `wait` for it; a wait that is `stopped` answers
    that the device is not ours.
    """
    name = "".join(letter if letter.isalnum() else "-" for letter in device)
    lock = FileLock(folder / f"worker-{name}.lock", timeout=-1 if wait else 0)
    try:
        lock.acquire(poll_interval=0.1, cancel_check=stopped)
    except Timeout:
        if stopped():
            yield False
            return
        raise ValueError(
            f"worker: expected a device that no other worker of this queue has, got {device}, "
            "wait for it or name another with --device"
        ) from None
    try:
        yield True
    finally:
        lock.release()
