"""A canvas of any size, length and rate brought to the net, and what the net made brought back.

Our choices, all of them: the shorter side becomes the net's own, the longer one keeps the
proportions; a rate from half again the net's up is thinned to about the net's, and what lies
between is blended; what is known never goes through the net in the clip that comes out.

Where the codec puts several frames into one place, the last frame is repeated until they fit, and
frames of which nothing is known hold the nearest one that is: a still clip is what a video
autoencoder codes most plainly. A keyframe holds its whole place.

In files alpha is straight. A net whose codec has alpha sees a clip as it is. Others know colours
alone: they see a clip composited over white, as their training data were drawn. What is made gets
alpha by one of two rules: the clip's `own`, where a task keeps the shape, or, where it makes new
things, what is `made`: the net's own alpha, or what it drew on the white that stands for nothing is
cut out. Known pixels are exact, alpha included.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from openlumiere.contract import NATIVE_RATE, Codec, Known, Native
from openlumiere.engine.canvas import Canvas, Outline
from openlumiere.engine.detail import Residual, Way, agreed, carried, followed
from openlumiere.media import Clip, alpha
from openlumiere.media.keying import even, ground_of, keyed

log = logging.getLogger("openlumiere")


WHITE = (255, 255, 255)
WHITISH = 32  # levels by which what a net draws as white may differ from it
OPAQUE = 255
KEEP = ""  # the background that changes nothing
CLEAR = "transparent"


def seen(frame: UInt8[np.ndarray, "h w c"], has_alpha: bool = False) -> UInt8[np.ndarray, "h w d"]:
    """A frame as the net sees it: with its alpha, or over white."""
    if not has_alpha:
        return alpha.over(frame[None], WHITE)[0]
    return alpha.opaque(frame)


def cut_out(
    made: UInt8[np.ndarray, "h w 3"],
    given: UInt8[np.ndarray, "h w 4"],
    known: Bool[np.ndarray, "h w"],
    outline: Outline,
) -> UInt8[np.ndarray, "h w 4"]:
    """What a net made, with alpha: the given frame's where it is known, elsewhere by `outline`."""
    if outline == "own":
        return with_alpha(made, given[..., 3])
    cut = keyed(made[None], even(WHITE, 1), WHITISH)[0]
    return np.where(known[..., None], with_alpha(made, given[..., 3]), cut)


def with_alpha(
    made: UInt8[np.ndarray, "h w 3"], opacity: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 4"]:
    """A frame that was drawn over white, with this alpha and straight colours: the white in it is
    taken out.
    """
    share = opacity[..., None].astype(np.float32) / OPAQUE
    straight = (made - (1 - share) * OPAQUE) / share.clip(min=1 / OPAQUE)
    colours = np.where(share > 0, straight.clip(0, OPAQUE).round(), OPAQUE)
    return np.concatenate([colours.astype(np.uint8), opacity[..., None]], axis=-1)


def solid(frames: UInt8[np.ndarray, "f h w 4"]) -> UInt8[np.ndarray, "f h w 3"]:
    """Straight colours of a clip with alpha, those of transparent pixels taken from beside them:
    what can be enlarged or mended without a rim. A frame of nothing is white.
    """
    colours = np.empty((*frames.shape[:3], 3), np.uint8)
    for frame, target in zip(frames, colours, strict=True):
        target[:] = alpha.bled(frame)[..., :3] if frame[..., 3].any() else OPAQUE
    return colours


def before(
    frames: UInt8[np.ndarray, "f h w c"], background: str | Clip
) -> UInt8[np.ndarray, "f h w d"]:
    """Frames before another background: "transparent", a colour, or a clip or picture that is
    scaled to cover them; "" leaves them as they are.

    Opaque frames whose border is one colour have it taken out first; of others the background is
    kept, and said.
    """
    if background == KEEP:
        return frames
    if alpha.is_opaque(frames):
        frames = frames if frames.shape[3] == 3 else frames[..., :3]
        ground = ground_of(frames)
        if ground is None:
            log.warning("background: what was made does not stand on one colour: it is kept")
            return frames
        frames = keyed(frames, ground)
    if background == CLEAR:
        return frames
    if isinstance(background, str):
        return alpha.over(frames, alpha.colour_of(background))
    return alpha.over(frames, covering(background, *frames.shape[:3]))


def covering(clip: Clip, count: int, height: int, width: int) -> UInt8[np.ndarray, "f h w 3"]:
    """A clip or picture scaled and cropped to cover frames of this size; it begins anew where it is
    shorter.
    """
    scale = max(width / clip.size[0], height / clip.size[1])
    size = max(width, round(clip.size[0] * scale)), max(height, round(clip.size[1] * scale))
    left = (size[0] - width) // 2
    top = (size[1] - height) // 2
    small = clip.over("white").frames[: min(len(clip), count)]
    pictures = np.empty((len(small), height, width, 3), np.uint8)
    for source, target in zip(small, pictures, strict=True):
        whole = Image.fromarray(source).resize(size, Image.Resampling.LANCZOS)
        target[:] = np.asarray(whole)[top : top + height, left : left + width]
    return pictures[np.arange(count) % len(pictures)]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Which `indices` of a canvas's `frames` the net sees, and at which sides in pixels."""

    frames: int
    indices: tuple[int, ...]
    height: int
    width: int

    @property
    def repeated(self) -> int:
        """How often the last frame is repeated."""
        return len(self.indices) - len(set(self.indices))

    def times(self, fps: Fraction, pace: float = 1.0) -> Tensor:
        """Moments of the frames in native frames (1/16 s), time running `pace` times as fast."""
        return torch.tensor(self.indices) * (float(NATIVE_RATE / fps) * pace)


def fit(canvas: Canvas, native: Native, loop: bool = False) -> Fit:
    """The shorter side as the net's, the longer one to the nearest multiple; as many frames as the
    net takes. A loop needs evenly spaced frames, no last one, and full places.
    """
    (width, height), frames = canvas.size, len(canvas.frames)
    short = min(width, height)
    stride = stride_of(canvas.fps, native)
    must = () if loop else (*canvas.anchors, frames - 1)
    indices = sorted({*range(0, frames, stride), *must})
    wanted = in_places(len(indices), native) if loop else native.frames_for(len(indices))
    return Fit(
        frames=frames,
        indices=(*indices, *[indices[-1]] * (wanted - len(indices))),
        height=nearest(native.side * height / short, native.multiple),
        width=nearest(native.side * width / short, native.multiple),
    )


def stride_of(fps: Fraction, native: Native) -> int:
    """Of how many frames at this rate the net sees one."""
    return max(1, round(fps / native.fps))


def seen_rate(fps: Fraction, native: Native) -> Fraction:
    """Frames a second that the net sees of a clip at this rate."""
    return fps / stride_of(fps, native)


def in_places(count: int, native: Native) -> int:
    """The least number of frames of at least `count` that fills the places of a loop."""
    return -(-count // native.time_multiple) * native.time_multiple


def nearest(length: float, multiple: int) -> int:
    """The multiple of `multiple`, one at least, that is nearest to `length`."""
    return max(1, round(length / multiple)) * multiple


def encode(canvas: Canvas, to: Fit, codec: Codec, loop: bool = False) -> Known:
    """What the net is given: a place of the codec's grid is known only where all pixels and frames
    under it are, and holds none that is not.
    """
    grid = to.height // codec.factor, to.width // codec.factor
    sources = sources_of(canvas, to, codec.time_factor, loop)
    has_alpha = codec.colours == 4
    pictures = [known_colours(canvas, source, to, has_alpha) for source, _ in sources]
    masks = [cells(np.all(canvas.known[list(frames)], axis=0), grid) for _, frames in sources]
    pixels = torch.stack(pictures, 1)[None]
    places = codec.grid(pixels.shape[2], to.height, to.width)
    mask = codec.mask(torch.stack(masks, 1)[None], places)
    return Known(content=codec.encode(pixels), mask=mask, likely=canvas.likely)


def given_pixels(canvas: Canvas, to: Fit, loop: bool, time_factor: int) -> Known:
    """What is known in the net's pixels, frame by frame: one is known only where all pixels under
    it are.
    """
    own = (to.indices[0], *to.indices[time_factor:]) if loop else to.indices
    masks = [cells(canvas.known[index], (to.height, to.width)) for index in own]
    pictures = [known_colours(canvas, index, to) for index in own]
    return Known(content=torch.stack(pictures, 1)[None], mask=torch.stack(masks, 1)[None])


Shown: TypeAlias = tuple[int, tuple[int, ...]]
"""Of a frame that the codec sees: the canvas's frame that it shows, and those that must be known
for it to be.
"""


def sources_of(canvas: Canvas, to: Fit, time_factor: int, loop: bool) -> list[Shown]:
    """Where each frame that the codec sees comes from.

    A loop has no first frame, so all its places are of `time_factor` frames, the first as well.
    """
    own: list[Shown] = [(index, (index,)) for index in to.indices]
    if time_factor == 1:
        return own
    if loop:
        return [(to.indices[0], to.indices[:time_factor]), *own[time_factor:]]
    known = np.flatnonzero([canvas.known[index].any() for index in to.indices])
    if not len(known):
        return own
    found: list[Shown] = []
    for number, index in enumerate(to.indices):
        near = int(known[np.abs(known - number).argmin()])
        together = place(near, time_factor) == place(number, time_factor)
        shown = to.indices[near]
        found.append((shown, (shown if together and shown in canvas.anchors else index,)))
    return found


def place(frame: int, time_factor: int) -> int:
    """The coded place of a frame: the first has one of its own, later ones share one by so many."""
    return -(-frame // time_factor)


def encode_whole(canvas: Canvas, to: Fit, codec: Codec, loop: bool = False) -> Tensor:
    """All pixels of the canvas, known or not, as the net sees them: `1 c f h w`."""
    first, *later = to.indices
    seen_indices = (first, *later[codec.time_factor - 1 :]) if loop else to.indices
    shown = [seen(canvas.frames[index], codec.colours == 4) for index in seen_indices]
    return codec.encode(torch.stack([average(picture, to) for picture in shown], 1)[None])


def known_colours(canvas: Canvas, index: int, to: Fit, has_alpha: bool = False) -> Tensor:
    """A frame's known pixels in [-1, 1], elsewhere opaque grey or what is likely, at the net's
    size.
    """
    picture, known = seen(canvas.frames[index], has_alpha), canvas.known[index]
    if canvas.likely or known.all():
        return average(picture, to)
    grey = np.array([127, 127, 127, OPAQUE], np.uint8)[: picture.shape[2]]
    return average(np.where(known[..., None], picture, grey), to)


def cells(known: Bool[np.ndarray, "h w"], grid: tuple[int, int]) -> Float[Tensor, "1 y x"]:
    """1 where all pixels under a place are known."""
    unknown = torch.from_numpy(~known)[None].float()
    return 1 - F.adaptive_max_pool2d(unknown, grid)


def average(picture: UInt8[np.ndarray, "h w c"], to: Fit) -> Tensor:
    """Means of the pixels under each of the net's, in [-1, 1]; of colours as far as they are
    opaque.
    """
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
    grid = to.height, to.width
    if len(pixels) == 3:
        return F.adaptive_avg_pool2d(pixels, grid) / 127.5 - 1
    colours, opacity = pixels.split([3, 1])
    share = F.adaptive_avg_pool2d(opacity, grid)
    colours = F.adaptive_avg_pool2d(colours * opacity, grid) / share.clamp(min=1e-6)
    return torch.cat([colours, share]) / 127.5 - 1


def restore(
    made: UInt8[np.ndarray, "n h w c"],
    canvas: Canvas,
    to: Fit,
    keep: str,
    feather: int,
    loop: bool = False,
    with_detail: bool = False,
) -> np.ndarray:
    """All frames at the canvas's size: what the net made, `with_detail` of the frames that are
    known whole (`detail.py`), and with `keep` "exact" the known pixels bit by bit; with alpha where
    the canvas has some.
    """
    frames = np.empty(canvas.frames.shape, np.uint8)
    with_detail = with_detail and keep == "exact" and canvas.frames.shape[3] == 3
    detail = Detail(made, canvas, to, loop) if with_detail and not canvas.likely else None
    for index in range(to.frames):
        frame = enlarged(blend(made, to, index, loop), canvas)
        if detail is not None:
            frame = detail.added(index, frame)
        elif with_detail:
            frame = agreed(seen(frame), canvas.frames[index])
        frames[index] = joined(frame, canvas, index, keep == "exact", feather)
    return frames


def enlarged(small: UInt8[np.ndarray, "h w c"], canvas: Canvas) -> UInt8[np.ndarray, "H W d"]:
    """A made frame at the canvas's size, over white where the canvas has no alpha."""
    shown = small if canvas.frames.shape[3] == 4 else seen(small)
    return enlarge(shown[None], *canvas.size)[0]


class Source(NamedTuple):
    """A known frame, how many frames away it is, and the way there."""

    known: int
    distance: int
    way: Way


class Detail:
    """What the frames of a canvas that are known whole have beyond the net's pictures of them, for
    the others (`detail.py`). Clips with alpha are left as they are made.
    """

    def __init__(self, made: UInt8[np.ndarray, "n h w c"], canvas: Canvas, to: Fit, loop: bool):
        self.canvas = canvas
        self.small = lambda index: blend(made, to, index, loop)
        self.residual = lru_cache(maxsize=2)(self._residual)
        self.ways = self._ways(whole_frames(canvas, to), loop)

    def _ways(self, whole: list[int], loop: bool) -> dict[int, list[Source]]:
        """Of each frame, to the known one before it and to the one after it; a loop goes round."""
        count = len(self.canvas.frames)
        ends = [-1, *whole, count]
        if loop and whole:
            ends[0], ends[-1] = whole[-1] - count, whole[0] + count
        ways: dict[int, list[Source]] = {}
        for before, known, after in zip(ends, whole, ends[2:]):
            source = seen(self.small(known))
            for run in (range(known - 1, before, -1), range(known + 1, after)):
                pictures = (seen(self.small(index % count)) for index in run)
                for index, way in zip(run, followed(pictures, source)):
                    found = ways.setdefault(index % count, [])
                    found.append(Source(known, abs(index - known), way))
        return ways

    def _residual(self, known: int) -> Residual:
        return self.canvas.frames[known].astype(np.float32) - enlarged(
            self.small(known), self.canvas
        )

    def added(self, index: int, frame: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
        """A made frame, enlarged, with the detail of the known ones around, of the nearer one
        more.
        """
        near = self.ways.get(index, [])
        if not near:
            return frame
        each = zip(shares([source.distance for source in near]), near)
        detail = carried([(share, self.residual(of.known), of.way) for share, of in each])
        return (frame + detail).round().clip(0, OPAQUE).astype(np.uint8)


def shares(distances: list[int]) -> list[float]:
    """Of the known frames around a frame, by their distances: the nearer one counts more."""
    near = [1 / distance for distance in distances]
    return [each / sum(near) for each in near]


def whole_frames(canvas: Canvas, to: Fit) -> list[int]:
    """Frames that the net sees and that are known whole, where a clip has no alpha and other frames
    are not.
    """
    whole = np.array([known.all() for known in canvas.known])
    if whole.all() or canvas.frames.shape[3] == 4:
        return []
    return [index for index in sorted(set(to.indices)) if whole[index]]


def joined(
    frame: UInt8[np.ndarray, "h w c"], canvas: Canvas, index: int, exact: bool, feather: int
) -> UInt8[np.ndarray, "h w d"]:
    """A made frame with what is known of it, and alpha where the canvas has some."""
    given, known = canvas.frames[index], canvas.known[index]
    has_alpha = given.shape[2] == frame.shape[2] == 4
    if not has_alpha:
        frame = seen(frame)
    if exact:
        frame = paste(frame, seen(given, has_alpha), known, feather)
    if given.shape[2] == 3:
        return frame
    if not has_alpha:
        frame = cut_out(frame, given, known, canvas.outline)
    elif canvas.outline == "own":
        frame = np.concatenate([alpha.spread(frame), given[..., 3:]], axis=-1)
    return np.where((known & exact)[..., None], given, frame)


def blend(made: np.ndarray, to: Fit, index: int, loop: bool) -> UInt8[np.ndarray, "h w c"]:
    """The frame at `index`: the net's own, or a mix of the two around it by their distances; in a
    loop the first follows the last.
    """
    indices = (*to.indices, to.frames) if loop else to.indices
    after = int(np.searchsorted(indices, index))
    if indices[after] == index:
        return made[after]
    share = (index - indices[after - 1]) / (indices[after] - indices[after - 1])
    first, second = (alpha.premultiplied(made[place]) for place in (after - 1, after % len(made)))
    return alpha.straight((1 - share) * first + share * second)


def enlarge(
    frames: Iterable[UInt8[np.ndarray, "h w *c"]], width: int, height: int
) -> UInt8[np.ndarray, "f H W *c"]:
    """Frames, or their alpha alone as grey pictures, brought to this size by Lanczos resampling."""
    small = np.asarray(frames)
    if small.shape[1:3] == (height, width):
        return small
    enlarged = np.empty((len(small), height, width, *small.shape[3:]), np.uint8)
    for source, target in zip(small, enlarged, strict=True):
        large = Image.fromarray(source).resize((width, height), Image.Resampling.LANCZOS)
        target[:] = np.asarray(large)
    return enlarged


def paste(
    made: UInt8[np.ndarray, "h w c"],
    given: UInt8[np.ndarray, "h w c"],
    known: Bool[np.ndarray, "h w"],
    feather: int,
) -> UInt8[np.ndarray, "h w c"]:
    """`given` where it is known, bit by bit; beside it, within about `feather` pixels, `made` is
    moved to meet it (0: a hard edge).

    What is moved is only what was made: by the mean difference of the known pixels nearby, all of
    it at the border, less further in. So no edge of another brightness shows, and nothing of what
    the region held before comes through.
    """
    if known.all():
        return np.array(given)
    if not known.any():
        return made
    if feather:
        made = meet(made, given, known, feather)
    return np.where(known[..., None], given, made)


def meet(
    made: np.ndarray, given: np.ndarray, known: np.ndarray, feather: int
) -> UInt8[np.ndarray, "h w c"]:
    """`made` moved towards what is known nearby, within about `feather` pixels of it; of colours as
    far as they are seen.
    """
    weight = torch.from_numpy(known)[None].float()
    own = alpha.premultiplied(made)
    apart = torch.from_numpy(alpha.premultiplied(given) - own)
    difference = apart.permute(2, 0, 1) * weight
    near = blur(torch.cat([difference, weight]), feather)
    shift = (
        near[:-1] / near[-1:].clamp(min=1e-6) * (2 * near[-1:]).clamp(max=1)
    )  # half of the blur's weight is known at the border
    moved = torch.from_numpy(own) + shift.permute(1, 2, 0)
    return alpha.straight(moved.numpy())


def blur(planes: Tensor, radius: int) -> Tensor:
    """Means over squares of 2 x radius + 1, taken twice: a weight that falls evenly to nothing at
    twice the radius.
    """
    for _ in range(2):
        planes = F.avg_pool2d(
            planes[None], 2 * radius + 1, stride=1, padding=radius, count_include_pad=False
        )[0]
    return planes
