"""What docs/scale.md reckons with: figures of one core, and a cluster of fake workers under Ray.

    python benchmarks/scale.py figures
    python benchmarks/scale.py cluster [--workers 64 --jobs 2000 --crashes 40]

`figures` prints what a clip of 80 frames of 128 px costs in bytes and processor seconds wherever
the number of clips counts. `cluster` gives the real scheduler of `lumiere data ingest --ray` jobs
that sleep instead of reading, for as long as files of very different lengths take; some workers
are killed at work, and once the process that gives out the jobs is, and starts again.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro

from openlumiere.data.ingest.config import IngestConfig
from openlumiere.data.ingest.duplicates import Seen
from openlumiere.data.ingest.pictures import pack, unpack
from openlumiere.data.ingest.source import order
from openlumiere.data.ingest.workers import AHEAD, Cluster

CLIPS = 20_000
COUNTED = 1_000_000
ROW = json.dumps(
    {
        "key": "0123456789abcdef-00001",
        "start": 1.5,
        "seconds": 5.0,
        "motion": 5.182,
        "light": 171.16,
        "repeats": 0.0,
        "phash": "389b91f06e601eb32ab395c46a443bb33ab3959a6e4c9291",
        "scores": "{}",
        "flags": "",
        "dropped": "",
        "sha256": "a" * 64,
        "source_width": 1920,
        "source_height": 1080,
        "source_fps": "25",
        "interlaced": False,
        "hdr": False,
        "source": "some/folder/clip_000001.mp4",
        "caption": "a man walks along the street in the rain",
        "licence": "CC-BY-4.0",
    }
)
SPREAD = 1.0  # standard deviation of the logarithm of a file's seconds


def figures() -> None:
    """Bytes and seconds of one clip."""
    config, rng = IngestConfig(), np.random.default_rng(0)
    coarse = rng.integers(0, 255, (config.frames, 16, 16, 3)).astype(np.uint8)
    frames = coarse.repeat(8, 1).repeat(8, 2)
    packed = pack(frames, config)
    print(f"packing a clip      {seconds_of(lambda: pack(frames, config)):8.3f} s")
    print(f"unpacking a clip    {seconds_of(lambda: unpack(packed, config)):8.3f} s")
    hashes = [rng.bytes(24).hex() for _ in range(CLIPS)]
    tracemalloc.start()
    start = time.process_time()
    seen = Seen(config.duplicate)
    for number, phash in enumerate(hashes):
        seen.find(phash)
        seen.keep(f"{number:016x}-00000", phash)
    spent = (time.process_time() - start) / CLIPS
    held = tracemalloc.get_traced_memory()[0] / CLIPS
    rows = [json.loads(ROW) for _ in range(CLIPS)]
    rowed = tracemalloc.get_traced_memory()[0] / CLIPS - held
    tracemalloc.stop()
    print(f"rows of the index   {rowed:8.0f} bytes a clip (traced, {len(rows)} of them)")
    print(f"duplicates          {1e6 * spent:8.1f} us and {held:.0f} bytes a clip (traced)")
    epochs = itertools.count()
    shuffle = seconds_of(lambda: order(COUNTED, 0, next(epochs)))
    print(f"order of an epoch   {1e9 * shuffle / COUNTED:8.1f} ns and 8 bytes a clip")


def seconds_of(run) -> float:
    """Processor seconds of a call, the best of three."""
    spent = []
    for _ in range(3):
        start = time.process_time()
        run()
        spent.append(time.process_time() - start)
    return min(spent)


def fake(job: dict) -> dict:
    """Sleep as long as the file takes; the first time that a job marked so is done, its worker
    dies.
    """
    mark = Path(job["mark"])
    if mark.is_file():
        mark.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(job["seconds"])
    return {"rows": [job["number"]]}


class Fakes(Cluster):
    """The real cluster, whose workers sleep."""

    work = staticmethod(fake)


def cluster(
    workers: int = 64, jobs: int = 2000, crashes: int = 40, mean: float = 0.5, seed: int = 0
) -> None:
    """Drain the jobs, by a process that is killed half way and starts again."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rng = np.random.default_rng(seed)
        seconds = mean * rng.lognormal(-(SPREAD**2) / 2, SPREAD, jobs)
        for number in rng.choice(jobs, crashes, replace=False):
            (folder / f"crash-{number}").touch()
        (folder / "jobs.pickle").write_bytes(pickle.dumps(seconds.tolist()))
        words = [sys.executable, __file__, "drain", "--workers", str(workers), place]
        first = subprocess.Popen(words)
        while first.poll() is None and len(done(folder)) < jobs // 2:
            time.sleep(0.05)
        first.kill()
        first.wait()
        subprocess.run(["ray", "stop", "--force"], capture_output=True)
        before = len(done(folder))
        start = time.monotonic()
        subprocess.run(words, check=True)
        report(seconds, done(folder), before, time.monotonic() - start, workers)
        left = len(list(folder.glob("crash-*")))
        print(f"killed at work      {crashes - left} of {crashes} workers that were to be")


def report(seconds: np.ndarray, noted: list[int], before: int, took: float, workers: int) -> None:
    """What was lost, doubled and how well the workers were used after the restart."""
    counts = Counter(noted)
    left = [number for number in range(len(seconds)) if number not in set(noted[:before])]
    ideal = max(seconds[left].sum() / workers, seconds[left].max())
    doubled = sum(1 for count in counts.values() if count > 1)
    print(f"jobs                {len(counts)} of {len(seconds)} noted, {doubled} noted twice")
    print(f"when killed         {before} were noted; at most {AHEAD * workers} were in hand")
    print(f"after the restart   {took:.1f} s with starting Ray, {ideal:.1f} s at the least")


def drain(folder: tyro.conf.Positional[Path], workers: int = 64) -> None:
    """Do what is not noted; a note a job, as the journal of an ingestion keeps."""
    seconds = pickle.loads((folder / "jobs.pickle").read_bytes())
    known = set(done(folder))
    mine = Fakes("local", workers)
    start = time.monotonic()
    with open(folder / "done", "a") as notes:
        for number, outcome in mine.digest(left(folder, seconds, known)):
            assert outcome == {"rows": [number]}, outcome
            notes.write(f"{number}\n")
            notes.flush()
    print(f"drained             {time.monotonic() - start:.1f} s, Ray running")
    mine.close()


def left(folder: Path, seconds: list[float], known: set[int]) -> Iterator[tuple[int, dict]]:
    """Jobs that are not noted."""
    for number, length in enumerate(seconds):
        if number not in known:
            mark = str(folder / f"crash-{number}")
            yield number, {"number": number, "seconds": length, "mark": mark}


def done(folder: Path) -> list[int]:
    """Numbers of the jobs noted so far."""
    notes = folder / "done"
    return [int(line) for line in notes.read_text().split()] if notes.is_file() else []


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"figures": figures, "cluster": cluster, "drain": drain})
