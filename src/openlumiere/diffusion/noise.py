"""Noise that depends on a seed alone: not on batch, order or device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def draw_noise(shape: Sequence[int], seeds: Sequence[int]) -> Float[Tensor, "b ..."]:
    """Unit Gaussian noise, one clip of `shape` a seed, drawn on the CPU: neither batch, order nor
    device changes a clip.

    Raises ValueError for a seed outside 0 .. 2^63 - 1.
    """
    return torch.stack([torch.randn(*shape, generator=seeded(seed, stream=0)) for seed in seeds])


def seeded(seed: int, stream: int) -> torch.Generator:
    """A generator of its own for each seed and stream; torch's CPU generator reads 32 bits only, so
    the upper half is mixed in.
    """
    if not 0 <= seed < 2**63:
        raise ValueError(
            f"expected a seed from 0 to 2**63 - 1, got {seed}, choose one in that range"
        )
    mixed = (seed & 0xFFFFFFFF) ^ (seed >> 32) * 0x9E3779B1 ^ stream * 0x85EBCA6B
    return torch.Generator().manual_seed(mixed & 0xFFFFFFFF)
