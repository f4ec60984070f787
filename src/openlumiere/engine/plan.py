"""Each task as a few lines that fill a `Canvas` from a request and its inputs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from PIL import Image

from openlumiere.engine.inputs import Inputs
from openlumiere.media import Clip
from openlumiere.models.style import Style
from openlumiere.quality.repair import mended
from openlumiere.tasks.region import (
    Canvas,
    Region,
    extended,
    filled,
    keyframes,
    partly_moving,
    unheld,
)
from openlumiere.tasks.request import Request, check_cost, parse_size

FRAME = "frame "
STYLE = "style "


def canvas_for(request: Request, inputs: Inputs) -> Canvas | None:
    """What is given in pixels; None where everything is made from a sentence. Raises ValueError for
    what can't be.
    """
    if request.task not in CANVASES:
        return None
    canvas = CANVASES[request.task](request, inputs)
    check_cost(canvas.frames[0].size // 3, len(canvas.frames), request.steps)
    return canvas


def animate(request: Request, inputs: Inputs) -> Canvas:
    pictures = {
        int(role.removeprefix(FRAME)): pixels(inputs, role, request.size)
        for role in inputs
        if role.startswith(FRAME)
    }
    return keyframes(dict(sorted(pictures.items())), request.frames, Fraction(request.fps))


def inpaint(request: Request, inputs: Inputs) -> Canvas:
    return filled(inputs["clip"].content, region_of(request, inputs))


def outpaint(request: Request, inputs: Inputs) -> Canvas:
    return extended(inputs["clip"].content, *parse_size(request.to))


def mend(request: Request, inputs: Inputs) -> Canvas:
    """Without a region, what is broken is looked for."""
    given = request.region or "region" in inputs
    return inpaint(request, inputs) if given else mended(inputs["clip"].content)


def cinemagraph(request: Request, inputs: Inputs) -> Canvas:
    region = region_of(request, inputs)
    return partly_moving(
        pixels(inputs, "picture", request.size), region, request.frames, Fraction(request.fps)
    )


def restyle(request: Request, inputs: Inputs) -> Canvas:
    return unheld(inputs["clip"].content, held=request.strength == 0)


CANVASES = {
    "animate": animate,
    "inpaint": inpaint,
    "outpaint": outpaint,
    "mend": mend,
    "cinemagraph": cinemagraph,
    "restyle": restyle,
}


def region_of(request: Request, inputs: Inputs) -> Region:
    if request.region:
        return Region.parse(request.region)
    mask = inputs["region"].content.frames[..., 0] / np.float32(255)
    return Region(mask=mask[0] if len(mask) == 1 else mask)


def pixels(inputs: Inputs, role: str, size: int) -> np.ndarray:
    """A picture, its longer side brought to `size` pixels (0: as it is)."""
    clip: Clip = inputs[role].content
    to = scaled(clip.size, size)
    return (
        clip.frames[0]
        if to == clip.size
        else np.asarray(Image.fromarray(clip.frames[0]).resize(to, Image.Resampling.LANCZOS))
    )


def scaled(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """Width and height with a longer side of `longer` pixels (0: as they are)."""
    width, height = (max(1, round(side * longer / max(size))) for side in size)
    return (width, height) if longer else size


def styles_of(request: Request, inputs: Inputs) -> list[tuple[Style, float]]:
    """The styles among the inputs, in order, each with its weight."""
    found = [inputs[role].content for role in sorted(inputs) if role.startswith(STYLE)]
    if len(found) != len(request.style_weights):
        raise ValueError(
            f"style: expected a weight for each of {len(found)} styles, got {len(request.style_weights)}, give one a style"
        )
    return list(zip(found, request.style_weights, strict=True))
