"""Files from strangers are opened in a child process, so a decoder that crashes, hangs or eats
memory takes only that with it.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np

from openlumiere.media.limits import STANDARD, Limits, MediaError
from openlumiere.media.sound import Sound
from openlumiere.media.views import in_order, stored_frames

log = logging.getLogger("openlumiere")

STARTED = "started"  # the worker's file that says that it got as far as the media file
ROOT = Path(__file__).parents[2]


def read_clip(
    path: str | os.PathLike, allow_partial: bool, limits: Limits
) -> tuple[np.ndarray, Fraction, Sound | None]:
    """Frames uint8 [f, h, w, 3 or 4], frames a second and sound of the clip at `path`."""
    with working("clip", path, limits, allow_partial=allow_partial) as (report, folder):
        frames = _frames(folder, report)
        if report["order"] is not None:
            frames = in_order(frames, report["order"])
        sound = report["sound"] and Sound((folder / "sound.mka").read_bytes(), report["sound"])
        return frames, Fraction(report["fps"]), sound


def read_image(path: str | os.PathLike, limits: Limits) -> np.ndarray:
    """The first frame of the picture at `path`, uint8 [h, w, 3 or 4]."""
    with working("image", path, limits) as (report, folder):
        return _frames(folder, report)[0].copy()


def encode_sound(sound: Sound, suffix: str, limits: Limits = STANDARD) -> Sound:
    """`sound` in a codec that a file with this extension takes: itself where it fits."""
    if sound.fits(suffix):
        return sound
    with tempfile.TemporaryDirectory() as given:
        source = Path(given, "source.mka")
        source.write_bytes(sound.data)
        with working("sound", source, limits, suffix=suffix) as (report, folder):
            return Sound((folder / "sound.mka").read_bytes(), report["sound"])


@contextlib.contextmanager
def working(
    task: str, path: str | os.PathLike, limits: Limits, **settings
) -> Iterator[tuple[dict, Path]]:
    """Run one task of `worker.py` on `path`; gives its report and the folder with what it made,
    which is then removed.
    """
    if not os.path.exists(path):
        raise MediaError("a file or folder that exists", str(path), "check the path")
    with tempfile.TemporaryDirectory(prefix="openlumiere-") as folder:
        job = {
            "task": task,
            "path": os.path.abspath(path),
            "folder": folder,
            "limits": asdict(limits),
            **settings,
        }
        _run(job, limits.seconds)
        report = json.loads(Path(folder, "report.json").read_text())
        if "error" in report:
            raise MediaError(*report["error"])
        for word in report.get("words", ()):
            log.warning("%s: %s", Path(path).name, word)
        yield report, Path(folder)


def _run(job: dict, seconds: float) -> None:
    """Start the worker, wait, and say in one line how it ended if it left no report."""
    command = [sys.executable, "-P", "-m", "openlumiere.media.worker"]
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command,
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=seconds,
            env=os.environ | {"PYTHONPATH": search, "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise MediaError(
            f"a file that reads within {seconds:g} s", job["path"], "cut it or raise Limits.seconds"
        ) from None
    if not Path(job["folder"], "report.json").exists():
        raise _unfinished(job, done)


def _unfinished(job: dict, done: subprocess.CompletedProcess) -> MediaError:
    """Why there is no report: before the file was opened it is our own trouble, not the file's."""
    ending = _ending(done)
    if not Path(job["folder"], STARTED).exists():
        return MediaError(
            "a reading process that starts",
            f"one that {ending}, before it opened {job['path']}",
            "raise the limits of this shell (ulimit -v, -t, -f) or mend the installation",
        )
    if done.returncode == -signal.SIGXCPU:
        bound = f"a file that reads within {job['limits']['seconds']:g} s (or ulimit -t)"
        return MediaError(bound, job["path"], "cut it or raise Limits.seconds")
    return MediaError(
        "a file that can be read",
        f"{job['path']}, at which the reader {ending}",
        "convert or replace it",
    )


def _ending(done: subprocess.CompletedProcess) -> str:
    """How a process without a report ended."""
    if done.returncode < 0:
        return f"was stopped by {signal.Signals(-done.returncode).name}"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"failed ({lines[-1][:200] if lines else f'exit status {done.returncode}'})"


def _frames(folder: Path, report: dict) -> np.ndarray:
    sides = report["height"], report["width"], report["channels"]
    return stored_frames(folder / "frames.raw", *sides)
