"""Is a mark in the initial noise found again by `lumiere verify --deep`? Clips made with it, as
they are and enlarged and coded.

    python benchmarks/noise_mark.py --clips 4

No command marks noise: this says what it would be worth on a model. About 20 s of CPU a clip on the
carried weights.
"""

import argparse
import hashlib
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from openlumiere.diffusion.sampler import draw_noise
from openlumiere.engine.inversion import STEPS, noise_of
from openlumiere.engine.lumiere import Lumiere
from openlumiere.media import Clip
from openlumiere.provenance.noise import detect_noise, lowest, marked_noise, transform
from openlumiere.provenance.payload import Payload
from openlumiere.quality.attacks import coded, resized

PROMPTS = Path(__file__).with_name("mark_prompts.txt")
SETTINGS = ((3.0, 20), (1.0, 20))  # guidance and steps
SIDE = 256
ATTACKS = {
    "as made": lambda frames: frames,
    "enlarged, H.264 crf 28": lambda frames: coded(resized(frames, SIDE, SIDE), "h264", 28),
}


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--clips", type=int, default=4)
    words.add_argument("--frames", type=int, default=16)
    words.add_argument("--model")
    words.add_argument("--device", default="cpu")
    options = words.parse_args()
    base = Lumiere.from_pretrained(options.model, device=options.device).base
    base.set_progress_bar_config(disable=True)
    prompts = PROMPTS.read_text(encoding="utf-8").splitlines()[: options.clips]
    print(
        f"| guidance, steps | clip | found at 1e-6 | payload read | scores | signs right | back in {STEPS} steps |\n|---|---|---|---|---|---|---|"
    )
    for guidance, steps in SETTINGS:
        told = {attack: [] for attack in ATTACKS}
        for index, prompt in enumerate(prompts):
            payload = Payload.of(hashlib.sha256(b"noise").hexdigest(), prompt)
            sent = marked_noise(draw_noise(base.coded_shape(options.frames), [index])[0], payload)
            rate = Fraction(16 * options.frames, 80)
            frames = base(
                prompt,
                num_frames=options.frames,
                frame_rate=rate,
                num_inference_steps=steps,
                guidance_scale=guidance,
                latents=sent[None],
            ).frames[0]
            for attack, change in ATTACKS.items():
                told[attack].append(look(base, Clip(change(frames), rate), sent, payload))
        for attack, rows in told.items():
            print(line(f"{guidance:g}, {steps}", attack, rows), flush=True)


def look(
    base, clip: Clip, sent: torch.Tensor, payload: Payload
) -> tuple[bool, bool, float, float, float]:
    """Found, read, score, share of signs that are right, seconds of CPU."""
    start = time.process_time()
    back = noise_of(base, clip)
    spent = time.process_time() - start
    seen, low = detect_noise(back), lowest(*sent.shape[1:])
    signs = [
        torch.sign(transform(noise.double().cpu())[:, low[0], low[1], low[2]])
        for noise in (back, sent)
    ]
    return (
        seen.p_value < 1e-6,
        seen.payload == payload,
        seen.score,
        float((signs[0] == signs[1]).double().mean()),
        spent,
    )


def line(setting: str, attack: str, rows: list[tuple]) -> str:
    found, read, scores, right, spent = zip(*rows, strict=True)
    told = ", ".join(f"{score:.1f}" for score in scores)
    return f"| {setting} | {attack} | {sum(found)} of {len(rows)} | {sum(read)} of {len(rows)} | {told} | {np.mean(right):.2f} | {np.mean(spent):.1f} s |"


if __name__ == "__main__":
    main()
