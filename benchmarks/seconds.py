"""Where each second of a clip goes: python benchmarks/seconds.py [--model toys] [--fast]

One process, from its start to the signed file. Times are of the clock, so let nothing else run;
beside them the processor's, which other work disturbs less.
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
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    steps = 4 if options.fast and options.steps == 20 else options.steps
    moments = [("start", START, 0.0)]

    def note(name: str) -> None:
        moments.append((name, time.perf_counter(), time.process_time()))

    from openlumiere.apps.cli import many_imports

    with many_imports():
        from openlumiere.apps.cli.loading import load

    note("import torch, diffusers and the package")
    lumiere = load(options.model, "cpu", options.dtype)
    note("load the weights, checked by their sha256")
    _ = lumiere.fingerprint
    note("hash the weights in memory, for the record")
    lumiere.base.backbone.condition([PROMPT, ""], frames=1, height=32, width=32)
    note("load the text encoder, encode the prompt")
    denoised = []
    clip = lumiere.generate(
        PROMPT,
        seed=7,
        steps=steps,
        fast=options.fast,
        on_step=lambda _: denoised.append((time.perf_counter(), time.process_time())),
    )
    moments.append((f"denoise 80 frames in {steps} steps", *denoised[-1]))
    note("decode, enlarge to 256 pixels")
    with tempfile.TemporaryDirectory() as folder:
        clip.save(Path(folder) / "clip.mp4")
    note("mark, encode, sign, write")
    total = moments[-1][1] - START
    print("| part | seconds | share | seconds of CPU |\n| --- | --- | --- | --- |")
    for (_, before, idle), (name, after, busy) in pairwise(moments):
        share = (after - before) / total
        print(f"| {name} | {after - before:.2f} | {share:.0%} | {busy - idle:.2f} |")
    print(f"| all | {total:.2f} | | {moments[-1][2]:.2f} |")


if __name__ == "__main__":
    main()
