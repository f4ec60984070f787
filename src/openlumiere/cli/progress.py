"""A bar on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from openlumiere.diffusion.sample import Step


@contextmanager
def progress(what: str, steps: int) -> Iterator[Callable[[Step], None]]:
    """Yields what a pipeline calls after each denoising step."""
    with tqdm(total=max(steps, 0), desc=what, unit="step", disable=None) as bar:
        yield lambda step: bar.update(step.index + 1 - bar.n)
