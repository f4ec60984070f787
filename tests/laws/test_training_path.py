"""What a batch passes through: at most ten files of ours, from the step that draws it to the step
that learns from it.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

import openlumiere
from openlumiere.data.sample import Sample
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.e5 import E5TextEncoder
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import PRESETS
from openlumiere.train.data import CaptionStates
from openlumiere.train.nets import build_unet
from openlumiere.train.stages.conditional import conditional_stage
from openlumiere.train.stages.image import image_stage
from openlumiere.train.stages.video import video_stage
from openlumiere.train.step import Trainer

HOUSE = os.fspath(Path(openlumiere.__file__).parent)
TINY = PRESETS["tiny"]
MOST = {"image": 10, "video": 10, "conditional": 13}  # masks and what is known come beside


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


def files_entered(act):
    """Our files of which a function is entered by a call, constructors left out."""
    found = set()

    def note(frame, event, _argument):
        code = frame.f_code
        constructor = code.co_name in ("__init__", "__post_init__", "__new__", "<module>")
        if event == "call" and code.co_filename.startswith(HOUSE) and not constructor:
            found.add(os.path.relpath(code.co_filename, HOUSE))

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return found


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
    assert len(entered) <= MOST[name], sorted(entered)


def test_the_trace_sees_what_is_called():
    assert files_entered(lambda: CODEC.encode(torch.zeros(1, 3, 1, 8, 8))) == {"models/codec.py"}
