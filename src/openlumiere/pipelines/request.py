"""What a person asks for: checked before anything is loaded or computed."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from openlumiere.diffusion.sample import SCHEDULERS
from openlumiere.media.clip import exact_fps

TASKS = ("generate", "image")
MAX_PROMPT = 2000  # characters
MAX_SEED = 2**63 - 1
MAX_COST = 2**34  # pixels of a written frame x frames x steps: 80 frames of 1024 x 1024 in 200 steps
DEFAULT_FRAMES = 80
DEFAULT_FPS = "16"
DEFAULT_STEPS = 20
DEFAULT_GUIDANCE = 3.0
DEFAULT_SIZE = 256


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that a clip depends on, but for the model and the machine. Raises ValueError for what can't be made.

    `fps` is exact text, "16" or "30000/1001"; `size` is the side in pixels after enlarging, 0 the net's own.
    """

    task: str = "generate"
    prompt: str
    negative: str = ""
    seed: int = 0
    frames: int = DEFAULT_FRAMES
    fps: str = DEFAULT_FPS
    steps: int = DEFAULT_STEPS
    guidance: float = DEFAULT_GUIDANCE
    size: int = DEFAULT_SIZE
    scheduler: str = "ddim"

    def __post_init__(self) -> None:
        check_choice("task", self.task, TASKS)
        check_prompt("prompt", self.prompt)
        if self.negative:
            check_prompt("negative", self.negative)
        check_range("seed", self.seed, 0, MAX_SEED)
        check_range("frames", self.frames, 1, 10_000)
        exact_rate(self.fps)
        check_range("steps", self.steps, 1, 1000)
        check_range("guidance", self.guidance, 0, 100)
        check_range("size", self.size, 0, 4096)
        check_choice("scheduler", self.scheduler, tuple(SCHEDULERS))
        cost = max(self.size, 64) ** 2 * self.frames * self.steps
        if cost > MAX_COST:
            raise ValueError(f"cost: expected pixels x frames x steps of at most {MAX_COST:.1e}, got {cost:.1e}, ask for fewer of one of them")


def frame_count(frames: int | None, seconds: float | None, fps: str) -> int:
    """Frames asked for, or those that `seconds` take, or the paper's 80."""
    if frames is not None and seconds is not None:
        raise ValueError("length: expected frames or seconds, got both, leave one out")
    if seconds is None:
        return DEFAULT_FRAMES if frames is None else frames
    check_range("seconds", seconds, 0, 10_000)
    return round(Fraction(seconds) * exact_rate(fps))


def exact_rate(fps: str) -> Fraction:
    """Frames a second as an exact fraction, 1 to 240."""
    try:
        rate = exact_fps(fps)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"fps: expected a rate such as 16 or 30000/1001, got {fps!r}, choose one from 1 to 240") from None
    check_range("fps", rate, 1, 240)
    return rate


def check_prompt(name: str, prompt: str) -> None:
    """At most 2,000 characters that print: no control characters, escapes or lone surrogates."""
    if not prompt.strip():
        raise ValueError(f"{name}: expected a sentence, got nothing, say what the clip shows")
    if len(prompt) > MAX_PROMPT:
        raise ValueError(f"{name}: expected at most {MAX_PROMPT} characters, got {len(prompt)}, shorten it")
    odd = next((c for c in prompt if unicodedata.category(c) in ("Cc", "Cs")), None)
    if odd is not None:
        raise ValueError(f"{name}: expected characters that print, got U+{ord(odd):04X}, remove it")


def check_range(name: str, value: float | Fraction, low: int, high: int) -> None:
    if not low <= value <= high:  # so that NaN is out, too
        raise ValueError(f"{name}: expected {low} to {high}, got {value}, choose one in that range")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}, name one of these")
