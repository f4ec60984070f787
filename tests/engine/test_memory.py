import runpy
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from openlumiere import Clip
from openlumiere.engine.cascade import WINDOWS
from openlumiere.engine.memory import (
    MAPPED,
    PROCESS,
    cascade_memory,
    edit_memory,
    free_memory,
    gigabytes,
    memory_needed,
    pick_tiles,
    pick_windows,
    room_for,
    upscale_memory,
)
from openlumiere.engine.plan import windows_at
from openlumiere.tasks import Generate
from openlumiere.tasks.values import memory

RUN = """
import resource, sys, torch
torch.set_num_threads(1)
from openlumiere import Lumiere
from openlumiere.engine.memory import memory_needed
from openlumiere.tasks import Generate
prompt = "a dog moves right on a green background"
run = Generate(prompt=prompt, frames=int(sys.argv[2]), steps=1, size=int(sys.argv[3]))
lumiere = Lumiere.from_pretrained(sys.argv[1])
print(memory_needed(lumiere.base, run))
lumiere.run(run).save(sys.argv[4])
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def asked(**changes):
    return Generate(prompt="a dog", **changes)


def test_more_of_anything_needs_more(tiny):
    plain = memory_needed(tiny.base, asked())
    assert PROCESS < plain < PROCESS + 2**28
    assert (
        memory_needed(tiny.base, asked(frames=160))
        > plain
        < memory_needed(tiny.base, asked(size=512))
    )
    assert (
        memory_needed(tiny.base, asked(guidance=1))
        < plain
        == memory_needed(tiny.base, asked(steps=50))
    )
    assert memory_needed(tiny.base, asked(size=0)) == memory_needed(tiny.base, asked(size=16))


def test_an_edit_needs_more_for_larger_and_longer_clips(tiny):
    plain = edit_memory(tiny.base, 80, (64, 64), Fraction(16), 3.0)
    assert PROCESS < plain < PROCESS + 2**28
    assert (
        edit_memory(tiny.base, 80, (1920, 1080), Fraction(16), 3.0) > plain + 16 * 80 * 1900 * 1000
    )
    assert (
        edit_memory(tiny.base, 160, (64, 64), Fraction(16), 3.0)
        > plain
        > edit_memory(tiny.base, 80, (64, 64), Fraction(16), 1)
    )
    assert edit_memory(tiny.base, 80, (64, 64), Fraction(60), 3.0) < plain  # thinned for the net


def test_free_memory_is_a_part_of_what_there_is():
    assert 2**26 < free_memory(torch.device("cpu")) < 2**44
    assert gigabytes(3 * 2**29) == "1.5 GiB"


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory):
    from diffusers import DDIMScheduler, UNet2DConditionModel

    from openlumiere import LumierePipeline, STUNet

    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=48,
        out_channels=48,
        block_out_channels=(64, 96, 128),
        layers_per_block=1,
        norm_num_groups=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=384,
        attention_head_dim=(2, 3, 4),
    )
    folder = tmp_path_factory.mktemp("wide") / "model"
    scheduler = DDIMScheduler(
        prediction_type="sample", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    LumierePipeline(STUNet.from_unet2d(unet).half(), scheduler, unshuffle=4).save_pretrained(folder)
    return folder


@pytest.mark.long
@pytest.mark.parametrize(("frames", "size"), [(16, 256), (80, 256), (160, 256), (80, 1024)])
def test_estimates_are_within_a_fifth_of_what_runs_take(wide_model, tmp_path, frames, size):
    words = [
        sys.executable,
        "-c",
        RUN,
        str(wide_model),
        str(frames),
        str(size),
        str(tmp_path / "clip.mp4"),
    ]
    told, taken = map(
        int, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    )
    print(f"{frames} frames, {size} px: {told / 2**20:.0f} MiB told, {taken / 2**20:.0f} MiB taken")
    assert told == pytest.approx(taken, rel=0.2)


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "80 frames, 256 px",
        "80 frames, 1024 px",
        "upscale, 80 frames, 64 to 256 px",
        "upscale, 80 frames, 64 to 256 px, limit 1050 MiB",
    ],
)
def test_estimates_of_the_carried_cascade_are_within_a_fifth_of_what_runs_take(name):
    benchmark = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "memory.py"))
    told, taken = benchmark["run"](benchmark["RUNS"][name], "")
    assert told == pytest.approx(taken, rel=0.2)


def test_the_base_beside_counts_against_a_limit(build_tiny_upscaler):
    upscaler, size = build_tiny_upscaler(), (80, 128, 128)
    limit = upscale_memory(upscaler, size, beside=2**20)
    assert (
        pick_tiles(upscaler, size, limit, beside=2**20)
        == WINDOWS
        != pick_tiles(upscaler, size, limit - 1, beside=2**20)
    )


def test_a_limit_chooses_windows_and_tiles(tiny, build_tiny_upscaler):
    run, long = asked(), asked(frames=400)
    assert pick_windows(tiny.base, run, 0) == windows_at(tiny.base.backbone, Fraction(16))
    roomy = pick_windows(tiny.base, long, 2**34)
    assert roomy.batch == 8 and memory_needed(tiny.base, long, roomy) > memory_needed(
        tiny.base, long
    )
    shorter = pick_windows(tiny.base, run, memory_needed(tiny.base, run) - 1)
    assert shorter.frames == 40 and memory_needed(tiny.base, run, shorter) < memory_needed(
        tiny.base, run
    )
    upscaler, size = build_tiny_upscaler(), (80, 128, 128)
    assert pick_tiles(upscaler, size, 0) == pick_tiles(upscaler, size, 2**34) == WINDOWS
    limit = upscale_memory(upscaler, size) - 1
    assert upscale_memory(upscaler, size, pick_tiles(upscaler, size, limit)) <= limit
    with pytest.raises(ValueError, match="memory limit: expected at least"):
        pick_tiles(upscaler, size, 2**20)


def test_memory_does_not_grow_with_length_but_for_states_and_frames(tiny, build_tiny_upscaler):
    short, long = (memory_needed(tiny.base, asked(frames=frames, size=0)) for frames in (800, 8000))
    assert (long - short) / 7200 < 3 * 2**20
    assert (
        upscale_memory(build_tiny_upscaler(), (10_000, 64, 64))
        - upscale_memory(build_tiny_upscaler(), (1_000, 64, 64))
        <= MAPPED
    )


def test_the_cascade_needs_what_its_larger_part_needs(tiny, build_tiny_upscaler):
    upscaler = build_tiny_upscaler()
    base = memory_needed(tiny.base, asked())
    assert (
        cascade_memory(tiny.base, None, asked())
        == cascade_memory(tiny.base, upscaler, asked(upscale=False))
        == base
    )
    assert cascade_memory(tiny.base, upscaler, asked()) >= base


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("6GiB", 6 * 2**30), ("1.5 GB", 15 * 10**8), ("700MiB", 700 * 2**20)],
)
def test_sizes_are_read(text, count):
    assert memory(text) == count


@pytest.mark.parametrize("text", ["six", "much", "-1GB", "6 gib", "1e9GB"])
def test_other_sizes_are_refused(text):
    with pytest.raises(ValueError, match="memory limit: expected a size such as"):
        memory(text)


def test_many_frames_lie_in_a_file_without_a_name():
    assert not isinstance(room_for((2, 4, 4, 3)), np.memmap)
    large = room_for((100, 1024, 1024, 3))
    large[99] = 7
    assert isinstance(large, np.memmap) and large[99].min() == 7
    assert Clip(large).frames is large
