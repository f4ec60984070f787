"""Training speed of each stage: frames a second, and the share of the device's matrix rate that a
step reaches.

    python benchmarks/training.py [--preset world-32] [--device cpu] [--steps 5]

Clips are noise, and captions have fixed token states, so nothing needs to be fetched or drawn. On
the CPU seconds are processor time of one thread, so that other work
on the machine counts little; the matrix rate (products of 1024 x 1024 float32 matrices) is measured
in the same way in the same run.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from openlumiere.data.sample import Sample
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.stunet import STUNet
from openlumiere.models.text import TextStates
from openlumiere.train.config import PRESETS, LoopConfig, Preset, VideoConfig
from openlumiere.train.data import CaptionStates
from openlumiere.train.loop import measure
from openlumiere.train.nets import build_unet
from openlumiere.train.stages.image import image_stage
from openlumiere.train.stages.video import conditional_stage, video_stage
from openlumiere.train.step import Stage, Trainer
from openlumiere.train.work import SIDE, wait

TOKENS = 21  # the mean of a caption of the world


class FixedText:
    dim = 384

    def encode(self, prompts: list[str]) -> TextStates:
        states = torch.randn(
            len(prompts), TOKENS, self.dim, generator=torch.Generator().manual_seed(0)
        )
        return TextStates(states=states, mask=torch.ones(len(prompts), TOKENS, dtype=torch.bool))

    def encode_together(self, prompts: list[str], device: str) -> TextStates:
        return self.encode(prompts)


class Noise:
    """Clips of noise under one caption."""

    def __init__(self, side: int, device: str):
        self.side = side
        self.device = device

    def draw(
        self, generator: torch.Generator, count: int, frame_times: torch.Tensor | None
    ) -> Sample:
        frames = 1 if frame_times is None else frame_times.shape[-1]
        pixels = torch.rand(count, 3, frames, self.side, self.side, generator=generator)
        return Sample((2 * pixels - 1).to(self.device), ["noise"] * count)


def stages(preset: Preset, device: str) -> dict[str, tuple[Callable[[], Stage], LoopConfig]]:
    source = Noise(preset.image.side, device)
    codec = UnshuffleCodec(preset.image.unshuffle)
    texts = CaptionStates(FixedText(), device)
    loop = replace(preset.image.loop, device=device)
    clips = replace(preset.video.loop, device=device, batch=4)

    def net() -> STUNet:
        return STUNet.from_unet2d(
            build_unet(preset.image), attention_blocks=preset.video.attention_blocks
        )

    def config(stride: int) -> VideoConfig:
        return replace(preset.video, stride=stride)

    return {
        "image": (lambda: image_stage(source, texts, preset.image), loop),
        "video, 16 frames": (lambda: video_stage(source, texts, net(), codec, config(5)), clips),
        "video, 80 frames": (
            lambda: video_stage(source, texts, net(), codec, config(1)),
            replace(clips, batch=1),
        ),
        "conditional, 16 frames": (
            lambda: conditional_stage(source, texts, net(), codec, config(5)),
            clips,
        ),
    }


def seconds_a_step(trainer: Trainer, steps: int, clock: Callable[[], float]) -> float:
    trainer.take_step()
    wait(trainer.accelerator.device)
    start = clock()
    for _ in range(steps):
        trainer.take_step()
    wait(trainer.accelerator.device)
    return (clock() - start) / steps


def matrix_rate(device: torch.device, dtype: torch.dtype, clock: Callable[[], float]) -> float:
    left, right = (torch.randn(SIDE, SIDE, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(5):
        wait(device)
        start = clock()
        left @ right
        wait(device)
        times.append(clock() - start)
    return 2 * SIDE**3 / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="world-32", choices=tuple(PRESETS))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--steps", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.process_time if asked.device == "cpu" else time.perf_counter
    print(f"{asked.preset} on {asked.device}, torch {torch.__version__}")
    for name, (build, loop) in stages(PRESETS[asked.preset], asked.device).items():
        trainer = Trainer(build(), loop)
        work = measure(trainer)
        seconds = seconds_a_step(trainer, asked.steps, clock)
        rate = matrix_rate(trainer.accelerator.device, trainer.dtype, clock)
        frames, share = loop.batch * trainer.stage.frames / seconds, work.flops / seconds / rate
        print(
            f"{name:<24} {seconds:.3f} s a step of {loop.batch}  {frames:.1f} frames/s "
            f" {work.flops / 1e9:.0f} GFLOP  {100 * share:.0f} % of {rate / 1e9:.0f} GFLOP/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
