"""What a replica tells the head while it makes a clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from openlumiere.media import Clip


@dataclass(frozen=True)
class Progress:
    """A denoising step is done, the `index`-th (from 0) of `total`; now and then with the clean
    estimate.
    """

    index: int
    total: int
    preview: Clip | None = None


@dataclass(frozen=True)
class Made:
    """The last message: a clip with its origin, or a style."""

    result: Any


@dataclass(frozen=True)
class Failed:
    """The last message of a task that can't be made, and why, in one line."""

    line: str


Message = Progress | Made | Failed


@dataclass(frozen=True)
class About:
    """What the head must know of a replica: what its model draws (`Lumiere.knows`), and the
    versions of its packages.
    """

    knows: Any
    versions: dict[str, str]
