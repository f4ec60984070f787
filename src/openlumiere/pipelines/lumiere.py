"""`Lumiere`: a method a task, from what a person gives to a finished clip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from openlumiere.diffusion.sample import make_scheduler
from openlumiere.media import Clip
from openlumiere.pipelines.base import LumierePipeline, OnStep
from openlumiere.pipelines.finish import Made, Replay
from openlumiere.pipelines.request import DEFAULT_FPS, DEFAULT_GUIDANCE, DEFAULT_SIZE, DEFAULT_STEPS, Request, frame_count

WEIGHTS = Path(__file__).parent.parent / "weights"


class Lumiere:
    """The whole cascade: base model, enlargement, and the origin that every made clip carries."""

    def __init__(self, base: LumierePipeline):
        self.base = base
        self._model = base.fingerprint()
        self._trained = base.scheduler.config

    @classmethod
    def from_pretrained(cls, model: str | Path | None = None, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Lumiere:
        """The carried weights, or a folder in diffusers' layout, or `owner/name` on the hub."""
        return cls(LumierePipeline.from_pretrained(model or WEIGHTS, torch_dtype=dtype).to(device))

    def generate(
        self, prompt: str, *, seed: int = 0, negative: str = "", frames: int | None = None, seconds: float | None = None,
        fps: int | str | Fraction = DEFAULT_FPS, steps: int = DEFAULT_STEPS, guidance: float = DEFAULT_GUIDANCE, size: int = DEFAULT_SIZE,
        scheduler: str = "ddim", on_step: OnStep | None = None,
    ) -> Clip:  # fmt: skip
        """Text to video: one clip of `frames` (80) frames, or of `seconds` at `fps`, `size` x `size` pixels (0: the net's own).

        Frames larger than the net's own size are enlarged by Lanczos resampling. Raises ValueError for what can't be made.
        """
        return self.make(Request(
            prompt=prompt, negative=negative, seed=seed, frames=frame_count(frames, seconds, fps), fps=str(fps), steps=steps,
            guidance=guidance, size=size, scheduler=scheduler,
        ), on_step)  # fmt: skip

    def generate_image(
        self, prompt: str, *, seed: int = 0, negative: str = "", steps: int = DEFAULT_STEPS, guidance: float = DEFAULT_GUIDANCE,
        size: int = DEFAULT_SIZE, scheduler: str = "ddim", on_step: OnStep | None = None,
    ) -> Clip:  # fmt: skip
        """Text to image by the frozen picture net: a clip of one frame."""
        return self.make(Request(
            task="image", prompt=prompt, negative=negative, seed=seed, frames=1, steps=steps, guidance=guidance, size=size, scheduler=scheduler
        ), on_step)  # fmt: skip

    def make(self, request: Request, on_step: OnStep | None = None) -> Clip:
        """The clip that a request asks for, with its origin; `on_step` is called after each denoising step."""
        self.base.scheduler = make_scheduler(request.scheduler, self._trained)
        frames = {"generate": self._clip, "image": self._picture}[request.task](request, on_step)
        return Clip(enlarge(frames, request.size), fps=Fraction(request.fps), origin=Made(self._record(request)))

    def replay(self, record: Replay, on_step: OnStep | None = None) -> Clip:
        """Make a clip again from its record: on the same machine, bit for bit. Raises ValueError for another model or precision."""
        if record.model != self._model:
            raise ValueError(f"replay: expected the model {record.model[:12]}, got {self._model[:12]}, load the one that made the clip, as {record.dtype}")
        with threads(record.threads):
            return self.make(Request(**{field.name: getattr(record, field.name) for field in fields(Request)}), on_step)

    def _clip(self, request: Request, on_step: OnStep | None) -> np.ndarray:
        return self.base(
            request.prompt, request.negative, seeds=request.seed, num_frames=request.frames, frame_rate=Fraction(request.fps),
            num_inference_steps=request.steps, guidance_scale=request.guidance, on_step=on_step,
        ).frames[0]  # fmt: skip

    def _picture(self, request: Request, on_step: OnStep | None) -> np.ndarray:
        return self.base.picture(
            request.prompt, request.negative, seeds=request.seed, num_inference_steps=request.steps, guidance_scale=request.guidance,
            on_step=on_step,
        ).frames[0]  # fmt: skip

    def _record(self, request: Request) -> Replay:
        dtype = str(self.base.stunet.dtype).removeprefix("torch.")
        return Replay(**asdict(request), model=self._model, dtype=dtype, device=str(self.base.device), threads=torch.get_num_threads())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch's CPU threads for a while: the order of sums, so the last bit of a clip, depends on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def enlarge(frames: np.ndarray, size: int) -> np.ndarray:
    """Frames [f, h, w, 3] brought to `size` x `size` by Lanczos resampling (0: left as they are)."""
    if size in (0, frames.shape[1]):
        return frames
    enlarged = np.empty((len(frames), size, size, 3), np.uint8)
    for small, large in zip(frames, enlarged, strict=True):
        large[:] = Image.fromarray(small).resize((size, size), Image.Resampling.LANCZOS)
    return enlarged
