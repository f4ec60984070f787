import math
from fractions import Fraction

import pytest

from openlumiere.tasks.request import MAX_COST, MAX_SEED, Request, frame_count

WORKS = [
    {"prompt": "🐶 läuft nach rechts 🚀"},
    {"prompt": "👩‍👩‍👧 waves"},  # joined by U+200D
    {"prompt": "\u200fכלב זז ימינה"},
    {"prompt": "猫が右に動く"},
    {"prompt": "x" * 2000},
    {"seed": 0},
    {"seed": MAX_SEED},
    {"frames": 1},
    {"frames": 81},
    {"fps": "30000/1001"},
    {"guidance": 1},
    {"size": 0},
    {"size": 255},
    {"frames": 80, "size": 1024, "steps": 200},
    {"scheduler": "dpm++"},
]
REFUSED = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": " \u3000 "}, "prompt"),
    ({"prompt": "x" * 2001}, "prompt"),
    ({"prompt": "e" + "\u0301" * 10**6}, "prompt"),
    ({"prompt": "a\x00dog"}, "prompt"),
    ({"prompt": "a\x1b[31mdog"}, "prompt"),
    ({"prompt": "a\ndog"}, "prompt"),
    ({"prompt": "a\x9bdog"}, "prompt"),
    ({"prompt": "a \udc80 dog"}, "prompt"),
    ({"negative": "\x07"}, "negative"),
    ({"negative": "x" * 2001}, "negative"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**63}, "seed"),
    ({"frames": 0}, "frames"),
    ({"frames": -3}, "frames"),
    ({"frames": 10**9}, "frames"),
    ({"steps": 0}, "steps"),
    ({"steps": 10**9}, "steps"),
    ({"steps": 10**400}, "steps"),
    ({"guidance": math.nan}, "guidance"),
    ({"guidance": math.inf}, "guidance"),
    ({"guidance": -1}, "guidance"),
    ({"size": -1}, "size"),
    ({"size": 2**200}, "size"),
    ({"fps": "0"}, "fps"),
    ({"fps": "nan"}, "fps"),
    ({"fps": "1/0"}, "fps"),
    ({"fps": "fast"}, "fps"),
    ({"fps": "1000"}, "fps"),
    ({"scheduler": "magic"}, "scheduler"),
    ({"task": "fly"}, "task"),
    ({"frames": 10_000, "size": 1024, "steps": 100}, "cost"),
]


@pytest.mark.parametrize("asked", WORKS, ids=str)
def test_works(asked):
    Request(**{"prompt": "a dog", **asked})


@pytest.mark.parametrize(("asked", "name"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused_in_three_parts(asked, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected .+, got .+, .+") as caught:
        Request(**{"prompt": "a dog", **asked})
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


def test_the_cost_limit_is_80_frames_of_1024_px_in_200_steps():
    assert 80 * 1024**2 * 200 <= MAX_COST < 80 * 1024**2 * 205


def test_seconds_become_frames():
    assert frame_count(None, None, "16") == 80
    assert frame_count(7, None, "16") == 7
    assert frame_count(None, 5, "16") == 80
    assert frame_count(None, 2.5, "30000/1001") == round(Fraction(5, 2) * Fraction(30000, 1001))
    for frames, seconds in ((8, 1.0), (None, math.nan), (None, -1.0), (None, 1e9)):
        with pytest.raises(ValueError, match="expected .*, got .*, "):
            frame_count(frames, seconds, "16")
