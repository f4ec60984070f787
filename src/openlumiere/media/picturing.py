"""From decoded video frames to pixels: fields made whole, light and geometry as the file says."""

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np

from openlumiere.media import light
from openlumiere.media.limits import Limits
from openlumiere.media.pixels import Say
from openlumiere.media.upright import AS_STORED, display_matrix, shown_size, upright

SMALLEST = Fraction(1, 2)  # a clip beyond the budget is read at down to half its sides
BICUBIC = "BICUBIC"
WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}  # H.273 colour primaries


class Deinterlacer:
    """Makes whole frames of fields (FFmpeg's bwdif), one for each frame, from the first interlaced
    one on; what is progressive passes as it is.
    """

    def __init__(self, say: Say):
        self.say = say
        self.graph: av.filter.Graph | None = None

    def frames(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """What can be shown once `frame` is there: the filter is one frame behind."""
        if self.graph is None and not frame.interlaced_frame:
            yield frame
            return
        if self.graph is None:
            self.say("interlaced: its fields were made into whole frames (bwdif)")
            self.graph = self._graph(frame)
        self.graph.push(frame)
        yield from self._ready()

    def rest(self) -> Iterator[av.VideoFrame]:
        """What is left at the end."""
        if self.graph is not None:
            self.graph.push(None)
            yield from self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        assert self.graph is not None
        while True:
            try:
                yield cast(av.VideoFrame, self.graph.pull())
            except (av.BlockingIOError, av.EOFError):
                return

    @staticmethod
    def _graph(frame: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or Fraction(1, 1000),
        )
        fields = graph.add("bwdif", "mode=send_frame:deint=interlaced")
        sink = graph.add("buffersink")
        source.link_to(fields)
        fields.link_to(sink)
        graph.configure()
        return graph


class Picturing:
    """Turns frames of one stream into uint8 [h, w, 3 or 4], upright, in square pixels, in SDR;
    `frames` are as many as the file states, by which a clip beyond `limits` is read smaller.
    """

    def __init__(self, shape: Fraction | None, frames: int, limits: Limits, say: Say):
        self.shape = shape
        self.count = frames
        self.limits = limits
        self.say = say
        self.matrix = AS_STORED

    def see(self, frame: av.VideoFrame) -> None:
        """Take note of how a decoded frame lies: filters may lose that."""
        self.matrix = display_matrix(frame)

    def pixels(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 [h, w, 3], or [h, w, 4] with straight alpha, as the file asks to show it."""
        frame = self._sized(frame)
        if light.is_hdr(frame):
            name = light.NAMES[int(frame.color_trc)]
            self.say(f"HDR ({name}): brought down to SDR, highlights are compressed")
            return upright(light.to_sdr(frame), self.matrix)
        if int(frame.color_primaries) in WIDE:
            self.say(f"colours in {WIDE[int(frame.color_primaries)]}: read as BT.709")
        has_alpha = any(component.is_alpha for component in frame.format.components)
        picture = frame.to_ndarray(format="rgba" if has_alpha else "rgb24")
        if has_alpha and len(frame.planes) > 1 and frame.format.name.endswith("le"):
            picture[..., 3] = deep_alpha(frame)
        return upright(picture, self.matrix)

    def _sized(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in square pixels, and within the budget."""
        width, height = shown_size(frame.width, frame.height, self.shape)
        if self.shape and (width, height) != (frame.width, frame.height):
            shape = f"{self.shape.numerator}:{self.shape.denominator}"
            stored = f"{frame.width}x{frame.height}"
            self.say(f"its pixels are {shape}: {stored} is read as {width}x{height}")
        small = within(self.count, width, height, self.limits)
        if small != (width, height):
            self.say(
                f"{self.count} frames of {width}x{height} pass the budget: read as "
                f"{small[0]}x{small[1]}; raise Limits.total_pixels for all pixels"
            )
        if small == (frame.width, frame.height):
            return frame
        return frame.reformat(width=small[0], height=small[1], interpolation=BICUBIC)


def within(frames: int, width: int, height: int, limits: Limits) -> tuple[int, int]:
    """Width and height at which so many frames keep to `limits.total_pixels`: smaller ones, both
    even, where half the sides are enough; else as they are, for `limits` to refuse.
    """
    share = limits.total_pixels / (frames * width * height)
    if share >= 1 or share < SMALLEST**2:
        return width, height
    small = (int(width * share**0.5) // 2 * 2, int(height * share**0.5) // 2 * 2)
    return max(small[0], 1), max(small[1], 1)


def deep_alpha(frame: av.VideoFrame) -> np.ndarray:
    """The upper 8 bits of an alpha plane of 9 to 16 bits, uint8 [h, w]: FFmpeg's own scaling from
    the 12 bits of ProRes is off by up to 2 levels.
    """
    alpha = next(component for component in frame.format.components if component.is_alpha)
    plane = frame.planes[alpha.plane]
    rows = np.frombuffer(bytes(plane), "<u2").reshape(plane.height, plane.line_size // 2)
    return (rows[:, : frame.width] >> (alpha.bits - 8)).astype(np.uint8)
