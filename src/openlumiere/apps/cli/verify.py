"""`lumiere verify FILE`: where does this file come from?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from openlumiere.apps.cli.arguments import parse
from openlumiere.provenance.certificate import read_roots, trusted_roots
from openlumiere.provenance.verify import UNREADABLE, Mark, Report, verify
from openlumiere.settings import Settings


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


def main(words: list[str]) -> int:
    options = parse(Verify, words, "verify")
    settings = Settings.load()
    named = read_roots(options.trust) if options.trust else ()
    report = verify(options.file, settings=settings, roots=trusted_roots(settings) + named)
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


def details(report: Report) -> list[str]:
    manifest = report.manifest
    problem = f": {manifest.problem}" if manifest.problem else ""
    return [f"manifest  {manifest.state}{problem}", f"mark      {seen(report.mark)}"]


def seen(mark: Mark) -> str:
    times = ", ".join(f"{first} to {end - 1}" for first, end in mark.intervals)
    return f"{'found' if mark.found else 'none'}, p = {mark.p_value:.1g}{f', frames {times}' if times else ''}"
