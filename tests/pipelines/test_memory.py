import subprocess
import sys

import pytest
import torch

from openlumiere.pipelines.memory import PROCESS, free_memory, gigabytes, memory_needed
from openlumiere.pipelines.request import Request

RUN = """
import resource, sys, torch
torch.set_num_threads(1)
from openlumiere import Lumiere
from openlumiere.pipelines.memory import memory_needed
from openlumiere.pipelines.request import Request
run = Request(prompt="a dog moves right on a green background", frames=int(sys.argv[2]), steps=1, size=int(sys.argv[3]))
lumiere = Lumiere.from_pretrained(sys.argv[1])
print(memory_needed(lumiere.base, run))
lumiere.make(run).save(sys.argv[4])
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def asked(**changes):
    return Request(prompt="a dog", **changes)


def test_more_of_anything_needs_more(tiny):
    plain = memory_needed(tiny.base, asked())
    assert PROCESS < plain < PROCESS + 2**28
    assert memory_needed(tiny.base, asked(frames=160)) > plain < memory_needed(tiny.base, asked(size=512))
    assert memory_needed(tiny.base, asked(guidance=1)) < plain == memory_needed(tiny.base, asked(steps=50))
    assert memory_needed(tiny.base, asked(size=0)) == memory_needed(tiny.base, asked(size=16))


def test_free_memory_is_a_part_of_what_there_is():
    assert 2**26 < free_memory(torch.device("cpu")) < 2**44
    assert gigabytes(3 * 2**29) == "1.5 GiB"


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory):
    from diffusers import DDIMScheduler, UNet2DConditionModel

    from openlumiere import LumierePipeline, STUNet

    unet = UNet2DConditionModel(
        sample_size=16, in_channels=48, out_channels=48, block_out_channels=(64, 96, 128), layers_per_block=1, norm_num_groups=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=384, attention_head_dim=(2, 3, 4),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("wide") / "model"
    scheduler = DDIMScheduler(prediction_type="sample", rescale_betas_zero_snr=True, timestep_spacing="trailing")
    LumierePipeline(STUNet.from_unet2d(unet).half(), scheduler, unshuffle=4).save_pretrained(folder)
    return folder


@pytest.mark.long
@pytest.mark.parametrize(("frames", "size"), [(16, 256), (80, 256), (160, 256), (80, 1024)])
def test_estimates_are_within_a_fifth_of_what_runs_take(wide_model, tmp_path, frames, size):
    words = [sys.executable, "-c", RUN, str(wide_model), str(frames), str(size), str(tmp_path / "clip.mp4")]
    told, taken = map(int, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
    print(f"{frames} frames, {size} px: {told / 2**20:.0f} MiB told, {taken / 2**20:.0f} MiB taken")
    assert told == pytest.approx(taken, rel=0.2)
