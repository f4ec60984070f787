"""What each task asks of the net: a `Canvas` in pixels where something is given, and a `Plan` of
one pass over a clip as the net sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image as Pillow
from torch import Tensor

from openlumiere.contract import NATIVE_RATE, Backbone, Codec, Known, Native, ReadsPixels
from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.engine.camera import camera_in, passed_over
from openlumiere.engine.canvas import Canvas, extended, filled, keyframes, partly_moving, unheld
from openlumiere.engine.fit import (
    Fit,
    encode,
    encode_whole,
    given_pixels,
    in_places,
    place,
    seen_rate,
    solid,
    stride_of,
)
from openlumiere.engine.flowing import flowing, way_in
from openlumiere.engine.run import Plan
from openlumiere.media import Clip
from openlumiere.media.alpha import is_opaque
from openlumiere.media.frames import with_channels
from openlumiere.quality.defects import Defect
from openlumiere.quality.repair import mended
from openlumiere.tasks import (
    Animate,
    Cinemagraph,
    Generate,
    Image,
    Inpaint,
    Media,
    Mend,
    Outpaint,
    Region,
    Restyle,
    Task,
)
from openlumiere.tasks.values import (
    DEFAULT_SIDE,
    Length,
    Line,
    check_cost,
    check_within,
    parse_schedule,
)

LED = 0.3  # of the steps of a clip that a camera leads: before them it is what is likely
CONTINUED = 0.1  # of those of a hole that is filled by what is likely (`completion.py`)
FADE = Fraction(1, 2)  # seconds in which one prompt of a schedule takes over from another
OVERLAP = Fraction(1, 5)
"""Share of a window that the next one shares, 16 of our net's 80 frames: the base decides where
subjects are, so more than the paper's 2 (our choice).
"""

log = logging.getLogger("openlumiere")
report = logging.getLogger("openlumiere.report")
MOST_LISTED = 20

TOGETHER, TOGETHER_BYTES = 8, 2**30

Edit = Animate | Inpaint | Outpaint | Mend | Cinemagraph | Restyle
Sampled = Generate | Image | Edit


def canvas_of(task: Edit) -> Canvas:
    """What is given to an open task, in pixels. Raises ValueError for what can't be."""
    canvas = filled_canvas(task)
    check_cost(canvas.frames[0, ..., 0].size, len(canvas.frames), task.sampling.steps)
    return canvas


def filled_canvas(task: Edit) -> Canvas:
    """Every task in a line: what is known, and of how large a clip."""
    match task:
        case Animate():
            return keyframes(pictures_of(task), task.length.count, task.length.fps)
        case Cinemagraph():
            picture = sized(task.image, task.size)
            if is_opaque(picture):
                picture = with_channels(picture, 3)
            return partly_moving(picture, task.region, task.length.count, task.length.fps)
        case Inpaint():
            return filled(clip_of(task.clip), task.region)
        case Outpaint():
            return extended(clip_of(task.clip), *task.to)
        case Mend(region=None):
            return repaired(clip_of(task.clip))
        case Mend():
            assert task.region is not None
            return mended_region(clip_of(task.clip), task.region)
        case Restyle():
            return unheld(clip_of(task.clip), held=task.strength == 0)


def led(canvas: Canvas, task: Edit, backbone: Backbone) -> Canvas:
    """A canvas with the picture moved as the camera is asked to pass over it, or its region as it
    is asked to flow, by the task or by its prompt, for a net that reads what is likely.
    """
    if not backbone.reads.likely:
        return canvas
    if isinstance(task, Animate):
        alone = task.image is not None and not task.keyframes and not task.loop
        camera = task.camera or (camera_in(task.prompt) if alone else None)
        return canvas if camera is None else passed_over(canvas, camera, task.motion)
    if isinstance(task, Cinemagraph):
        way = task.flow or way_in(task.prompt)
        return canvas if way is None else flowing(canvas, way, task.motion, task.loop)
    return canvas


def repaired(clip: Clip) -> Canvas:
    """What could be bridged or evened out, and unknown what is left to the net. Fully transparent
    pixels stay as they are, and all alpha does.
    """
    opaque = replace(clip, frames=solid(clip.frames)) if clip.has_alpha else clip
    colours, known, found = mended(opaque)
    report_of(found, clip.fps)
    if not clip.has_alpha:
        return Canvas(frames=colours, known=known, fps=clip.fps, audio=clip.audio)
    frames = np.concatenate([colours, clip.frames[..., 3:]], axis=-1)
    clear = clip.frames[..., 3] == 0
    frames[clear] = clip.frames[clear]
    return Canvas(frames=frames, known=known | clear, fps=clip.fps, audio=clip.audio)


def report_of(found: list[Defect], fps: Fraction) -> None:
    """Log what is damaged and where, at most twenty lines of it, or that nothing is."""
    places = "1 place" if len(found) == 1 else f"{len(found)} places"
    report.info("mend: %s", f"found damage in {places}" if found else "nothing found")
    for each in found[:MOST_LISTED]:
        report.info("mend: %s", each.at(fps))
    if len(found) > MOST_LISTED:
        report.info("mend: and %d more", len(found) - MOST_LISTED)


def mended_region(clip: Clip, region: Region) -> Canvas:
    """A region made anew in the shape that it has: alpha stays, and so does what is fully
    transparent.
    """
    canvas = filled(clip, region)
    if not clip.has_alpha:
        return canvas
    known = canvas.known | (clip.frames[..., 3] == 0)
    return replace(canvas, known=known, outline="own")


def pictures_of(task: Animate) -> dict[int, UInt8[np.ndarray, "h w c"]]:
    """Pictures by frame, in order; all with alpha where any is not opaque."""
    first = {} if task.image is None else {0: sized(task.image, task.size)}
    found = first | {each.frame: sized(each.image, task.size) for each in task.keyframes}
    channels = 3 if all(is_opaque(picture) for picture in found.values()) else 4
    return {frame: with_channels(picture, channels) for frame, picture in found.items()}


def clip_of(media: Media) -> Clip:
    """The clip of open media."""
    clip: Clip = media.content.clip
    return clip


def sized(media: Media, longer: int) -> UInt8[np.ndarray, "h w c"]:
    """An open picture, its longer side brought to `longer` pixels (0: as it is)."""
    clip = clip_of(media)
    to = scaled(clip.size, longer)
    if to == clip.size:
        return clip.frames[0]
    return np.asarray(Pillow.fromarray(clip.frames[0]).resize(to, Pillow.Resampling.LANCZOS))


def scaled(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """Width and height with a longer side of `longer` pixels (0: as they are)."""
    if not longer:
        return size
    width, height = size
    share = longer / max(size)
    return max(1, round(width * share)), max(1, round(height * share))


def plan_edit(
    task: Edit, canvas: Canvas, to: Fit, backbone: Backbone, part: Fraction = Fraction(1)
) -> Plan:
    """What is unknown of a canvas, made around what is known, by windows of this part of the native
    frames.
    """
    codec = backbone.codec
    loop = loops(task)
    strength = strength_of(task, canvas)
    structure = task.structure if isinstance(task, Restyle) else 0.0
    steps = task.sampling.steps
    start = min(round((1 - strength) * steps), steps - 1)
    return Plan(
        prompts=(task.prompt,),
        negative=task.sampling.negative,
        seeds=(task.sampling.seed,),
        frames=seen_frames(len(to.indices), codec, loop),
        height=to.height,
        width=to.width,
        frame_times=to.times(canvas.fps, getattr(task, "motion", 1.0)),
        known=encode(canvas, to, codec, loop) if canvas.known.any() else None,
        given=given_for(backbone, canvas, to, loop),
        source=encode_whole(canvas, to, codec, loop) if start or structure else None,
        start=start,
        structure=structure,
        windows=windows_at(backbone, seen_rate(canvas.fps, backbone.native), part=part),
        loop=loop,
    )


def strength_of(task: Edit, canvas: Canvas) -> float:
    """Of the steps, the last ones that are taken: before them a clip is the given or likely one."""
    if isinstance(task, Restyle):
        return task.strength
    if not canvas.likely:
        return 1.0
    return LED if isinstance(task, Animate | Cinemagraph) else CONTINUED


def given_for(backbone: Backbone, canvas: Canvas, to: Fit, loop: bool) -> Known | None:
    """What is known in pixels, for a net that reads those."""
    if not isinstance(backbone, ReadsPixels):
        return None
    return given_pixels(canvas, to, loop, backbone.codec.time_factor)


def seen_frames(count: int, codec: Codec, loop: bool) -> int:
    """Frames that a codec is given for `count` of a clip: in a loop its first place, of one frame,
    stands for as many as the others.
    """
    return count - (codec.time_factor - 1) if loop else count


def written_side(task: Generate | Image, native: Native) -> int:
    """The shorter side of what is written, in pixels; 0 is the net's own."""
    return max(DEFAULT_SIDE, native.side) if task.size is None else task.size


def loops(task: Task) -> bool:
    """Whether a seamless loop is asked for."""
    return bool(getattr(task, "loop", False))


def plan_shot(
    task: Generate,
    prompt: str,
    backbone: Backbone,
    windows: Windows | None = None,
    keyframe: UInt8[np.ndarray, "h w c"] | None = None,
    number: int = 0,
) -> Plan:
    """The `number`-th shot of words, at the net's size, from a seed of its own; it may be a little
    longer than asked for, as the net's frames are.

    It begins after `keyframe`, a picture of the shot before it that is known to the net and not
    shown again; `windows` are `windows_at` its rate if not given.
    """
    lines = parse_schedule(prompt)
    fps = task.length.fps
    native = backbone.native
    asked = task.length.count + (keyframe is not None)
    frames = frames_of(asked, backbone, task.loop)
    shares = None
    if len(lines) > 1:
        shares = shares_of(lines, task.length.count, fps)
        before = shares[:, : int(keyframe is not None)]
        after = shares[:, -1:].expand(-1, max(0, frames - asked))
        shares = torch.cat([before, shares, after], 1)[:, :frames]
    return Plan(
        prompts=tuple(line.prompt for line in lines),
        negative=task.sampling.negative,
        seeds=(task.sampling.seed + number,),
        shares=shares,
        frames=frames,
        height=native.side,
        width=native.longer or native.side,
        frame_times=torch.arange(frames) * float(NATIVE_RATE / fps),
        known=None if keyframe is None else know_first(backbone, keyframe, frames),
        given=None if keyframe is None else given_first(backbone, keyframe, frames),
        windows=windows or windows_at(backbone, fps),
        loop=task.loop,
    )


def batches(tasks: Sequence[Task], backbone: Backbone, most: int | None) -> list[list[int]]:
    """Numbers of the tasks that are denoised together, at most `most` of them; None: as many as
    `fitting` says. Raises ValueError for less than one.
    """
    if most is not None and most < 1:
        raise ValueError(f"batch: expected 1 or more, got {most}, use 1 to make one after another")
    alike: dict[Any, list[int]] = {}
    for number, task in enumerate(tasks):
        alike.setdefault(apart_from_words(task, backbone) or number, []).append(number)
    found = []
    for numbers in alike.values():
        first = tasks[numbers[0]]
        size = most or (fitting(first, backbone) if isinstance(first, Generate) else 1)
        found += [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return found


def fitting(task: Generate, backbone: Backbone) -> int:
    """Clips that are denoised together without being asked for: passes over them take 1 GiB at
    most, and they are 8 at most (our choice).
    """
    native = backbone.native
    frames = frames_of(min(task.length.count, native.frames), backbone)
    size = (frames, native.side, native.longer or native.side)
    shape = (2, backbone.codec.channels, *backbone.codec.grid(*size))
    return max(1, min(TOGETHER, TOGETHER_BYTES // backbone.bytes_for(shape)))


def apart_from_words(task: Task, backbone: Backbone) -> str:
    """What must be the same of tasks in one batch: all but prompt and seed, and how many tokens the
    prompt has, so that none is padded. "" for what is always made alone.
    """
    if not isinstance(task, Generate) or task.shots or task.styles:
        return ""
    if len(parse_schedule(task.prompt)) > 1:
        return ""
    tokens = backbone.condition([task.prompt], frames=1, height=1, width=1).text.shape[1]
    sampling = task.sampling.model_copy(update={"seed": 0})
    rest = task.model_copy(update={"prompt": "", "sampling": sampling})
    return f"{tokens} {rest!r}"


def plan_batch(tasks: Sequence[Generate], backbone: Backbone, windows: Windows | None) -> Plan:
    """Clips of words that `apart_from_words` finds alike, in one plan."""
    return replace(
        plan_shot(tasks[0], tasks[0].prompt, backbone, windows),
        prompts=tuple(task.prompt for task in tasks),
        seeds=tuple(task.sampling.seed for task in tasks),
    )


AnySampled = TypeVar("AnySampled", bound=Task)


def at_net_length(task: AnySampled, backbone: Backbone) -> AnySampled:
    """The task at a length that the net can make, and a line where that is another than was asked
    for: a loop is lengthened, of another clip the frames that are too many are left out.
    """
    length = getattr(task, "length", None)
    if not isinstance(length, Length):
        return task
    native = backbone.native
    if length.fps != native.fps and not backbone.reads.frame_times:
        log.warning(
            "fps: this model moves at %s frames a second, got %s: time runs %.3g times as fast",
            native.fps,
            length.fps,
            length.fps / native.fps,
        )
    stride = 1 if isinstance(task, Generate) else stride_of(length.fps, native)
    if loops(task):
        count = stride * in_places(-(-length.count // stride), native)
        if count == length.count:
            return task
        log.warning(
            "frames: a loop of this model is a multiple of %d, got %d: %d are made",
            stride * native.time_multiple,
            length.count,
            count,
        )
        return task.model_copy(update={"length": Length(frames=count, fps=length.fps)})
    count = native.frames_for(length.count)
    if stride == 1 and count != length.count:
        log.warning(
            "frames: this model makes 1 and a multiple of %d, got %d: %d are made and the last %d "
            "left out",
            native.time_multiple,
            length.count,
            count,
            count - length.count,
        )
    return task


def frames_of(count: int, backbone: Backbone, loop: bool = False) -> int:
    """Frames of a plan that makes `count` of a clip, or the few more that the net takes."""
    if loop:
        return seen_frames(in_places(count, backbone.native), backbone.codec, loop)
    return backbone.native.frames_for(count)


def know_first(backbone: Backbone, picture: UInt8[np.ndarray, "h w c"], frames: int) -> Known:
    """The picture as frame 0 of a clip of which nothing else is known."""
    coded = backbone.codec.encode(pixels_of(picture))
    places, *_ = backbone.codec.grid(frames, *picture.shape[:2])
    known = Known.nothing((1, coded.shape[1], places, *coded.shape[3:]))
    known.content[:, :, :1] = coded
    known.mask[:, :, :1] = 1
    return known


def given_first(
    backbone: Backbone, picture: UInt8[np.ndarray, "h w c"], frames: int
) -> Known | None:
    """The same in pixels, for a net that reads those."""
    if not isinstance(backbone, ReadsPixels):
        return None
    given = Known.nothing((1, 3, frames, *picture.shape[:2]))
    given.content[:, :, :1] = pixels_of(picture)
    given.mask[:, :, :1] = 1
    return given


def pixels_of(picture: UInt8[np.ndarray, "h w c"]) -> Float[Tensor, "1 c 1 h w"]:
    """A picture in [-1, 1]."""
    return rearrange(torch.from_numpy(picture.copy()), "h w c -> 1 c 1 h w") / 127.5 - 1


def windows_at(
    backbone: Backbone, fps: Fraction, batch: int = 1, part: Fraction = Fraction(1)
) -> Windows:
    """Windows as long as the net was trained on, at this rate where it is given frame times; or a
    part of that, which takes less memory. They count the codec's places.
    """
    native = backbone.native
    rate = part * (fps / native.fps if backbone.reads.frame_times else 1)
    frames = max(2, round(native.frames * rate))
    overlap = max(1, round(OVERLAP * native.frames * rate))
    factor = backbone.codec.time_factor
    places = place(frames - 1, factor) + 1
    shared = min(places - 1, place(overlap, factor))
    return Windows(frames=places, overlap=shared, tapered=True, batch=batch)


def shares_of(lines: list[Line], frames: int, fps: Fraction) -> Float[Tensor, "k f"]:
    """The weight of each line at each frame; they add up to 1, and cross over within `FADE` or the
    shorter of two lines' lengths.

    Raises ValueError for a line that begins when the clip is over.
    """
    check_within(lines, frames / fps)
    times = torch.arange(frames) / float(fps)
    ends = [*(line.start for line in lines), frames / fps]
    lengths = [later - earlier for earlier, later in pairwise(ends)]
    shares = torch.ones(1, frames)
    for number, line in enumerate(lines[1:], 1):
        fade = float(min(FADE, lengths[number - 1], lengths[number]))
        begun = ((times - float(line.start)) / fade + 0.5).clamp(0, 1)
        shares = torch.cat([shares[:-1], shares[-1:] * (1 - begun), begun[None]])
    return shares


def plan_picture(task: Image, native: Native) -> Plan:
    """A picture of words, at the net's size."""
    return Plan(
        prompts=(task.prompt,),
        negative=task.sampling.negative,
        seeds=(task.sampling.seed,),
        frames=1,
        height=native.side,
        width=native.longer or native.side,
    )
