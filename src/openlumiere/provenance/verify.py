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
from openlumiere.provenance.manifest import Making, Manifest, extract
from openlumiere.provenance.watermark import Detection, detect
from openlumiere.settings import Settings

OURS = 0  # signed, over this very content, by somebody who is trusted here
NOTHING = 1
UNREADABLE = 2
INCONSISTENT = 3
CLAIMED = 4  # a manifest says that it is ours, and nobody known here vouches for it
MARKED = 5  # a mark alone, which may have been laid over anything

LONGEST = 120  # letters of a name that a stranger chose


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the pixels say: whether a key that is known here marked them, whose key, and the
    message, where it can be read.

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
    """What follows, as a sentence (`verdict`) and as a number (`code`).

    0 made by us, signed by somebody trusted here; 1 nothing of ours found; 2 unreadable; 3
    inconsistent; 4 claimed to be ours by somebody not known here; 5 marked, and nothing more.
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
        clip = Clip.load(path, allow_partial=True, limits=limits or Limits()).over("white")
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
    """A detection without what only the detector needs."""
    return Mark(
        found=detection.found,
        p_value=detection.p_value,
        key=owner,
        message=str(detection.payload) if detection.payload else None,
        intervals=tuple(detection.intervals),
    )


def judge(manifest: Manifest, mark: Mark) -> tuple[int, str]:
    """Exit code and sentence.

    "Made by" needs a manifest over this very content whose signer is trusted here: anyone can sign
    as a stranger, and anyone who has the public key can mark.
    """
    if manifest.state == "tampered":
        problem = printable(manifest.problem)
        return (
            INCONSISTENT,
            f"inconsistent: the manifest does not hold ({problem}); {describe_mark(mark)}",
        )
    if manifest.making is not None:
        return judge_ours(manifest, manifest.making, mark)
    if manifest.state != "none":
        return judge_others(manifest, mark)
    if mark.found:
        return MARKED, f"{describe_mark(mark)}; origin unproven, since there is no manifest"
    return NOTHING, "no mark found, and no manifest"


def judge_ours(manifest: Manifest, making: Making, mark: Mark) -> tuple[int, str]:
    """Of a manifest that says that openlumiere made the file."""
    seen = describe_mark(mark)
    if mark.message and mark.message not in making.marks:
        said = printable(making.mark)
        return INCONSISTENT, f"inconsistent: the manifest speaks of the mark {said}, but {seen}"
    maker = f"made by {printable(making.generator)} ({printable(making.task)})"
    if manifest.state == "trusted":
        return OURS, f"{maker}, says a {describe_signer(manifest)}; {seen}"
    return CLAIMED, f"claims to be {maker}, by somebody not known here ({signer(manifest)}); {seen}"


def judge_others(manifest: Manifest, mark: Mark) -> tuple[int, str]:
    """Of another program's manifest, which may name a clip of ours among what it was made from."""
    seen = describe_mark(mark)
    if mark.message and mark.message in manifest.told_marks:
        what = "claims to be made from a clip of openlumiere"
        return CLAIMED, f"{what}, says a {describe_signer(manifest)}; {seen}"
    if mark.found:
        what = f"of which the {describe_signer(manifest)} says nothing"
        return INCONSISTENT, f"inconsistent: {seen}, {what}"
    what = f"a {describe_signer(manifest)}, which says nothing of openlumiere"
    return NOTHING, f"no mark found; there is {what}"


def describe_signer(manifest: Manifest) -> str:
    """Which program wrote a manifest, who signed it, and whether that is somebody trusted."""
    program = printable(manifest.generator) or "an unnamed program"
    known = "trusted" if manifest.state == "trusted" else "not known here"
    return f"manifest by {program} whose signer ({signer(manifest)}) is {known}"


def signer(manifest: Manifest) -> str:
    """The name in the signer's certificate, which anyone can choose."""
    return printable(manifest.signer) or "unnamed"


def describe_mark(mark: Mark) -> str:
    """What the pixels say, in words."""
    if not mark.found:
        return "no mark found in the pixels"
    whose = "the public key" if mark.key == "public" else "your own key"
    message = f" ({mark.message})" if mark.message else ", its message can't be read"
    return f"the pixels are marked with {whose}{message}"


def printable(text: str) -> str:
    """A stranger's text on one line: what he writes can't look like a line of ours."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:LONGEST]
