"""HDR brought to SDR: frames in PQ or HLG, as phones and televisions record them, as 8-bit sRGB.

Our choices: the reference white of 203 cd/m2 (ITU-R BT.2408) becomes the white of SDR's lower half
unchanged; above a knee, what is brighter is compressed up to 1000 cd/m2. Hue is kept, since all
three channels are scaled by one factor.
"""

from functools import cache

import av
import numpy as np

PQ, HLG = 16, 18  # H.273 transfer characteristics
NAMES = {PQ: "PQ", HLG: "HLG"}
BT2020 = 9
BT709 = 1
REFERENCE_WHITE = 203.0  # cd/m2
PEAK = 1000.0  # cd/m2
KNEE = 0.5  # of reference white, below which light passes unchanged
LEVELS = 2**16
HLG_GAMMA = 1.2  # of a display of 1000 cd/m2 (ITU-R BT.2100)
LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)  # linear BT.2020 to BT.709 (ITU-R BT.2087)


def is_hdr(frame: av.VideoFrame) -> bool:
    """Whether a frame says that it holds PQ or HLG light."""
    return int(frame.color_trc) in NAMES


def to_sdr(
    frame: av.VideoFrame, size: tuple[int, int] | None = None, method: str = "BICUBIC"
) -> np.ndarray:
    """uint8 [h, w, 3] in sRGB of a PQ or HLG frame, first brought to another `size` (width,
    height) where one is given, by an interpolation of FFmpeg's scaler.
    """
    transfer = int(frame.color_trc)
    wide = int(frame.color_primaries) == BT2020
    width, height = size or (frame.width, frame.height)
    deep = frame.reformat(width, height, "rgb48le", interpolation=method)
    signal = deep.to_ndarray()
    light = linear(transfer)[signal]
    if transfer == HLG:
        scene = (light @ LUMA_2020).clip(min=1e-6)[..., None]
        light = light * scene ** np.float32(HLG_GAMMA - 1) * np.float32(PEAK / REFERENCE_WHITE)
    if wide:
        light = light @ TO_709.T
    brightest = light.max(-1, keepdims=True).clip(min=1e-6)
    light = light * (compressed(brightest) / brightest)
    return encoded()[(light.clip(0, 1) * (LEVELS - 1)).astype(np.uint16)]


def compressed(light: np.ndarray) -> np.ndarray:
    """Relative light (1 is reference white) brought below 1: unchanged up to the knee, then by
    Reinhard's extended curve, which reaches 1 at the peak.
    """
    headroom = 1 - KNEE
    above = ((light - KNEE) / headroom).clip(min=0)
    peak = (PEAK / REFERENCE_WHITE - KNEE) / headroom
    curve = above * (1 + above / peak**2) / (1 + above)
    return np.where(light > KNEE, KNEE + headroom * curve.clip(max=1), light)


@cache
def linear(transfer: int) -> np.ndarray:
    """Light for each of 65536 signal levels: for PQ relative to reference white, for HLG the
    scene's, 0 to 1.
    """
    signal = np.linspace(0, 1, LEVELS)
    if transfer == PQ:
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = signal ** (1 / m2)
        light = 10_000 * ((power - c1).clip(min=0) / (c2 - c3 * power)) ** (1 / m1)
        return (light / REFERENCE_WHITE).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    dark = signal**2 / 3
    bright = (np.exp((signal - c) / a) + b) / 12
    return np.where(signal <= 0.5, dark, bright).astype(np.float32)


@cache
def encoded() -> np.ndarray:
    """The sRGB level, uint8, for each of 65536 levels of linear light."""
    light = np.linspace(0, 1, LEVELS)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curve * 255).round().astype(np.uint8)
