"""What a batch passes through: at most ten files of ours, from the step that draws it to the step
that learns from it.
"""

from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState

from openlumiere.data.sample import Sample
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.e5 import E5TextEncoder
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import PRESETS
from openlumiere.train.data import CaptionStates
from openlumiere.train.nets import build_unet
from openlumiere.train.stages.image import image_stage
from openlumiere.train.stages.video import conditional_stage, video_stage
from openlumiere.train.step import Trainer
from traced import files_entered

TINY = PRESETS["tiny"]
MOST = 10


class Grey:
    """Grey clips under one caption."""

    def draw(self, generator, count, frame_times):
        frames = 1 if frame_times is None else frame_times.shape[-1]
        return Sample(torch.zeros(count, 3, frames, 32, 32), ["a cat"] * count)


def net():
    return STUNet.from_unet2d(build_unet(TINY.image), attention_blocks=(1, 1, 1))


CODEC = UnshuffleCodec(TINY.image.unshuffle)
STAGES = {
    "image": lambda texts: image_stage(Grey(), texts, TINY.image),
    "video": lambda texts: video_stage(Grey(), texts, net(), CODEC, TINY.video),
    "conditional": lambda texts: conditional_stage(Grey(), texts, net(), CODEC, TINY.conditional),
}


@pytest.fixture(autouse=True)
def fresh_accelerate():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("name", STAGES)
def test_a_batch_enters_few_files(name):
    texts = CaptionStates(E5TextEncoder())
    texts.states(["", "a cat"])  # a caption is encoded when it is first met, then kept
    stage = STAGES[name](texts)
    trainer = Trainer(stage, replace(TINY.image.loop, batch=2))
    entered = files_entered(trainer.take_step)
    assert {"train/step.py", "diffusion/loss.py", "models/codec.py"} <= entered
    assert len(entered) <= MOST, sorted(entered)


def test_the_trace_sees_what_is_called():
    assert files_entered(lambda: CODEC.encode(torch.zeros(1, 3, 1, 8, 8))) == {"models/codec.py"}
