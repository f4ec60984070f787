"""Every training stage for twenty steps on tiny nets and drawn discs: what the golden file keeps of
it are its losses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.stunet import STUNet
from openlumiere.models.text import TextStates
from openlumiere.train.config import PRESETS
from openlumiere.train.data import CaptionStates
from openlumiere.train.loop import train
from openlumiere.train.nets import build_unet, inflate_upscaler
from openlumiere.train.pairs import DrawnClips, Pairs
from openlumiere.train.stages.image import image_stage
from openlumiere.train.stages.upscaler import upscaler_stage
from openlumiere.train.stages.video import conditional_stage, video_stage
from openlumiere.train.step import Stage

STEPS = 20
TINY = PRESETS["tiny"]
CODEC = UnshuffleCodec(TINY.image.unshuffle)


class Sample(NamedTuple):
    pixels: torch.Tensor
    captions: list[str]


class Discs:
    """A disc of one of six colours that moves to one side over grey, 32 pixels, drawn by the
    generator alone.
    """

    colours = torch.tensor(
        [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]
    ).float()

    def draw(self, generator, count, frame_times):
        times = torch.zeros(1) if frame_times is None else frame_times
        rows = torch.randint(6, (count,), generator=generator)
        speed = torch.rand(count, 1, 1, 1, generator=generator) * 2 - 1
        y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
        centre = speed * times.reshape(-1, 1, 1) / 80
        inside = ((x - centre) ** 2 + y**2 < 0.2)[:, None]
        pixels = torch.where(inside, self.colours[rows][:, :, None, None, None], torch.zeros(()))
        return Sample(pixels, [f"a disc of colour {row}" for row in rows.tolist()])


class FewTokens:
    """Random token states that are a function of the prompt."""

    dim = 384

    def encode(self, prompts):
        seeds = [sum(map(ord, prompt)) for prompt in prompts]
        rows = [
            torch.randn(1 + seed % 4, 384, generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
        lengths = torch.tensor([len(row) for row in rows])
        states = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return TextStates(
            states=states, mask=torch.arange(states.shape[1])[None] < lengths[:, None]
        )


def blocks(frames) -> DrawnClips:
    """Random blocks in the place of drawn clips."""
    drawn = np.random.default_rng(0).integers(0, 256, (3, frames, 16, 16, 3), dtype=np.uint8)
    return DrawnClips(drawn.repeat(16, 2).repeat(16, 3), ["a cat", "a dog", "a frog"])


def texts() -> CaptionStates:
    return CaptionStates(FewTokens())


def inflated() -> STUNet:
    torch.manual_seed(5)
    return STUNet.from_unet2d(build_unet(TINY.image), attention_blocks=(1, 1, 1))


def image() -> tuple[Stage, object]:
    return image_stage(Discs(), texts(), TINY.image), TINY.image.loop


def video() -> tuple[Stage, object]:
    return video_stage(Discs(), texts(), inflated(), CODEC, TINY.video), TINY.video.loop


def conditional() -> tuple[Stage, object]:
    stage = conditional_stage(Discs(), texts(), inflated(), CODEC, TINY.conditional)
    return stage, TINY.conditional.loop


def upscaler_of(config, net) -> tuple[Stage, object]:
    pairs = Pairs(blocks(config.frames), blocks(config.frames), texts(), config)
    return upscaler_stage(pairs, net, config), config.loop


def upscaler() -> tuple[Stage, object]:
    torch.manual_seed(6)
    return upscaler_of(TINY.upscaler, build_unet(TINY.upscaler))


def upscaler_video() -> tuple[Stage, object]:
    torch.manual_seed(6)
    return upscaler_of(TINY.upscaler_video, inflate_upscaler(build_unet(TINY.upscaler_video)))


STAGES: dict[str, Callable[[], tuple[Stage, object]]] = {
    "image": image,
    "video": video,
    "conditional": conditional,
    "upscaler": upscaler,
    "upscaler-video": upscaler_video,
}


def first_losses(name: str, run: Path) -> list[float]:
    """The losses of the first twenty steps, as logged."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    stage, loop = STAGES[name]()
    train(stage, replace(loop, log_every=1, show_every=0, count_work=False), run, max_steps=STEPS)
    AcceleratorState._reset_state(reset_partial_state=True)
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]
