"""How much memory a run will take, before it runs."""

from __future__ import annotations

import psutil
import torch

from openlumiere.pipelines.base import LumierePipeline
from openlumiere.pipelines.request import Request

PROCESS = 0
STATES = 0
PICTURES = 0


def memory_needed(pipeline: LumierePipeline, run: Request) -> int:
    """x"""
    return 0


def free_memory(device: torch.device) -> int:
    """Bytes that a new run could take on this device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
