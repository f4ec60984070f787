"""How much memory a run will take, before it runs.

Constants from the peak resident memory of real runs of a random net of widths (64, 96, 128) at 64 px (codec factor 4), guidance
on, one step, one thread, each run in a process of its own: 727, 853 and 1085 MiB for 16, 80 and 160 frames written at 256 px.
`pytest -m long tests/pipelines/test_memory.py` repeats that and holds the estimate to 20 %. Nets with a VAE take more.
"""

from __future__ import annotations

import psutil
import torch

from openlumiere.pipelines.base import LumierePipeline
from openlumiere.pipelines.request import Request

PROCESS = 640 * 2**20  # bytes of Python, torch, diffusers and the carried text encoder
STATES = 20  # tensors of the finest level's size that are alive at once


def memory_needed(pipeline: LumierePipeline, run: Request) -> int:
    """Bytes at the peak: on the CPU of the whole process, on another device of what lies there."""
    net = pipeline.stunet
    number = net.dtype.itemsize
    weights = number * sum(value.numel() for value in net.parameters())
    passes = 1 if run.guidance == 1 else 2
    state = number * passes * run.frames * net.config.unet["sample_size"] ** 2 * net.config.unet["block_out_channels"][0]
    if pipeline.device.type != "cpu":
        return weights + STATES * state
    pictures = 3 * run.frames * (run.size or pipeline.native_size) ** 2
    return PROCESS + weights + STATES * state + pictures


def free_memory(device: torch.device) -> int:
    """Bytes that a new run could take on this device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
