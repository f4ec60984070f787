"""Every field of every task changes what is made, is refused, or is warned about: none is taken in
silence.
"""

import numpy as np
import pytest

from nets import small_fast
from openlumiere import Clip
from openlumiere.engine.lumiere import Lumiere
from openlumiere.tasks.kinds import KINDS, LearnStyle

FRAMES, SIDE = 6, 24
SAMPLED = {"steps": 1, "guidance": 2.0}


def picture(seed, frames=1, channels=3):
    levels = np.random.default_rng(seed).integers(0, 256, (frames, 3, 3, channels), np.uint8)
    return Clip(levels.repeat(SIDE // 3, 1).repeat(SIDE // 3, 2))


def parts(kind):
    """What a task is asked for at the least."""
    clip, box = picture(1, FRAMES), "0.2,0.2,0.8,0.8"
    needed = {"clip": clip, "image": picture(2), "region": box, "to": (SIDE + 8, SIDE)}
    fields = KINDS[kind].model_fields
    asked = {name: value for name, value in needed.items() if name in fields}
    if "prompt" in fields:
        asked["prompt"] = "a dog moves right"
    if "sampling" in fields:
        asked |= SAMPLED
    if "length" in fields:
        asked["frames"] = FRAMES
    if kind in ("generate", "image"):
        asked["size"] = 32
    if kind == "restyle":
        asked["steps"] = 4  # in one step all is made anew
    return asked


CHANGED = {
    "prompt": "a red car",
    "clip": picture(5, FRAMES),
    "image": picture(6),
    "region": "0.0,0.0,0.5,0.5",
    "to": (SIDE, SIDE + 8),
    "seed": 3,
    "steps": 2,
    "guidance": 5.0,
    "rescale": 0.7,
    "negative": "a cat",
    "scheduler": "heun",
    "fast": True,
    "frames": 8,
    "seconds": 0.5,
    "fps": 8,
    "size": 48,
    "motion": 0.5,
    "camera": "pan-left",
    "flow": "left",
    "shots": ("a star",),
    "upscale": False,
    "memory_limit": 1,  # a byte: refused
    "background": "red",
    "keyframes": {3: picture(7)},
    "pixels": "soft",
    "keep": "soft",
    "feather": 3,
    "strength": 0.3,
    "structure": 1.0,
    "noise": 0.5,
    "enlarger": "lanczos",
}
BESIDE = {  # what a field needs to matter
    "feather": {"region": "0.2,0.2,0.8,0.8"},
    "background": {"alpha": True},
    "structure": {"strength": 0.9, "steps": 3},
    "rescale": {"guidance": 4.0},
    "scheduler": {"steps": 3},
    "strength": {"steps": 4},
}
REFUSED = {
    "generate": ("memory_limit",),
    "upscale": ("memory_limit",),
    "animate": ("feather", "camera"),
    "cinemagraph": ("flow",),
}
STYLES = ("styles", "style", "style_weight")  # tests/engine/test_learning.py changes clips by them
CASES = [
    (kind, word)
    for kind, task in KINDS.items()
    if task is not LearnStyle
    for word in task.words()
    if word not in STYLES and word not in task.parts()
]


@pytest.fixture(scope="module")
def both(build_tiny, build_tiny_upscaler):
    return Lumiere(build_tiny(), build_tiny_upscaler(), fast=small_fast())


def made(lumiere, kind, asked):
    asked = dict(asked)
    if asked.pop("alpha", False):
        for name in {"clip", "image"} & asked.keys():
            asked[name] = picture(9, len(asked[name]), 4)
    clip = lumiere.run(KINDS[kind](**asked))
    return clip.frames.shape, str(clip.fps), clip.frames.tobytes()


@pytest.mark.parametrize(("kind", "word"), CASES)
def test_a_field_matters(both, kind, word, caplog):
    fields = KINDS[kind].model_fields
    beside = {
        name: value
        for name, value in BESIDE.get(word, {}).items()
        if name in (*KINDS[kind].words(), "alpha")
    }
    asked = parts(kind) | beside
    if word == "seconds":
        del asked["frames"]
    value = not fields["loop"].default if word == "loop" else CHANGED[word]
    other = asked | {word: value}
    if word in REFUSED.get(kind, ()):
        with pytest.raises(ValueError, match=f"{word.replace('_', ' ')}: expected "):
            made(both, kind, other)
        return
    changed = made(both, kind, other)
    assert changed != made(both, kind, asked) or f"{word}: " in caplog.text
