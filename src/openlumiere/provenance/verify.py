"""Where does this file come from? Manifest and mark, read off the file alone, and what follows from
both.

The answer is never "real": what carries no mark and no manifest may still have been made by a
machine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from cryptography import x509

from openlumiere.media import Clip, Limits, MediaError
from openlumiere.provenance.certificate import trusted_roots
from openlumiere.provenance.detached import read_statement, statement_path
from openlumiere.provenance.key import known_keys
from openlumiere.provenance.manifest import Manifest, extract
from openlumiere.provenance.watermark import Detection, detect
from openlumiere.settings import Settings

OURS, NOTHING, UNREADABLE, INCONSISTENT = 0, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the pixels say: whether a key that is known here marked them, whose key, and the message,
    where it can be read.

    `p_value`: how probable so good a fit is in unmarked footage; `intervals`: [first, last + 1)
    frames where the mark is seen.
    """

    found: bool
    p_value: float
    key: str = "public"
    message: str | None = None
    intervals: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """`code`: 0 ours, 1 nothing of ours found, 2 unreadable, 3 inconsistent; `verdict` says it in a
    sentence.
    """

    verdict: str
    code: int
    manifest: Manifest | None = None
    mark: Mark | None = None

    def as_json(self) -> dict:
        """Plain values, all that was found."""
        manifest = self.manifest and asdict(self.manifest) | {
            "making": self.manifest.making and self.manifest.making.as_json()
        }
        mark = self.mark and asdict(self.mark)
        return {"verdict": self.verdict, "code": self.code, "manifest": manifest, "mark": mark}


def verify(
    path: str | Path,
    *,
    settings: Settings | None = None,
    roots: tuple[x509.Certificate, ...] | None = None,
    limits: Limits | None = None,
) -> Report:
    """Check one file or folder of frames, within `limits` (None: the default ones of reading).

    `settings` (None: this user's) name a secret key to look for; `roots` are trusted (None: those
    that the settings name). Nothing else is consulted.
    """
    path = Path(path)
    settings = settings or Settings.load()
    roots = trusted_roots(settings) if roots is None else roots
    try:
        clip = Clip.load(path, allow_partial=True, limits=limits or Limits())
    except MediaError as error:
        return Report(verdict=str(error), code=UNREADABLE)
    manifest, mark = (
        read_manifest(path, roots),
        read_mark(clip.frames, known_keys(settings.mark_key)),
    )
    code, verdict = judge(manifest, mark)
    return Report(verdict=verdict, code=code, manifest=manifest, mark=mark)


def read_manifest(path: Path, roots: tuple[x509.Certificate, ...] | None = None) -> Manifest:
    """The manifest inside a file, else the statement beside it or in a folder."""
    inside = Manifest(state="none") if path.is_dir() else extract(path, roots)
    if inside.state != "none" or not statement_path(path).is_file():
        return inside
    return read_statement(path, roots)


def read_mark(frames: np.ndarray, keys: dict[str, bytes]) -> Mark:
    """The mark of the first of these keys that fits."""
    for owner, key in keys.items():
        mark = as_mark(detect(frames, key), owner)
        if mark.found:
            break
    return mark


def as_mark(detection: Detection, owner: str) -> Mark:
    message = str(detection.payload) if detection.payload else None
    return Mark(
        found=detection.found,
        p_value=detection.p_value,
        key=owner,
        message=message,
        intervals=tuple(detection.intervals),
    )


def judge(manifest: Manifest, mark: Mark) -> tuple[int, str]:
    """Exit code and sentence. "Made by" needs a manifest that holds over this very content; a mark
    alone may have been pasted.
    """
    if manifest.state == "tampered":
        return (
            INCONSISTENT,
            f"inconsistent: the manifest does not hold ({manifest.problem}); {told(mark)}",
        )
    if manifest.making is not None:
        return judge_ours(manifest, mark)
    if manifest.state != "none":
        return judge_others(manifest, mark)
    if mark.found:
        return OURS, f"{told(mark)}; origin unproven, since there is no manifest"
    return NOTHING, "no mark found, and no manifest"


def judge_ours(manifest: Manifest, mark: Mark) -> tuple[int, str]:
    making = manifest.making
    if mark.message and mark.message not in making.marks:
        return (
            INCONSISTENT,
            f"inconsistent: the manifest speaks of the mark {making.mark}, but {told(mark)}",
        )
    return (
        OURS,
        f"made by {making.generator} ({making.task}), says a {signed(manifest)}; {told(mark)}",
    )


def judge_others(manifest: Manifest, mark: Mark) -> tuple[int, str]:
    if mark.message and mark.message in manifest.told_marks:
        return OURS, f"made from a clip of openlumiere, says a {signed(manifest)}; {told(mark)}"
    if mark.found:
        return (
            INCONSISTENT,
            f"inconsistent: {told(mark)}, of which the {signed(manifest)} says nothing",
        )
    return (
        NOTHING,
        f"no mark found; there is a {signed(manifest)}, which says nothing of openlumiere",
    )


def signed(manifest: Manifest) -> str:
    trust = "trusted" if manifest.state == "trusted" else "valid (though not known here)"
    return f"manifest by {manifest.generator or 'an unnamed program'} whose signer ({manifest.signer or 'unnamed'}) is {trust}"


def told(mark: Mark) -> str:
    if not mark.found:
        return "no mark found in the pixels"
    whose = "our key" if mark.key == "public" else "your own key"
    return f"the pixels are marked with {whose}" + (
        f" ({mark.message})" if mark.message else ", its message can't be read"
    )
