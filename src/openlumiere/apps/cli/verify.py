"""`lumiere verify FILE`: where does this file come from?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from openlumiere.apps.cli.arguments import parse
from openlumiere.provenance.certificate import read_roots, trusted_roots
from openlumiere.provenance.manifest import Manifest
from openlumiere.provenance.verify import UNREADABLE, Mark, Report, printable, verify
from openlumiere.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Read manifest and mark off a file, nothing else, and say what follows.

    Exit code 0: made by openlumiere, signed by somebody who is trusted here; 1: nothing of ours
    found; 2: can't be read; 3: inconsistent; 4: claimed to be ours by somebody not known here; 5:
    marked, and nothing more.
    """

    file: Positional[Path]
    """A clip, a picture, or a folder of frames."""
    json: bool = False
    """Print everything that was found as JSON."""
    trust: Path | None = None
    """A PEM file of certificates to trust."""


def main(words: list[str]) -> int:
    """Print the verdict and what it rests on; the exit code says it, too."""
    options = parse(Verify, words, "verify")
    settings = Settings.load()
    named = read_roots(options.trust) if options.trust else ()
    report = verify(options.file, settings=settings, roots=trusted_roots(settings) + named)
    if options.json:
        found = {"file": str(options.file), **report.as_json()}
        print(json.dumps(found, indent=1))
    elif report.code == UNREADABLE:
        raise ValueError(report.verdict)
    else:
        print("\n".join([report.verdict, *details(report)]))
    return report.code


def details(report: Report) -> list[str]:
    """A line for the manifest and one for the mark, of a file that could be read."""
    assert report.manifest is not None
    assert report.mark is not None
    return [f"manifest  {state(report.manifest)}", f"mark      {seen(report.mark)}"]


def state(manifest: Manifest) -> str:
    """Whether there is a manifest, whether it holds, and what is wrong with it."""
    problem = f": {printable(manifest.problem)}" if manifest.problem else ""
    return f"{manifest.state}{problem}"


def seen(mark: Mark) -> str:
    """Whether there is a mark, how surely, and in which frames."""
    times = ", ".join(f"{first} to {end - 1}" for first, end in mark.intervals)
    frames = f", frames {times}" if times else ""
    return f"{'found' if mark.found else 'none'}, p = {mark.p_value:.1g}{frames}"
