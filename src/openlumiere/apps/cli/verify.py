"""`lumiere verify FILE`: where does this file come from?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from openlumiere.apps.cli.arguments import parse
from openlumiere.provenance.certificate import read_roots, trusted_roots
from openlumiere.provenance.verify import UNREADABLE, Mark, Report, verify

if TYPE_CHECKING:
    from openlumiere.provenance.noise import Invert


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Read manifest and mark off a file, nothing else, and say what follows.

    Exit code 0: ours (a manifest that holds, or our mark); 1: nothing of ours found; 2: can't be
    read; 3: inconsistent.
    """

    file: Positional[Path]
    """A clip, a picture, or a folder of frames."""
    json: bool = False
    """Print everything that was found as JSON."""
    trust: Path | None = None
    """A PEM file of certificates to trust."""
    deep: bool = False
    """Also take the clip back to the noise that it was made from and look for a mark there: needs
    the model, and half the time of making it.
    """
    model: str | None = None
    """With --deep: the model folder that may have made the clip, instead of the carried weights."""
    device: str = "cpu"
    """With --deep: cpu, cuda, cuda:1, mps."""


def main(words: list[str]) -> int:
    options = parse(Verify, words, "verify")
    roots = trusted_roots() + (read_roots(options.trust) if options.trust else ())
    report = verify(options.file, roots=roots, invert=inversion(options) if options.deep else None)
    if options.json:
        print(
            json.dumps(
                {"file": str(options.file), **report.as_json()}, indent=1, ensure_ascii=False
            )
        )
    elif report.code == UNREADABLE:
        raise ValueError(report.verdict)
    else:
        print("\n".join([report.verdict, *details(report)]))
    return report.code


def inversion(options: Verify) -> Invert:
    """The model's way back from a clip to its noise."""
    from openlumiere.apps.cli.loading import load  # the nets take seconds to import
    from openlumiere.engine.inversion import noise_of

    base = load(options.model, options.device, "float32").base
    return lambda clip: noise_of(base, clip)


def details(report: Report) -> list[str]:
    manifest, noise = report.manifest, report.noise
    told = [
        f"manifest  {manifest.state}{f': {manifest.problem}' if manifest.problem else ''}",
        f"mark      {seen(report.mark)}",
    ]
    return [*told, f"noise     {seen(noise)}"] if noise else told


def seen(mark: Mark) -> str:
    times = ", ".join(f"{first} to {end - 1}" for first, end in mark.intervals)
    return f"{'found' if mark.found else 'none'}, p = {mark.p_value:.1g}{f', frames {times}' if times else ''}"
