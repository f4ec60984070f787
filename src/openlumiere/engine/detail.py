"""Detail follows motion: what enlargement and a codec lose of a known frame is carried to the other
frames along the optical flow of the clip that was made.

A net sees a photograph at its own side and makes frames of that side. What a known frame has beyond
its made and enlarged self is a residual at full size; every other frame gets it where its pixels
come from, by optical flow (OpenCV's DIS, Kroeger et al. 2016). It fades where forward and backward
flow disagree or colours differ: there something new was made. It is done for models of latents,
since nets of pixels lose nothing on the way. All our choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from openlumiere.quality.motion import Flow, Picture, flow, moved

FLOW_SIDE = 128  # pixels of the longer side that flow is found at
STRAY = 0.012  # of that side: flow there and back that misses by as much is worth 37 %
COARSE = 3.0  # of those pixels, standard deviation: what is finer than that is detail
LOST = 20.0  # levels by which those may differ for what a net and its codec lose
ANOTHER = 30.0  # levels beyond, by which something new was made
UNLIKE = 14.0  # levels by which colours may differ for as much

Residual = Float[np.ndarray, "H W 3"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Way:
    """From each pixel of a frame to its like in a known one, as shares of width and height, and how
    far that can be trusted, 0 to 1.
    """

    flow: Float[np.ndarray, "h w 2"]
    trust: Float[np.ndarray, "h w"]


def followed(frames: Iterable[Picture], known: Picture) -> Iterator[Way]:
    """The ways of frames to a known one, the frame beside it first: each begins where the last one
    led, so that what has moved far is found.
    """
    source = flow_sized(known)
    size = np.array([source.shape[1], source.shape[0]], np.float32)
    there = back = None
    for frame in frames:
        picture = flow_sized(frame)
        there, back = flow(picture, source, there), flow(source, picture, back)
        yield Way(flow=there / size, trust=trust_of(there, back, picture, source))


def carried(residuals: Sequence[tuple[float, Residual, Way]]) -> Residual:
    """What a frame gets of what known frames have beyond the net's pictures of them, each with its
    share: the mean of what its pixels come from, by share and trust, as far as the best can be
    trusted.
    """
    height, width = residuals[0][1].shape[:2]
    total = np.zeros((height, width, 3), np.float32)
    weights = np.zeros((height, width, 1), np.float32)
    best = weights.copy()
    for share, residual, way in residuals:
        large = cv2.resize(way.flow, (width, height)) * np.array([width, height], np.float32)
        trust = cv2.resize(way.trust, (width, height))[..., None]
        total += share * trust * moved(residual, large)
        weights += share * trust
        best = np.maximum(best, trust)
    return total * (best / np.maximum(weights, 1e-6))


def agreed(frame: Picture, likely: Picture) -> Picture:
    """A made frame, at full size, moved to what was likely as far as the two agree in their coarse
    colours: there the net only lost detail.
    """
    blurred = (blur_of(picture) for picture in (frame, likely))
    apart = np.abs(np.subtract(*blurred)).mean(-1)
    trust = np.exp(-np.square(np.maximum(apart - LOST, 0) / ANOTHER))
    height, width = frame.shape[:2]
    share = cv2.resize(trust.astype(np.float32), (width, height))[..., None]
    return (frame + share * (likely.astype(np.float32) - frame)).round().astype(np.uint8)


def blur_of(picture: Picture) -> Float[np.ndarray, "y x 3"]:
    """Its coarse colours, at the side that flow is found at."""
    return cv2.GaussianBlur(flow_sized(picture).astype(np.float32), (0, 0), COARSE)


def trust_of(way: Flow, back: Flow, picture: Picture, source: Picture) -> Float[np.ndarray, "h w"]:
    """1 where a pixel's flow leads to its like, which leads back; falls to 0 beyond."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    there = way + np.stack([x, y], axis=-1)
    inside = ((there >= 0) & (there <= [width - 1, height - 1])).all(-1)
    stray = np.linalg.norm(way + moved(back, way), axis=-1) / (STRAY * max(height, width))
    apart = np.abs(moved(source, way).astype(np.float32) - picture).mean(-1)
    unlike = cv2.blur(apart, (5, 5)) / UNLIKE
    trust = np.where(inside, np.exp(-(stray**2) - unlike**2), 0)
    return cv2.blur(trust.astype(np.float32), (3, 3))


def flow_sized(small: Picture) -> UInt8[np.ndarray, "y x 3"]:
    """At the side that flow is found at."""
    height, width = small.shape[:2]
    scale = FLOW_SIDE / max(height, width)
    size = round(width * scale), round(height * scale)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))
