"""What a person gives to a task: pictures and clips, each with its name and the sha256 of its
pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from openlumiere.media import Clip, load_image, picture_from
from openlumiere.models.style import Style
from openlumiere.safety.frames import check_frames
from openlumiere.settings import Policy
from openlumiere.tasks.request import Input, Request


@dataclass(frozen=True, eq=False)
class Given:
    """A clip (a picture is one frame, a mask white where something new is made) or a style, and the
    file it came from, if any.
    """

    content: Clip | Style
    path: Path | None = None

    @property
    def sha256(self) -> str:
        return self.content.sha256 if isinstance(self.content, Style) else sha256_of(self.content)

    def record(self, role: str) -> Input:
        return Input(role=role, name=self.path.name if self.path else "", sha256=self.sha256)


Inputs = Mapping[str, Given]
"""By role: "clip", "picture", "frame 0" and other keyframes, "region", "style 0" and further ones.
"""

Picture = Given | Clip | Image.Image | np.ndarray | str | Path
Video = Given | Clip | str | Path


def sha256_of(clip: Clip) -> str:
    """Over rate, shape and pixels, as they are in memory."""
    digest = hashlib.sha256(f"{clip.fps} {clip.frames.shape} ".encode())
    digest.update(np.ascontiguousarray(clip.frames))
    return digest.hexdigest()


def open_picture(value: Picture) -> Given:
    """A path, an array [h, w, 3] or [h, w, 4] (`media.picture_from`), a PIL image, or a clip's first frame."""
    if isinstance(value, Given):
        return value
    if isinstance(value, (str, Path)):
        return Given(Clip(load_image(value)[None]).over("white"), Path(value))
    if isinstance(value, Clip):
        return Given(Clip(value.frames[:1], origin=value.origin).over("white"))
    return Given(Clip(picture_from(value)[None]).over("white"))


def open_clip(value: Video, allow_partial: bool = False) -> Given:
    """A path or a clip."""
    if isinstance(value, (str, Path)):
        return Given(Clip.load(value, allow_partial=allow_partial).over("white"), Path(value))
    return value if isinstance(value, Given) else Given(value.over("white"))


def as_mask(mask: np.ndarray) -> Given:
    """A region's mask, [h, w] or [f, h, w] in [0, 1], as a clip of black and white."""
    frames = (mask if mask.ndim == 3 else mask[None]) > 0.5
    return Given(Clip(np.repeat(frames[..., None].astype(np.uint8) * 255, 3, axis=3)))


def check_given(request: Request, inputs: Inputs) -> None:
    """Raises ValueError unless the inputs are those that the request names, pixel by pixel."""
    named = {each.role: each for each in request.inputs}
    for role in sorted(named.keys() | inputs.keys()):
        if role not in inputs:
            file = f" ({named[role].name})" if named[role].name else ""
            raise ValueError(
                f"inputs: expected the {role}{file} that the clip was made from, got none, give it"
            )
        if role not in named or inputs[role].sha256 != named[role].sha256:
            raise ValueError(
                f"inputs: expected the {role} that the request names, got another, give what the clip was made from"
            )


def screen_inputs(inputs: Inputs, policy: Policy) -> None:
    """Raises ValueError for pictures and clips that the user's policy does not take
    (`safety/frames.py`).
    """
    for role, given in inputs.items():
        if isinstance(given.content, Clip) and role != "region":
            check_frames(role, given.content, policy)
