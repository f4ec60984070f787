"""Which precision a model's weights have, and which is fastest on a device."""

from __future__ import annotations

import torch

AUTO = "auto"
BF16 = ("avx512_bf16", "amx_bf16", "arm_bf16")  # instructions, as torch names them
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def dtype_of(asked: torch.dtype | str, device: str) -> torch.dtype:
    """A precision by torch's name or as a record names it; "auto" is `fastest`.

    Raises ValueError for another name.
    """
    if isinstance(asked, torch.dtype):
        return asked
    if asked == AUTO:
        return fastest(device)
    if asked not in DTYPES:
        names = ", ".join((AUTO, *DTYPES))
        raise ValueError(f"dtype: expected one of {names}, got {asked!r}, choose one of those")
    return DTYPES[asked]


def fastest(device: str) -> torch.dtype:
    """bfloat16 where the device multiplies in it (1.3 to 1.6 times as fast on a CPU, measured:
    docs/benchmarks.md), else float32. By what the device says of itself, so that one machine always
    answers alike.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if kind != "cpu":
        return torch.float32
    has = torch.cpu.get_capabilities()
    return torch.bfloat16 if any(has.get(name) for name in BF16) else torch.float32
