"""The file of multilingual-e5-small in 4 bits: sizes, word pieces and weights, memory-mapped.

Only the rows of the 250,037-word embedding that are in use are ever de-quantised.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from openlumiere.models.unigram import Unigram

Q4_BLOCK = 32  # numbers that share a scale
Q4_BYTES = 18  # of such a block


@dataclass(frozen=True)
class Q4Sizes:
    """The encoder's sizes, in the file's order, and the epsilon of its norms."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    types: int
    eps: float


class Q4File:
    """The `E5S1` container: sizes, word pieces, a table of character replacements and a directory
    of tensors.

    Little-endian throughout. The file must have passed `check_e5`; nothing more is checked here.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = 8  # after the magic and the version
        self.sizes = Q4Sizes(*self._read("7if"))
        (_block,) = self._read("i")
        count, self.bos, self.eos, _pad, unknown = self._read("5i")
        pieces, scores = self._read_pieces(count)
        self.unigram = Unigram(pieces, scores, unknown)
        self.normalisation = self._read_normalisation()
        self._directory = self._read_directory()

    def _read(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self._bytes, self._at)
        self._at += struct.calcsize("<" + layout)
        return values

    def _read_pieces(self, count: int) -> tuple[list[str], tuple[float, ...]]:
        (size,) = self._read("Q")
        edges = self._read(f"{count + 1}I")
        scores = self._read(f"{count}f")
        blob = self._bytes[self._at : self._at + size]
        self._at += size
        return [blob[start:end].decode() for start, end in pairwise(edges)], scores

    def _read_normalisation(self) -> dict[int, str]:
        count, _size = self._read("iI")
        table = {}
        for _ in range(count):
            codepoint, length = self._read("IB")
            table[codepoint] = "".join(map(chr, self._read(f"{length}I")))
        return table

    def _read_directory(self) -> dict[str, tuple[int, int, int]]:
        """Name -> (dtype: 0 is float32, else 4 bits; how many numbers; offset from the file's
        start).
        """
        entries = {}
        for _ in range(*self._read("i")):
            (length,) = self._read("H")
            name = self._bytes[self._at : self._at + length].decode()
            self._at += length
            dtype, numbers, offset, _size = self._read("BIQQ")
            entries[name] = (dtype, numbers, offset)
        return entries

    def tensor(self, name: str, *shape: int) -> Tensor:
        """A whole tensor as float32."""
        dtype, numbers, offset = self._directory[name]
        if dtype == 0:
            array = np.frombuffer(self._bytes, np.float32, numbers, offset).copy()
        else:
            size = numbers // Q4_BLOCK * Q4_BYTES
            array = dequantise(np.frombuffer(self._bytes, np.uint8, size, offset))
        return torch.from_numpy(array).reshape(shape)

    def rows(self, name: str, rows: list[int]) -> Float[Tensor, "n d"]:
        """Some rows of a 4-bit matrix of `hidden` columns, as float32."""
        _dtype, _numbers, offset = self._directory[name]
        size = self.sizes.hidden // Q4_BLOCK * Q4_BYTES
        blocks = [np.frombuffer(self._bytes, np.uint8, size, offset + row * size) for row in rows]
        numbers = torch.from_numpy(dequantise(np.concatenate(blocks)))
        return numbers.reshape(len(rows), self.sizes.hidden)


def dequantise(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Q4_0: per 32 numbers an fp16 scale and 16 bytes, low nibbles first, minus 8."""
    blocks = blocks.reshape(-1, Q4_BYTES)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    low, high = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
    nibbles = np.concatenate([low, high], axis=1).astype(np.float32) - 8
    return (nibbles * scale).reshape(-1)
