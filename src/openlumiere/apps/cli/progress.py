"""A bar on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from openlumiere.diffusion.sampler import Step


@contextmanager
def progress(what: str) -> Iterator[Callable[[Step], None]]:
    """Yields what a pipeline calls after each denoising step."""
    with tqdm(desc=what, unit="step", disable=None) as bar:

        def on_step(step: Step) -> None:
            bar.total = step.total
            bar.update()

        yield on_step
