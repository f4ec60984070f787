"""What the command says on its two streams."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """While it lasts, the library's log lines from warnings on appear on the error stream."""
    logger = logging.getLogger("openlumiere")
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("lumiere: %(message)s"))
    logger.addHandler(handler)
    propagates = logger.propagate
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
