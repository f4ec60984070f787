"""Load, generate, inpaint and restyle as nodes of ComfyUI. Nothing of ComfyUI is imported.

Pictures are ComfyUI's: IMAGE float `[f, h, w, 3]` and MASK float `[f, h, w]`, both in [0, 1]. A
MASK that goes in is 1 where to make something new; one that comes out is 1 where the clip is
transparent, as ComfyUI's own loader has it. What comes out carries the mark in its pixels; who
saves it outside openlumiere writes no signature.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import torch

from openlumiere import Clip, Lumiere

CATEGORY = "openlumiere"
CLIP_OUT = ("IMAGE", "MASK", "FLOAT")
CLIP_NAMES = ("images", "transparent", "fps")
PROMPT = ("STRING", {"default": "", "multiline": True})
SAMPLING = {
    "seed": ("INT", {"default": 0, "min": 0, "max": 2**32 - 1}),
    "steps": ("INT", {"default": 20, "min": 1, "max": 1000}),
    "guidance": ("FLOAT", {"default": 3.0, "min": 1.0, "max": 50.0, "step": 0.1}),
    "negative": PROMPT,
}
RATE = ("FLOAT", {"default": 16.0, "min": 0.1, "max": 1000.0, "step": 0.001})
THOUSANDTHS = 1001  # the denominator of television's rates, 30000/1001 and the like


def clip_of(images: torch.Tensor, fps: float) -> Clip:
    """A clip of an IMAGE."""
    frames = (images.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return Clip(np.ascontiguousarray(frames), Fraction(fps).limit_denominator(THOUSANDTHS))


def outputs_of(clip: Clip) -> tuple[torch.Tensor, torch.Tensor, float]:
    """IMAGE, MASK and FLOAT of a clip that was made here, its frames marked."""
    frames = clip.frames if clip.origin is None else clip.origin.seal(clip.frames)
    values = torch.from_numpy(frames).float() / 255
    transparent = 1 - values[..., 3] if clip.has_alpha else torch.zeros(values.shape[:3])
    return values[..., :3], transparent, float(clip.fps)


def region_of(mask: torch.Tensor) -> Clip:
    """A MASK as a clip that is white where to make something new."""
    white = (mask.clamp(0, 1) * 255).round().byte().cpu().numpy()
    return Clip(np.repeat(white[..., None], 3, -1))


class LumiereLoad:
    """The bundled weights, a folder in diffusers' layout or `owner/name` of the hub."""

    RETURN_TYPES: ClassVar = ("LUMIERE",)
    RETURN_NAMES: ClassVar = ("lumiere",)
    FUNCTION = "load"
    CATEGORY = CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """An empty model is the bundled one; `memory` like 11G, and `loras` a line each, are for
        published models.
        """
        return {
            "required": {
                "model": ("STRING", {"default": ""}),
                "device": (["cpu", "cuda", "mps"],),
                "dtype": (["float32", "bfloat16", "float16"],),
            },
            "optional": {"memory": ("STRING", {"default": ""}), "loras": PROMPT},
        }

    def load(
        self, model: str, device: str, dtype: str, memory: str = "", loras: str = ""
    ) -> tuple[Lumiere]:
        """Raises ValueError, in one line, for what can't be opened."""
        lumiere = Lumiere.from_pretrained(
            model or None,
            device=device,
            dtype=getattr(torch, dtype),
            memory=memory or 0,
            loras=loras.split("\n") if loras else (),
        )
        return (lumiere,)


class ClipNode:
    """What nodes that make a clip have in common."""

    RETURN_TYPES: ClassVar = CLIP_OUT
    RETURN_NAMES: ClassVar = CLIP_NAMES
    CATEGORY = CATEGORY


class LumiereGenerate(ClipNode):
    """Text to video."""

    FUNCTION = "generate"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """`size` is the shorter side in pixels; 0 is the model's own."""
        return {
            "required": {
                "lumiere": ("LUMIERE",),
                "prompt": PROMPT,
                "frames": ("INT", {"default": 80, "min": 1, "max": 10000}),
                **SAMPLING,
            },
            "optional": {
                "size": ("INT", {"default": 0, "min": 0, "max": 4096}),
                "loop": ("BOOLEAN", {"default": False}),
            },
        }

    def generate(
        self, lumiere: Lumiere, prompt: str, frames: int, size: int = 0, **how: Any
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """IMAGE, MASK and frames a second."""
        return outputs_of(lumiere.generate(prompt, frames=frames, size=size, **how))


class LumiereInpaint(ClipNode):
    """What lies under the mask is made anew; all else stays bit for bit."""

    FUNCTION = "inpaint"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The mask has a frame for each of the clip's, or one for all."""
        return {
            "required": {
                "lumiere": ("LUMIERE",),
                "images": ("IMAGE",),
                "mask": ("MASK",),
                "prompt": PROMPT,
                "fps": RATE,
                **SAMPLING,
            }
        }

    def inpaint(
        self,
        lumiere: Lumiere,
        images: torch.Tensor,
        mask: torch.Tensor,
        prompt: str,
        fps: float,
        **how: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """IMAGE, MASK and frames a second."""
        made = lumiere.inpaint(clip_of(images, fps), region_of(mask), prompt, **how)
        return outputs_of(made)


class LumiereRestyle(ClipNode):
    """A whole clip changed: strength 0 gives it back, 1 makes all anew."""

    FUNCTION = "restyle"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The clip, what it becomes and how far."""
        return {
            "required": {
                "lumiere": ("LUMIERE",),
                "images": ("IMAGE",),
                "prompt": PROMPT,
                "strength": ("FLOAT", {"default": 0.6, "min": 0.0, "max": 1.0, "step": 0.01}),
                "fps": RATE,
                **SAMPLING,
            }
        }

    def restyle(
        self, lumiere: Lumiere, images: torch.Tensor, prompt: str, fps: float, **how: Any
    ) -> tuple[torch.Tensor, torch.Tensor, float]:
        """IMAGE, MASK and frames a second."""
        return outputs_of(lumiere.restyle(clip_of(images, fps), prompt, **how))


NODE_CLASS_MAPPINGS = {
    node.__name__: node for node in (LumiereLoad, LumiereGenerate, LumiereInpaint, LumiereRestyle)
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "LumiereLoad": "Load Lumiere",
    "LumiereGenerate": "Lumiere: text to video",
    "LumiereInpaint": "Lumiere: inpaint",
    "LumiereRestyle": "Lumiere: restyle",
}
