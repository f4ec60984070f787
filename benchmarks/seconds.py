"""Where each second of the default clip goes: python benchmarks/seconds.py [--steps 8]

One process, from its start to the signed file; times are of the clock, so let nothing else run.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import argparse  # noqa: E402
import tempfile  # noqa: E402
from itertools import pairwise  # noqa: E402
from pathlib import Path  # noqa: E402

PROMPT = "a rocket moves up on a blue background"


def main() -> None:
    """Make the clip once, and print a row a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    steps = parser.parse_args().steps
    moments = [("start", START)]

    def note(name: str) -> None:
        moments.append((name, time.perf_counter()))

    from openlumiere import Lumiere

    note("import torch, diffusers and the package")
    lumiere = Lumiere.from_pretrained()
    note("load the weights, checked by their sha256")
    _ = lumiere.fingerprint
    note("hash the weights in memory, for the record")
    lumiere.base.backbone.condition([PROMPT, ""], frames=1, height=32, width=32)
    note("load the text encoder, encode the prompt")
    denoised = []
    clip = lumiere.generate(
        PROMPT, seed=7, steps=steps, on_step=lambda _: denoised.append(time.perf_counter())
    )
    moments.append((f"denoise 80 frames in {steps} steps", denoised[-1]))
    note("decode, enlarge to 256 pixels")
    with tempfile.TemporaryDirectory() as folder:
        clip.save(Path(folder) / "clip.mp4")
    note("mark, encode, sign, write")
    total = moments[-1][1] - START
    print("| part | seconds | share |\n| --- | --- | --- |")
    for (_, before), (name, after) in pairwise(moments):
        print(f"| {name} | {after - before:.2f} | {(after - before) / total:.0%} |")
    print(f"| all | {total:.2f} | |")


if __name__ == "__main__":
    main()
