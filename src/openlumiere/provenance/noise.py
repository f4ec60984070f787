"""The mark in the initial noise: the signs of its lowest space-time frequencies.

The orthonormal 3-D DCT of Gaussian noise is Gaussian noise, whose signs are fair coins, independent
of the sizes. Setting signs by a fresh keyed stream therefore changes nothing in the law of the
noise (Gaussian Shading, Yang et al. 2024, for latents). One stream for all clips would show itself
in many of them, so each clip has one of 4096, told by its payload, and the detector tries them all.

Finding it needs the noise back: an inversion of the sampler, which the caller brings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from openlumiere.media import Clip
from openlumiere.provenance.pattern import PUBLIC_KEY
from openlumiere.provenance.payload import CODED_BITS, Payload, decode, encode

NONCES = 4096
MOST_PLACES = 256  # frequencies in each channel
SHARE = 8  # of which one in so many at most is used

Noise = Float[Tensor, "c f h w"]
Invert = Callable[[Clip], Noise]
"""An estimate of the noise that a clip was made from (`engine/inversion.py`)."""


@dataclass(frozen=True, kw_only=True)
class NoiseDetection:
    """`p_value`: how probable so good a fit is in noise that knows nothing of the key; `payload`
    where its check holds.
    """

    p_value: float
    score: float
    nonce: int
    payload: Payload | None


def marked_noise(noise: Noise, payload: Payload, key: bytes = PUBLIC_KEY) -> Noise:
    """The same noise with the signs of its lowest frequencies set; Gaussian as before."""
    coefficients = transform(noise.double())
    low = lowest(*noise.shape[1:])
    signs = _signs(key, nonce_of(payload), noise.shape[0] * low.shape[1]).reshape(
        noise.shape[0], -1
    )
    half = signs.shape[1] // 2
    coded = encode(payload.bits())[np.arange(signs[:, half:].size) % CODED_BITS]
    signs[:, half:] *= coded.reshape(signs[:, half:].shape)
    values = coefficients[:, low[0], low[1], low[2]]
    coefficients[:, low[0], low[1], low[2]] = values.abs() * torch.from_numpy(signs).to(values)
    return transform(coefficients, back=True).to(noise.dtype)


def detect_noise(noise: Noise, key: bytes = PUBLIC_KEY) -> NoiseDetection:
    """Look for the mark in noise that an inversion gave back.

    Half the signs are looked for under each of the 4096 nonces: Hoeffding's bound gives the
    p-value, whatever the noise is.
    """
    low = lowest(*noise.shape[1:])
    values = transform(noise.double())[:, low[0], low[1], low[2]].cpu().numpy()
    values = np.clip(values, *np.quantile(values, [0.05, 0.95]))
    half, looked = values.shape[1] // 2, values.copy()
    looked[:, half:] = 0
    length = max(float(np.sqrt((looked**2).sum())), 1e-12)
    scores = (
        np.array([looked.ravel() @ _signs(key, nonce, looked.size) for nonce in range(NONCES)])
        / length
    )
    nonce = int(scores.argmax())
    soft = (values * _signs(key, nonce, values.size).reshape(values.shape))[:, half:].ravel()
    read = Payload.read(decode(np.bincount(np.arange(soft.size) % CODED_BITS, soft, CODED_BITS)))
    p_value = min(1.0, NONCES * float(np.exp(-(max(scores[nonce], 0.0) ** 2) / 2)))
    return NoiseDetection(p_value=p_value, score=float(scores[nonce]), nonce=nonce, payload=read)


def nonce_of(payload: Payload) -> int:
    return int.from_bytes(hashlib.sha256(str(payload).encode()).digest()[:2], "big") % NONCES


def lowest(frames: int, height: int, width: int) -> np.ndarray:
    """Indices [3, n] of the lowest frequencies of a clip, by their distance from none, each axis in
    half cycles a step.
    """
    grid = np.stack(
        np.meshgrid(*(np.arange(n) for n in (frames, height, width)), indexing="ij")
    ).reshape(3, -1)
    radius = ((grid / np.array([[frames], [height], [width]])) ** 2).sum(0)
    return grid[
        :, np.argsort(radius, kind="stable")[: min(MOST_PLACES, max(1, grid.shape[1] // SHARE))]
    ]


def _signs(key: bytes, nonce: int, count: int) -> np.ndarray:
    """+1 and -1, float64 [count], drawn by SHAKE-256."""
    drawn = hashlib.shake_256(b"noise" + nonce.to_bytes(2, "big") + key).digest((count + 7) // 8)
    return 1.0 - 2.0 * np.unpackbits(np.frombuffer(drawn, np.uint8))[:count]


def transform(noise: Noise, back: bool = False) -> Noise:
    """The orthonormal DCT-II over frames, rows and columns of each channel, or its inverse."""
    f, h, w = (cosines(n, noise) if not back else cosines(n, noise).T for n in noise.shape[1:])
    return einsum(noise, f, h, w, "c f h w, F f, H h, W w -> c F H W")


def cosines(n: int, like: Tensor) -> Float[Tensor, "k n"]:
    places = (torch.arange(n, dtype=torch.float64) + 0.5) * torch.pi / n
    rows = torch.cos(torch.arange(n, dtype=torch.float64)[:, None] * places) * (2 / n) ** 0.5
    rows[0] /= 2**0.5
    return rows.to(like)
