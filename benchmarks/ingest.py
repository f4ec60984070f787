"""How fast footage is read: processor seconds of `lumiere data ingest` beside those of FFmpeg's own
decoder alone, on the same files.

    python benchmarks/ingest.py FOLDER [--side 128 --frames 80 --fps 16]

Both run one after another on one thread, so that the figures hold for a core. Decoding is PyAV's
loop over all frames with nothing done to them. What starting takes (imports, once a run however
many files it has) is measured on one small clip, and shown apart.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import tyro

from openlumiere.media import Clip

DECODE = """
import sys, av
for path in sys.argv[1:]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for frame in container.decode(stream):
            pass
"""
INGEST = [sys.executable, "-m", "openlumiere.apps.cli", "data", "ingest"]


def main(
    folder: tyro.conf.Positional[Path], side: int = 128, frames: int = 80, fps: int = 16
) -> None:
    """Print seconds of both, the share of decoding, and hours of footage a core-day."""
    files = [str(file) for file in sorted(folder.rglob("*")) if file.is_file()]
    shape = ["--side", str(side), "--frames", str(frames), "--fps", str(fps), "--workers", "1"]
    with tempfile.TemporaryDirectory() as place:
        few = Path(place) / "few"
        few.mkdir()
        noise = np.random.default_rng(0).integers(0, 255, (frames, 64, 64, 3)).astype(np.uint8)
        Clip(noise, fps=fps).save(few / "clip.mp4")
        start_decoding = cpu_seconds([sys.executable, "-c", DECODE, str(few / "clip.mp4")])
        start_ingesting = cpu_seconds([*INGEST, str(few), "-o", f"{place}/1", *shape])
        decoding = cpu_seconds([sys.executable, "-c", DECODE, *files]) - start_decoding
        ingesting = cpu_seconds([*INGEST, str(folder), "-o", f"{place}/2", *shape])
        ingesting -= start_ingesting
    seconds = sum(length_of(file) for file in files)
    print(f"{len(files)} files, {seconds:.0f} s of footage")
    print(f"starting    {start_ingesting:6.2f} s of processor time, once")
    print(f"decoding    {decoding:6.2f} s")
    print(f"ingesting   {ingesting:6.2f} s: {decoding / ingesting:.2f} of decoding's speed")
    print(f"footage     {24 * seconds / ingesting:.0f} hours a core-day")


def cpu_seconds(words: Sequence[str]) -> float:
    """Processor time of a command and of all that it starts."""
    before = children()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return children() - before


def children() -> float:
    """Processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def length_of(file: str) -> float:
    """Seconds that a video says it lasts."""
    with av.open(file) as container:
        return (container.duration or 0) / av.time_base


if __name__ == "__main__":
    tyro.cli(main)
