"""RivaGAN of PyPI's `invisible-watermark` on the clips of `lumiere evaluate marks`: 32 bits a
frame, the majority over frames counts.

    python benchmarks/rivagan.py RUN --clips 6

RUN is a folder that `lumiere evaluate marks` has made clips in. Needs `pip install
invisible-watermark onnxruntime opencv-python-headless` beside openlumiere. Rows are kept in
RUN/rivagan.jsonl and a run that was stopped goes on. Found: at least 30 of 32 bits right, which
random bits reach 1.2 times in ten million; read: all 32.
"""

import argparse
import hashlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from imwatermark import WatermarkDecoder, WatermarkEncoder
from PIL import Image

from openlumiere.quality.attacks import ATTACKS, resized
from openlumiere.quality.metrics import psnr
from openlumiere.quality.rates import Rate

MESSAGE = hashlib.sha256(b"rivagan").digest()[:4]
NAMES = (
    "clean",
    "H.264 crf 23",
    "H.264 crf 28",
    "H.265 crf 28",
    "VP9 crf 32",
    "half and back",
    "noise, sigma 5",
    "GIF palette",
)
READ_FRAMES = 4
FOUND = 30


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("run", type=Path)
    words.add_argument("--clips", type=int, default=6)
    words.add_argument("--skip", type=int, default=40)
    options = words.parse_args()
    path = options.run / "rivagan.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    for index in range(options.skip, options.skip + options.clips):
        todo = [
            name
            for name in NAMES
            if (index, name) not in {(row["clip"], row["attack"]) for row in rows}
        ]
        if todo:
            clip = np.load(options.run / "clips" / f"{index // 4 * 4:03d}.npz")["frames"][index % 4]
            clip = resized(clip, 256, 256, Image.Resampling.LANCZOS)
            sent = marked(clip)
        for name in todo:
            draw = np.random.default_rng(index)
            seen = ATTACKS[name](sent, draw) if name != "clean" else sent
            row = {
                "clip": index,
                "attack": name,
                "right": right_bits(seen),
                "psnr": psnr(clip, sent),
            }
            rows.append(row)
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print(table(rows))


def marked(frames: np.ndarray) -> np.ndarray:
    encoder = WatermarkEncoder()
    WatermarkEncoder.loadModel()
    encoder.set_watermark("bytes", MESSAGE)
    return np.stack(
        [encoder.encode(frame[..., ::-1].copy(), "rivaGan")[..., ::-1] for frame in frames]
    )


def right_bits(frames: np.ndarray) -> int:
    """Bits that the majority of a few frames has right."""
    decoder = WatermarkDecoder("bits", 32)
    WatermarkDecoder.loadModel()
    chosen = frames[np.linspace(0, len(frames) - 1, READ_FRAMES).round().astype(int)]
    votes = np.mean(
        [decoder.decode(frame[..., ::-1].copy(), "rivaGan") for frame in chosen], axis=0
    )
    return int(((votes > 0.5) == np.unpackbits(np.frombuffer(MESSAGE, np.uint8))).sum())


def table(rows: list[dict]) -> str:
    by_attack = defaultdict(list)
    for row in rows:
        by_attack[row["attack"]].append(row["right"])
    lines = ["| attack | clips | found at 1e-6 | read | bits right |", "|---|---|---|---|---|"]
    for name, right in by_attack.items():
        found, read = (
            Rate(sum(r >= FOUND for r in right), len(right)),
            Rate(sum(r == 32 for r in right), len(right)),
        )
        lines.append(f"| {name} | {len(right)} | {found} | {read} | {np.mean(right) / 32:.3f} |")
    return "\n".join([*lines, "", f"PSNR {np.mean([row['psnr'] for row in rows]):.1f} dB"])


if __name__ == "__main__":
    main()
