"""High dynamic range brought down to what the model's pictures hold (BT.709, 8 bits)."""

from __future__ import annotations

import numpy as np

from openlumiere.media.light import HLG, LUMA_2020, PEAK, PQ, REFERENCE_WHITE, TO_709

__all__ = ["HLG", "PQ", "to_sdr"]


def to_sdr(levels: np.ndarray, transfer: int) -> np.ndarray:
    """uint8 [h, w, 3] of uint16 [h, w, 3] in PQ or HLG and BT.2020 colours.

    Light relative to diffuse white goes through Reinhard's extended curve, by the greatest
    component of each pixel so that hues stay (our choice), then BT.709's own transfer.
    """
    signal = levels.astype(np.float32) / 65535
    nits = pq_nits(signal) if transfer == PQ else hlg_nits(signal)
    light = np.clip((nits / REFERENCE_WHITE) @ TO_709.T, 0, None)
    strongest = light.max(-1, keepdims=True)
    white = PEAK / REFERENCE_WHITE
    mapped = strongest * (1 + strongest / white**2) / (1 + strongest)
    light = light * (mapped / np.maximum(strongest, 1e-6))
    return (np.clip(bt709(light), 0, 1) * 255).round().astype(np.uint8)


def pq_nits(signal: np.ndarray) -> np.ndarray:
    """Display light of a PQ signal in [0, 1] (SMPTE ST 2084, equation 4.1)."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = signal ** np.float32(1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def hlg_nits(signal: np.ndarray) -> np.ndarray:
    """Display light of an HLG signal in [0, 1] at 1000 nits (BT.2100, tables 5 and note 5f)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = scene @ LUMA_2020
    return PEAK * scene * np.maximum(luma, 1e-6)[..., None] ** 0.2


def bt709(light: np.ndarray) -> np.ndarray:
    """Signal of linear light in [0, 1] (BT.709, item 1.2)."""
    return np.where(light < 0.018, 4.5 * light, 1.099 * np.maximum(light, 0) ** 0.45 - 0.099)
