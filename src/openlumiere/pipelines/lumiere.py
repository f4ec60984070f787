"""`Lumiere`: a method a task, from what a person gives to a finished clip."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from openlumiere.diffusion.sample import SCHEDULERS, Step, make_scheduler
from openlumiere.media import Clip
from openlumiere.pipelines.base import NATIVE_RATE, LumierePipeline
from openlumiere.pipelines.finish import Made, Replay, machine_state

WEIGHTS = Path(__file__).parent.parent / "weights"
MAX_PROMPT = 2000  # characters
MAX_SEED = 2**63 - 1
MAX_COST = 2**34  # output pixels of a frame x frames x steps: 80 frames of 1024 x 1024 in 200 steps
TASKS = ("generate", "image")
DEFAULT_SIZE = 256
DEFAULT_FRAMES = 80
DEFAULT_STEPS = 20
DEFAULT_GUIDANCE = 3.0

OnStep = Callable[[Step], None]


class Lumiere:
    """The whole cascade: base model, enlargement, and the origin that every made clip carries."""

    def __init__(self, base: LumierePipeline):
        self.base = base
        self._model = base.fingerprint()

    @classmethod
    def from_pretrained(cls, folder: str | Path | None = None, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Lumiere:
        """The carried weights, or a folder in diffusers' layout."""
        base = LumierePipeline.from_pretrained(folder or WEIGHTS, torch_dtype=dtype)
        base.set_progress_bar_config(disable=True)
        return cls(base.to(device))

    def generate(
        self, prompt: str, *, seed: int = 0, negative: str = "", frames: int | None = None, seconds: float | None = None,
        fps: int | Fraction = NATIVE_RATE, steps: int = DEFAULT_STEPS, guidance: float = DEFAULT_GUIDANCE, size: int = DEFAULT_SIZE,
        scheduler: str = "ddim", on_step: OnStep | None = None,
    ) -> Clip:  # fmt: skip
        """Text to video: one clip of `frames` (80) frames, or of `seconds` at `fps`, `size` x `size` pixels (0: the net's own).

        Frames larger than the net's own size are enlarged by Lanczos resampling.
        """
        return self.replay(self._record(
            "generate", prompt, seed=seed, negative=negative, frames=frame_count(frames, seconds, fps), fps=str(Fraction(fps)), steps=steps,
            guidance=guidance, size=size, scheduler=scheduler,
        ), on_step)  # fmt: skip

    def generate_image(
        self, prompt: str, *, seed: int = 0, negative: str = "", steps: int = DEFAULT_STEPS, guidance: float = DEFAULT_GUIDANCE,
        size: int = DEFAULT_SIZE, scheduler: str = "ddim", on_step: OnStep | None = None,
    ) -> Clip:  # fmt: skip
        """Text to image by the frozen picture net: a clip of one frame."""
        return self.replay(self._record(
            "image", prompt, seed=seed, negative=negative, frames=1, fps=str(NATIVE_RATE), steps=steps, guidance=guidance, size=size,
            scheduler=scheduler,
        ), on_step)  # fmt: skip

    def replay(self, record: Replay, on_step: OnStep | None = None) -> Clip:
        """Make a clip again from its record; the same machine and weights give the same frames, bit for bit."""
        check_request(record)
        if record.model != self._model:
            raise ValueError(f"replay: expected weights {record.model[:12]}, got {self._model[:12]}, load the model that made the clip")
        self.base.scheduler = make_scheduler(record.scheduler, self.base.scheduler.config)
        make = {"generate": self._make_clip, "image": self._make_picture}[record.task]
        return Clip(enlarge(make(record, on_step), record.size), fps=Fraction(record.fps), origin=Made(record))

    def _make_clip(self, record: Replay, on_step: OnStep | None) -> np.ndarray:
        return self.base(
            record.prompt, record.negative, seeds=record.seed, num_frames=record.frames, frame_rate=Fraction(record.fps),
            num_inference_steps=record.steps, guidance_scale=record.guidance, on_step=on_step,
        ).frames[0]  # fmt: skip

    def _make_picture(self, record: Replay, on_step: OnStep | None) -> np.ndarray:
        return self.base.picture(
            record.prompt, record.negative, seeds=record.seed, num_inference_steps=record.steps, guidance_scale=record.guidance,
            on_step=on_step,
        ).frames[0]  # fmt: skip

    def _record(self, task: str, prompt: str, **asked) -> Replay:
        state = machine_state(self.base.device, self.base.stunet.dtype)
        return Replay(task=task, prompt=prompt, model=self._model, **asked, **state)


def frame_count(frames: int | None, seconds: float | None, fps: int | Fraction) -> int:
    """Frames asked for, or those that `seconds` take, or the paper's 80."""
    if frames is not None and seconds is not None:
        raise ValueError("length: expected frames or seconds, got both, leave one out")
    if seconds is not None:
        return round(finite("seconds", seconds) * Fraction(fps))
    return DEFAULT_FRAMES if frames is None else frames


def check_request(record: Replay) -> None:
    """Refuse what cannot be made, before anything is computed."""
    check_prompt(record.prompt)
    if record.negative:
        check_prompt(record.negative)
    check_range("seed", record.seed, 0, MAX_SEED)
    check_range("frames", record.frames, 1, 10_000)
    check_range("steps", record.steps, 1, 1000)
    check_range("size", record.size, 0, 4096)
    check_range("fps", float(Fraction(record.fps)), 1, 240)
    check_range("guidance", finite("guidance", record.guidance), 0, 100)
    if record.task not in TASKS:
        raise ValueError(f"task: expected one of {', '.join(TASKS)}, got {record.task!r}, name one of these")
    if record.scheduler not in SCHEDULERS:
        raise ValueError(f"scheduler: expected one of {', '.join(SCHEDULERS)}, got {record.scheduler!r}, name one of these")
    cost = max(record.size, 64) ** 2 * record.frames * record.steps
    if cost > MAX_COST:
        raise ValueError(f"cost: expected pixels x frames x steps of at most {MAX_COST:.1e}, got {cost:.1e}, ask for fewer of one of them")


def check_prompt(prompt: str) -> None:
    """At most 2,000 characters that print: no control characters, escapes or lone surrogates."""
    if not prompt.strip():
        raise ValueError("prompt: expected a sentence, got nothing, say what the clip shows")
    if len(prompt) > MAX_PROMPT:
        raise ValueError(f"prompt: expected at most {MAX_PROMPT} characters, got {len(prompt)}, shorten it")
    odd = next((c for c in prompt if unicodedata.category(c) in ("Cc", "Cs")), None)
    if odd is not None:
        raise ValueError(f"prompt: expected characters that print, got U+{ord(odd):04X}, remove it")


def check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {low} to {high}, got {value}, choose one in that range")


def finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value}, choose one")
    return value


def enlarge(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames [f, h, w, 3] brought to `size` x `size` by Lanczos resampling (0: left as they are)."""
    if size in (0, frames.shape[1]):
        return frames
    return np.stack([np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.LANCZOS)) for frame in frames])
