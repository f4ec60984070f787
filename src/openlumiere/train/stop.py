"""Ending a run when asked: by a signal or by the clock."""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType


class Stop:
    """`wished` after SIGTERM, SIGINT or `max_minutes`. A second signal ends the process at once,
    unsaved.

    Use as a context; the handlers of before come back at its end.
    """

    def __init__(self, max_minutes: float):
        self.start, self.seconds = time.monotonic(), 60 * max_minutes
        self.received: int | None = None

    @property
    def wished(self) -> bool:
        return self.received is not None or self.left <= 0

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return self.seconds - (time.monotonic() - self.start)

    def __enter__(self) -> Stop:
        self._before = {
            number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(
        self, kind: type | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        for either in self._before:
            signal.signal(either, signal.SIG_DFL)
