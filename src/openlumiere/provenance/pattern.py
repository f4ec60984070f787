"""The picture of which every frame is given a part: waves over a square tile, half their meaning
in the key, half in the payload.

The tile is 128 canonical pixels wide and repeats; a canonical pixel is a 256th of a frame's shorter
side, so the mark grows with the frame. A wave is a pair of whole numbers (cycles a tile, down and
across) in a ring of the spectrum, and its phase is keyed. One wave in four says nothing else and is
what the detector looks for; each of the others carries two signs of the coded payload.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Complex, Float

from openlumiere.provenance.payload import CODED_BITS, Payload, encode

# it ships, so that anyone can check, and anyone can forge
PUBLIC_KEY = b"openlumiere public mark, version 1"

TILE = 128  # canonical pixels
CANONICAL_SIDE = 256  # of the shorter side
SMALLEST_SCALE = 0.5  # finer waves would not fit between pixels
LOWEST, HIGHEST = 0.06, 0.15  # of the ring, cycles a canonical pixel
SYNC_EVERY = 4


def _ring() -> tuple[np.ndarray, np.ndarray]:
    """Cycles a tile, down and across, of the waves in the ring, one of each pair that a real
    picture has.
    """
    most = int(HIGHEST * TILE)
    down, across = np.mgrid[0 : most + 1, -most : most + 1]
    radius = np.hypot(down, across) / TILE
    chosen = (radius >= LOWEST) & (radius < HIGHEST) & ((down > 0) | (across > 0))
    return down[chosen], across[chosen]


DOWN, ACROSS = _ring()
MOST = int(DOWN.max())
SYNC = np.arange(len(DOWN)) % SYNC_EVERY == 0
DATA = ~SYNC


@dataclass(frozen=True)
class Secret:
    """What a key fixes: each wave's phase as a unit complex number, and which coded bit each of the
    data waves' parts carries.
    """

    phases: Complex[np.ndarray, "waves"]
    places: np.ndarray


@lru_cache(maxsize=64)
def secret(key: bytes) -> Secret:
    """Drawn by SHAKE-256, so that a key means the same everywhere and for ever."""
    drawn = np.frombuffer(hashlib.shake_256(b"phases" + key).digest(4 * len(DOWN)), "<u4")
    order = np.frombuffer(hashlib.shake_256(b"places" + key).digest(8 * 2 * DATA.sum()), "<u8")
    return Secret(np.exp(2j * np.pi * drawn / 2**32), np.argsort(order, kind="stable") % CODED_BITS)


def scale_of(height: int, width: int) -> float:
    """Pixels a canonical pixel in a frame of this size, as it is written."""
    return max(SMALLEST_SCALE, min(height, width) / CANONICAL_SIDE)


def amplitudes(payload: Payload, key: bytes) -> Complex[np.ndarray, "waves"]:
    """Each wave's unit amplitude: the keyed phase, on data waves turned by two signs of the coded
    payload.
    """
    keyed = secret(key)
    signs = encode(payload.bits())[keyed.places].reshape(2, -1)
    turned = keyed.phases.copy()
    turned[DATA] *= (signs[0] + 1j * signs[1]) / 2**0.5
    return turned


def waves(length: int, scale: float) -> Complex[np.ndarray, "cycles length"]:
    """exp(-2 pi i k x) at pixel centres for k = -MOST .. MOST cycles a tile of `TILE * scale`
    pixels.
    """
    places = (np.arange(length) + 0.5) / (TILE * scale)
    return np.exp(-2j * np.pi * np.outer(np.arange(-MOST, MOST + 1), places)).astype(np.complex64)


def pattern(payload: Payload, key: bytes, height: int, width: int) -> Float[np.ndarray, "h w"]:
    """The waves over a frame, of root mean square 1."""
    scale = scale_of(height, width)
    grid = np.zeros((2 * MOST + 1, 2 * MOST + 1), np.complex64)
    grid[DOWN + MOST, ACROSS + MOST] = amplitudes(payload, key)
    tall, wide = waves(height, scale).conj(), waves(width, scale).conj()
    return (tall.T @ grid @ wide).real * np.float32((2 / len(DOWN)) ** 0.5)


def spectrum(pictures: Float[np.ndarray, "n h w"], scale: float) -> Complex[np.ndarray, "n waves"]:
    """Each picture's amplitude at every wave of a mark whose canonical pixel is `scale` pixels
    wide.
    """
    tall, wide = waves(pictures.shape[1], scale)[MOST:], waves(pictures.shape[2], scale)
    rows = np.concatenate([tall.real, tall.imag]) @ pictures
    rows = rows[:, : MOST + 1] + 1j * rows[:, MOST + 1 :]
    return (rows @ wide.T)[:, DOWN, ACROSS + MOST]
