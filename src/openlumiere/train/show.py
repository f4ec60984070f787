"""Samples on fixed prompts and seeds, so that a run can be watched."""

from __future__ import annotations

from pathlib import Path

from openlumiere.contract import NATIVE_RATE
from openlumiere.engine.base import LumierePipeline
from openlumiere.media import Clip, contact_sheet, filmstrip, save_image
from openlumiere.models.stunet import STUNet

PROMPTS = (
    "a black cat moves right on a green background",
    "a red car moves left on a white background",
    "a rocket moves up on a blue background",
    "una rana si muove in basso su sfondo giallo",
)
FRAMES, STEPS = 16, 8


def save_sheet(
    net: STUNet,
    scheduler,
    unshuffle: int,
    file: Path,
    pictures: bool = False,
    native_frames: int = 80,
) -> None:
    """A sheet with a picture, or a strip of 8 of 16 frames that span a clip, for each prompt."""
    pipeline = LumierePipeline(net, scheduler, unshuffle=unshuffle)
    if not pictures:
        return save_model_sheet(pipeline, file, native_frames=native_frames)
    prompts, seeds = list(PROMPTS), list(range(len(PROMPTS)))
    made = pipeline.picture(prompts, seeds=seeds, num_inference_steps=STEPS).frames[:, 0]
    save_image(contact_sheet(list(made), len(prompts), prompts), file)


def save_model_sheet(
    pipeline: LumierePipeline,
    file: Path,
    *,
    native_frames: int = 80,
    steps: int = STEPS,
    guidance: float = 3.0,
) -> None:
    """A strip of 8 of 16 frames that span a clip, for each prompt."""
    prompts, seeds = list(PROMPTS), list(range(len(PROMPTS)))
    count = min(FRAMES, native_frames)
    clips = pipeline(
        prompts,
        seeds=seeds,
        num_frames=count,
        frame_rate=NATIVE_RATE * count / native_frames,
        num_inference_steps=steps,
        guidance_scale=guidance,
    ).frames
    frames = [filmstrip(Clip(clip), min(8, count)) for clip in clips]
    save_image(contact_sheet(frames, 1, prompts), file)
