"""Peak memory of whole runs, each in a process of its own, beside what `lumiere doctor` would say
before.

    python benchmarks/memory.py
    python benchmarks/memory.py "80 frames, 256 px" "30 s, 256 px"

Peaks are those of the resident size (Linux: VmHWM) from the start of Python to the written file, on
one thread. Steps take time, not memory: one is run. Frames beyond 256 MiB lie in a mapped file,
whose pages count where they are held at the moment of the peak.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

PROMPT = "a dog moves right on a green background"
RUNS = {  # name: what is asked for, over `Generate`'s values
    "80 frames, 256 px, no upscaler": {"frames": 80, "size": 256, "upscale": False},
    "80 frames, 256 px, no upscaler, limit 760 MiB": {
        "frames": 80,
        "size": 256,
        "upscale": False,
        "memory_limit": 760 * 2**20,
    },
    "80 frames, 256 px": {"frames": 80, "size": 256},
    "80 frames, 1024 px": {"frames": 80, "size": 1024},
    "80 frames, 256 px, limit 960 MiB": {"frames": 80, "size": 256, "memory_limit": 960 * 2**20},
    "10 s, 256 px, no upscaler": {"frames": 160, "size": 256, "upscale": False},
    "30 s, 256 px, no upscaler": {"frames": 480, "size": 256, "upscale": False},
    "60 s, 256 px, no upscaler": {"frames": 960, "size": 256, "upscale": False},
    "30 s, 256 px": {"frames": 480, "size": 256},
    "upscale, 80 frames, 64 to 256 px": {"task": "upscale", "frames": 80, "side": 64},
    "upscale, 80 frames, 64 to 256 px, limit 1050 MiB": {
        "task": "upscale",
        "frames": 80,
        "side": 64,
        "memory_limit": 1050 * 2**20,
    },
    "upscale, 4 frames, 256 to 1024 px": {"task": "upscale", "frames": 4, "side": 256},
}
CHILD = """
import sys, torch, numpy
torch.set_num_threads(1)
from openlumiere import Clip, Lumiere
from openlumiere.engine.memory import cascade_memory, pick_tiles, upscale_memory
from openlumiere.tasks import Generate

asked, out, model = eval(sys.argv[1]), sys.argv[2], sys.argv[3] or None
lumiere = Lumiere.from_pretrained(model)
if asked.pop("task", "generate") == "upscale":
    side = asked.pop("side")
    size, limit = (asked["frames"], side, side), asked.get("memory_limit", 0)
    beside = lumiere.base.weights
    print(upscale_memory(lumiere.upscaler, size, pick_tiles(lumiere.upscaler, size, limit, beside),
    beside))
    clip = Clip(numpy.random.default_rng(0).integers(0, 256, (*size, 3), dtype=numpy.uint8))
    made = lumiere.upscale(clip, steps=1, memory_limit=limit)
else:
    run = Generate(prompt=sys.argv[4], steps=1, **asked)
    print(cascade_memory(lumiere.base, lumiere.upscaler, run))
    made = lumiere.run(run)
made.save(out)
lines = open("/proc/self/status").read().splitlines()
print(1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")))
"""


def run(asked: dict, model: str) -> tuple[int, int]:
    """Bytes estimated and bytes taken."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            sys.executable,
            "-c",
            CHILD,
            repr(asked),
            str(Path(folder) / "clip.mp4"),
            model,
            PROMPT,
        ]
        done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    estimated, taken = map(int, done.stdout.split())
    return estimated, taken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", help=f"of: {'; '.join(RUNS)}")
    parser.add_argument("--model", default="world-32", help="a bundled model or a folder")
    options = parser.parse_args()
    print("| run, one step | estimate | peak | estimate / peak |\n| --- | --- | --- | --- |")
    for name in options.runs or RUNS:
        estimated, taken = run(RUNS[name], options.model)
        ratio = estimated / taken
        sizes = f"{estimated / 2**20:.0f} MiB | {taken / 2**20:.0f} MiB"
        print(f"| {name} | {sizes} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
