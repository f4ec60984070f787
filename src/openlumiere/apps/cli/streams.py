"""Output and error stream that can't change what became of the work.

A closed pipe, a full disk or a terminal of another encoding loses lines, and nothing else: no
traceback, and the exit code tells of the file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class TolerantStream:
    """A text stream whose troubles stay its own; all else is the stream's."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, letters that the encoding lacks as escapes; nothing once the stream is lost."""
        try:
            if not self.lost:
                self.stream.write(self.encodable(text))
        except (OSError, ValueError):
            self.give_up()
        return len(text)

    def flush(self) -> None:
        """Flush, and give the stream up where that fails."""
        try:
            if not self.lost:
                self.stream.flush()
        except (OSError, ValueError):
            self.give_up()

    def encodable(self, text: str) -> str:
        """The text as the stream's encoding can hold it."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            return text.encode("ascii", "backslashreplace").decode()
        return text

    def give_up(self) -> None:
        """Write no more, and let what is still buffered go nowhere when the interpreter ends."""
        self.lost = True
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError):
            return


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """While it lasts, both standard streams are tolerant; one that is closed takes everything."""
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = TolerantStream(before[0] or nowhere)
        sys.stderr = TolerantStream(before[1] or nowhere)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before
