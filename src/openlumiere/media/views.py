"""Frames read by the child process, without a second copy of them in ours: a file that is mapped,
and repeated frames as views of the same memory.
"""

import ctypes
import itertools
import mmap
import sys
import tempfile
from pathlib import Path

import numpy as np

LARGE = 2**26  # bytes from which repeated frames are mapped rather than copied
MAP_FIXED = 0x10  # of Linux on every processor that PyTorch runs on
FAILED = ctypes.c_void_p(-1).value


def stored_frames(path: Path, height: int, width: int, channels: int) -> np.ndarray:
    """The frames in a raw file, uint8 [f, h, w, c], mapped: changes stay in this process, and the
    file may be removed afterwards.
    """
    frames = np.memmap(path, np.uint8, "c")
    return np.asarray(frames).reshape(-1, height, width, channels)


def in_order(frames: np.ndarray, order: list[int]) -> np.ndarray:
    """`frames[order]`, uint8 [len(order), h, w, c], where `order` never falls. Beyond `LARGE` bytes
    a repeated frame costs no memory, where the system can.
    """
    size = frames[0].nbytes * len(order)
    if size < LARGE or size <= 2 * frames.nbytes or sys.platform != "linux":
        return frames[order]
    return np.asarray(Repeated(frames, order))


class Repeated:
    """An array whose frames are mapped from one file, each as often as `order` names it."""

    def __init__(self, frames: np.ndarray, order: list[int]):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        numbers = [ctypes.c_int] * 3
        self._libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *numbers, ctypes.c_long]
        self._libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        step = -(-frames[0].nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._bytes = step * len(order)
        self._address = self._map(None, self._bytes, mmap.MAP_ANONYMOUS, -1, 0)
        with tempfile.TemporaryFile() as file:
            for index, frame in enumerate(frames):
                file.seek(step * index)
                file.write(np.ascontiguousarray(frame).data)
            file.truncate(step * len(frames))
            file.flush()
            for place, (first, count) in _stretches(order):
                start = self._address + step * place
                self._map(start, step * count, MAP_FIXED, file.fileno(), step * first)
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "data": (self._address, False),
            "shape": (len(order), *frames.shape[1:]),
            "strides": (step, *np.ascontiguousarray(frames[:1]).strides[1:]),
        }

    def _map(self, address: int | None, size: int, flags: int, file: int, offset: int) -> int:
        access = mmap.PROT_READ | mmap.PROT_WRITE
        made = self._libc.mmap(address, size, access, flags | mmap.MAP_PRIVATE, file, offset)
        if made == FAILED:
            raise MemoryError(f"{size} bytes of addresses for repeated frames")
        return made

    def __del__(self) -> None:
        if getattr(self, "_address", None):
            self._libc.munmap(self._address, self._bytes)


def _stretches(order: list[int]) -> list[tuple[int, tuple[int, int]]]:
    """Place in `order`, first frame and count of each stretch of frames that follow one another in
    the file.
    """
    made = []
    for _, group in itertools.groupby(enumerate(order), lambda pair: pair[1] - pair[0]):
        pairs = list(group)
        made.append((pairs[0][0], (pairs[0][1], len(pairs))))
    return made
