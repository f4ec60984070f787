"""What a run will take is said before it, and what does not fit is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from toy import Line, Regression, config, run_to, same

from openlumiere.train import budget
from openlumiere.train.budget import BESIDE, Budget, budget_of
from openlumiere.train.checkpoint import newest_checkpoint
from openlumiere.train.log import Observer
from openlumiere.train.loop import train
from openlumiere.train.step import Losses, Trainer

WIDE = 512
GIGABYTE = 2**30


class Wide(nn.Module):
    """Two matrices, of which the second trains."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(WIDE, WIDE, bias=False).requires_grad_(False)
        self.second = nn.Linear(WIDE, WIDE, bias=False)

    def forward(self, x):
        return self.second(self.first(x)).relu()


def wide_losses(net, count, generator):
    x = torch.randn(count, 100, WIDE, generator=generator)
    return Losses(net(x).mean((1, 2)), torch.rand(count, generator=generator))


def stage():
    return Regression(net=Wide(), draw=wide_losses)


@pytest.mark.parametrize(("optimizer", "moments"), [("adamw", 2), ("muon", 1)])
def test_bytes_are_those_of_the_tensors(optimizer, moments):
    matrix = 4 * WIDE * WIDE
    found = budget_of(Trainer(stage(), config(batch=8, parts=2, optimizer=optimizer)))
    assert (found.frozen, found.weights, found.gradients, found.average) == (matrix,) * 4
    assert found.moments == moments * matrix
    # kept for the backward pass: what goes into the second matrix, and what comes out of the relu
    assert found.sample == int(BESIDE * 2 * 4 * 100 * WIDE)
    assert (found.part, found.parts, found.processes) == (4, 2, 1)
    assert found.needed == (5 + moments - 1) * matrix + 4 * found.sample
    assert found.samples_a_day == pytest.approx(86400 / found.seconds)


def test_a_run_with_a_plan_is_the_run_without(tmp_path):
    run_to(tmp_path / "with", 3)
    run_to(tmp_path / "without", 3, plan=False)
    assert same(tmp_path / "with", tmp_path / "without")


def test_what_does_not_fit_is_refused_before_the_first_step(tmp_path, monkeypatch):
    sample = int(BESIDE * 2 * 4 * 100 * WIDE)
    matrix = 4 * WIDE * WIDE
    monkeypatch.setattr(budget, "free_memory", lambda device: 3 * matrix + 3 * sample)
    said = []

    class Listener(Observer):
        def planned(self, budget, frames):
            said.append(budget.in_words("clips"))

    with pytest.raises(ValueError, match=r"got .* with 8 samples at once, give --parts 4 \(2 at"):
        train(stage(), config(batch=8), tmp_path, max_steps=2, observer=Listener())
    assert newest_checkpoint(tmp_path) is None and said == []
    parts = config(batch=8, parts=4)
    assert train(stage(), parts, tmp_path, max_steps=2, observer=Listener()) == 2
    assert len(said) == 1 and "2 clips at once" in said[0] and "a day" in said[0]


def test_the_remedy_names_parts_that_every_process_takes_alike():
    whole = Budget(
        frozen=0,
        weights=0,
        gradients=0,
        moments=0,
        average=0,
        sample=GIGABYTE,
        seconds=1.0,
        part=6,
        parts=2,
        processes=2,
        resumed=False,
        free=int(2.5 * GIGABYTE),
    )
    assert "--parts 6 (2 at once)" in whole.remedy()
    none = replace(whole, free=GIGABYTE // 2)
    assert "--checkpointing" in none.remedy() and "lora" in none.remedy()
    replace(whole, part=2).check()


def test_a_device_that_runs_out_in_the_first_sample_is_one_line():
    def spent(net, count, generator):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ValueError, match="memory: expected a step within"):
        budget_of(Trainer(Regression(net=Line(), draw=spent), config()))


MEASURED = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from dataclasses import replace
from pathlib import Path
from discs import Discs
from openlumiere.models.hub import WORLD_32
from openlumiere.models.e5 import E5TextEncoder
from openlumiere.train.config import PRESETS
from openlumiere.train.data import CaptionStates
from openlumiere.train.log import Observer
from openlumiere.train.loop import train
from openlumiere.train.stages.video import video_stage
from openlumiere.train.start import open_net
class Said(Observer):
    def planned(self, budget, frames):
        self.sample = budget.sample
config = PRESETS["world-32"].video
net, codec = open_net(None, WORLD_32, config.attention_blocks)
stage = video_stage(Discs(), CaptionStates(E5TextEncoder()), net, codec, config)
loop = replace(config.loop, batch=int(sys.argv[3]), count_work=False, show_every=0)
said = Said()
train(stage, loop, Path(sys.argv[2]), max_steps=2, observer=said)
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"sample": said.sample, "peak": peak}))
"""


def figures_of(run, batch):
    here = str(Path(__file__).parent)
    words = [sys.executable, "-c", MEASURED, here, str(run), str(batch)]
    return json.loads(subprocess.run(words, check=True, capture_output=True).stdout)


@pytest.mark.long
def test_the_peak_of_a_real_run_grows_as_was_said(tmp_path):
    """The temporal part of the bundled model on clips of 16 frames, 2 at once and 10."""
    few, many = (figures_of(tmp_path / str(batch), batch) for batch in (2, 10))
    assert many["peak"] - few["peak"] == pytest.approx(8 * few["sample"], rel=0.15)
