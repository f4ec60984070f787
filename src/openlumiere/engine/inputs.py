"""What a task is given, opened once, before a run: pictures, clips, masks and styles, each with its
file and the sha256 of its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from openlumiere.media import Clip, load_image, picture_from
from openlumiere.media.mask import black_and_white, mask_of
from openlumiere.models.style import Style
from openlumiere.safety.frames import check_frames
from openlumiere.settings import Policy
from openlumiere.tasks import Media, Task

AnyTask = TypeVar("AnyTask", bound=Task)


@dataclass(frozen=True, eq=False)
class Given:
    """A clip (a picture is one frame, a mask white where something new is made) or a style, and the
    file it came from, if any.
    """

    content: Clip | Style
    path: Path | None = None

    @property
    def sha256(self) -> str:
        """Of pixels and rate, or of a style's weights."""
        if isinstance(self.content, Style):
            return self.content.sha256
        return sha256_of(self.content)

    @property
    def clip(self) -> Clip:
        """The content, where it is a clip."""
        if not isinstance(self.content, Clip):
            raise ValueError(f"inputs: expected a clip, got style {self.content.name!r}, give one")
        return self.content


Inputs = Mapping[str, Given]
"""By role: `clip`, `image`, `frame 5`, `region`, `style 0`."""


def sha256_of(clip: Clip) -> str:
    """Over rate, shape and pixels, as they are in memory."""
    digest = hashlib.sha256(f"{clip.fps} {clip.frames.shape} ".encode())
    for frame in clip.frames:  # one by one, since repeated frames may share their memory
        digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()


def open_task(task: AnyTask, allow_partial: bool = False) -> AnyTask:
    """The task with everything that it is given open in memory.

    Raises ValueError for what can't be read, and for content that is not what the task names.
    """
    opened = {role: open_media(role, media, allow_partial) for role, media in task.media().items()}
    return task.with_media(opened)


def open_media(role: str, media: Media, allow_partial: bool = False) -> Media:
    """One thing that is given, by what it is for."""
    if isinstance(media.content, Given):
        given = media.content
    else:
        given = OPENERS[role.split()[0]](source_of(role, media), allow_partial)
    if media.sha256 and media.sha256 != given.sha256:
        raise ValueError(
            f"inputs: expected the {role} that the task names, got another, "
            "give what the clip was made from"
        )
    return media.holding(given)


def source_of(role: str, media: Media) -> Any:
    """What to open: content from memory, or a path."""
    if media.content is not None:
        return media.content
    if media.sha256 and not (media.path and Path(media.path).exists()):
        file = f" ({media.name})" if media.name else ""
        raise ValueError(
            f"inputs: expected the {role}{file} that the clip was made from, got none, give it"
        )
    return media.path


def open_picture(value: Any, allow_partial: bool = False) -> Given:
    """A path, an array [h, w, 3 or 4] or a PIL image (`media.picture_from`), or a clip's first
    frame.
    """
    if isinstance(value, Given):
        return value
    if isinstance(value, (str, Path)):
        return Given(Clip(load_image(value)[None]), Path(value))
    if isinstance(value, Clip):
        return Given(Clip(value.frames[:1], origin=value.origin))
    return Given(Clip(picture_from(value)[None]))


def open_clip(value: Any, allow_partial: bool = False) -> Given:
    """A path or a clip."""
    if isinstance(value, Given):
        return value
    if isinstance(value, (str, Path)):
        return Given(Clip.load(value, allow_partial=allow_partial), Path(value))
    if not isinstance(value, Clip):
        raise ValueError(
            f"clip: expected a path or a Clip, got {type(value).__name__}, make a Clip of it"
        )
    return Given(value)


def open_background(value: Any, allow_partial: bool = False) -> Given:
    """A picture or a clip that goes behind what is made."""
    if isinstance(value, (Given, Clip, str, Path)):
        return open_clip(value, allow_partial)
    return open_picture(value)


def open_mask(value: Any, allow_partial: bool = False) -> Given:
    """A mask in a file or in memory, as a clip of black and white (`media/mask.py`)."""
    if isinstance(value, Given):
        return value
    if isinstance(value, (str, Path)):
        frames = Clip.load(value, allow_partial=allow_partial)
        return Given(black_and_white(mask_of(frames)), Path(value))
    return Given(black_and_white(mask_of(value)))


def open_style(value: Any, allow_partial: bool = False) -> Given:
    """A style, or the file of one."""
    if isinstance(value, Given):
        return value
    if isinstance(value, (str, Path)):
        return Given(Style.load(value), Path(value))
    if not isinstance(value, Style):
        raise ValueError(
            f"style: expected a path or a Style, got {type(value).__name__}, "
            "give what learn_style made, or a LoRA file"
        )
    return Given(value)


OPENERS = {
    "clip": open_clip,
    "image": open_picture,
    "frame": open_picture,
    "region": open_mask,
    "style": open_style,
    "background": open_background,
}
"""By the first word of a role."""


def inputs_of(task: Task) -> dict[str, Given]:
    """What an open task holds, by role."""
    return {role: media.content for role, media in task.media().items()}


def resolved(task: AnyTask) -> AnyTask:
    """An open task as a record keeps it: names of files and sha256 of contents."""
    named = {
        role: Media(path=media.name, sha256=media.content.sha256)
        for role, media in task.media().items()
    }
    return task.with_media(named)


def screen_inputs(inputs: Inputs, policy: Policy) -> None:
    """Raises ValueError for pictures and clips that the user's policy does not take
    (`safety/frames.py`).
    """
    for role, given in inputs.items():
        if isinstance(given.content, Clip) and role != "region":
            check_frames(role, given.content, policy)
