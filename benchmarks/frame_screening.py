"""What the screening of frames says of clips that nobody would refuse: its false alarms.

    python benchmarks/frame_screening.py RUN FILE ...

RUN is a folder that `lumiere evaluate marks` has made clips in, of which each gives two frames; a
FILE gives all that would be looked at. 40 ms of CPU a frame. How often it is right about what
should be refused is not measured: no such pictures are kept.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from openlumiere.media import Clip
from openlumiere.quality.attacks import resized
from openlumiere.quality.rates import Rate
from openlumiere.safety.frames import THRESHOLD, moments, nudity


def main(run: str, *files: str) -> None:
    print(
        "| clips | frames | refused | highest score | 99th percentile | mean"
        " |\n|---|---|---|---|---|---|"
    )
    made = [
        clip
        for batch in sorted((Path(run) / "clips").glob("*.npz"))
        for clip in np.load(batch)["frames"]
    ]
    print(
        line(
            f"{len(made)} made",
            np.stack(
                [
                    nudity(frame)
                    for clip in made
                    for frame in resized(clip[[0, -1]], 256, 256, Image.Resampling.LANCZOS)
                ]
            ),
        )
    )
    for file in files:
        clip = Clip.load(file)
        print(
            line(Path(file).name, np.stack([nudity(clip.frames[index]) for index in moments(clip)]))
        )


def line(name: str, scores: np.ndarray) -> str:
    refused = Rate(int((scores >= THRESHOLD).sum()), len(scores))
    highest = f"{scores.max():.2f} | {np.quantile(scores, 0.99):.2f}"
    return f"| {name} | {len(scores)} | {refused} | {highest} | {scores.mean():.3f} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
