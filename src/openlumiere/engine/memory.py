"""How much memory a run will take, before it runs.

Constants from the peak resident memory of real runs of a random net of widths (64, 96, 128) at 64
px (codec factor 4), guidance on, one step, one thread, each run in a process of its own: 727, 853
and 1085 MiB for 16, 80 and 160 frames written at 256 px. `pytest -m long
tests/engine/test_memory.py` repeats that and holds the estimate to 20 %. Nets with a VAE take
more. Those of the super-resolution net are from the bundled one (`benchmarks/memory.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np
import psutil
import torch

from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.engine.canvas import Canvas
from openlumiere.engine.cascade import WINDOWS, LumiereUpscalePipeline
from openlumiere.engine.fit import fit, seen_rate
from openlumiere.engine.model import Model
from openlumiere.engine.plan import frames_of, windows_at, written_side
from openlumiere.tasks import Generate

PROCESS = 640 * 2**20  # bytes of Python, torch, diffusers and the bundled text encoder
UPSCALE_STATES = 12  # tensors of the finest level's size alive at once in the super-resolution net
NOISY = 6  # copies of the noisy clip that a step of a scheduler makes
# copies of a window of whole frames in the stream of the super-resolution net, decoding among them
UPSCALE_NOISY = 9
# bytes that marking, encoding and signing 80 frames of 256 px take, once the net's are freed
WRITING = 240 * 2**20
# bytes a pixel of a frame, above 256 x 256 of them, that encoding holds (one run at 1024 px)
ENCODING = 450
# bytes a pixel of a given clip: its frames, what is known, what is made, and what is looked at (an
# estimate)
EDITED = 16
MAPPED = 256 * 2**20  # bytes of frames beyond which they lie in a file
TILES = (
    (16, 64),
    (16, 48),
    (8, 48),
    (8, 32),
    (4, 32),
    (4, 16),
)  # frames and low-resolution pixels of a side, in falling order


def memory_needed(model: Model, run: Generate, windows: Windows | None = None) -> int:
    """Bytes at the peak of making a clip by these windows: on the CPU of the whole process, on
    another device of what lies there.
    """
    backbone = model.backbone
    windows = windows or windows_at(backbone, run.length.fps, part=model.part)
    asked = run.length.count
    side = backbone.native.side
    size = (asked, side, backbone.native.longer or side)
    needed = sampling_memory(model, run.sampling.guidance, size, windows)
    if backbone.device.type != "cpu":
        return needed
    written = written_side(run, backbone.native)
    pictures = 3 * asked * (1 + len(run.shots)) * (written or side) ** 2
    return needed + min(pictures, MAPPED) + encoding(written)


def sampling_memory(
    model: Model, guidance: float, size: tuple[int, int, int], windows: Windows
) -> int:
    """Bytes of sampling a clip of this size (frames, height, width) by these windows: on the CPU
    with the process and the noisy clip, on another device of what lies there.
    """
    backbone = model.backbone
    channels = backbone.codec.channels
    passes = 1 if guidance == 1 else 2
    frames, height, width = size
    places, rows, columns = backbone.codec.grid(frames_of(frames, backbone), height, width)
    at_once = min(places, windows.batch * (windows.frames or places))
    needed = model.weights + backbone.bytes_for((passes, channels, at_once, rows, columns))
    if backbone.device.type != "cpu":
        return needed
    return PROCESS + needed + NOISY * 4 * places * rows * columns * channels


def encoding(size: int) -> int:
    """Bytes that encoding frames of this side holds beyond those of 256 px."""
    return ENCODING * max(0, size**2 - 256**2)


def edit_memory(
    model: Model, frames: int, size: tuple[int, int], fps: Fraction, guidance: float
) -> int:
    """Bytes at the peak of an edit of so many frames of `size` (width, height): the net at its own
    size, the clip at the given one.
    """
    pixels = (frames, size[1], size[0])
    nothing = Canvas(
        frames=np.broadcast_to(np.uint8(0), (*pixels, 3)),
        known=np.broadcast_to(np.False_, pixels),
        fps=fps,
    )
    backbone = model.backbone
    to = fit(nothing, backbone.native)
    seen = (len(to.indices), to.height, to.width)
    windows = windows_at(backbone, seen_rate(fps, backbone.native), part=model.part)
    needed = sampling_memory(model, guidance, seen, windows)
    return needed if backbone.device.type != "cpu" else needed + EDITED * prod(pixels)


def upscale_memory(
    pipeline: LumiereUpscalePipeline,
    size: Sequence[int],
    windows: Windows = WINDOWS,
    beside: int = 0,
) -> int:
    """Bytes at the peak of enlarging a clip of this size (f, h, w), of the whole process; what is
    made counts where it is held.

    `beside` are bytes of what else is loaded: the weights of the base.
    """
    lengths = [min(side, length or side) for side, length in zip(size, windows.lengths)]
    state = (
        pipeline.stunet.dtype.itemsize
        * prod(lengths)
        * pipeline.stunet.config.unet["block_out_channels"][0]
    )
    noisy = UPSCALE_NOISY * 4 * lengths[0] * size[1] * size[2] * pipeline.codec.channels
    pictures = min(3 * prod(size) * pipeline.codec.factor**2, MAPPED)
    return PROCESS + WRITING + beside + UPSCALE_STATES * state + noisy + pictures


def cascade_memory(base: Model, upscaler: LumiereUpscalePipeline | None, run: Generate) -> int:
    """Bytes at the peak of a whole run: of the base or, where it is used, of the super-resolution
    net. Raises ValueError for a limit too low.
    """
    needed = memory_needed(base, run, pick_windows(base, run, run.memory_limit))
    native = base.backbone.native
    side = written_side(run, native)
    if upscaler is None or not run.upscale or side <= native.side:
        return needed
    size = (run.length.count * (1 + len(run.shots)), native.side, native.longer or native.side)
    beside = base.weights
    windows = pick_tiles(upscaler, size, run.memory_limit, beside)
    written = min(3 * size[0] * side**2, MAPPED) + encoding(side)
    return max(needed, upscale_memory(upscaler, size, windows, beside) + written)


def pick_windows(model: Model, run: Generate, limit: int) -> Windows:
    """Windows of the base net within so many bytes: as many at once as fit, or else shorter ones.
    Raises ValueError where none do.

    Without a limit (0) one at a time, which is fastest on a CPU.
    """
    rate = run.length.fps
    if not limit:
        return windows_at(model.backbone, rate, part=model.part)
    choices = [windows_at(model.backbone, rate, batch) for batch in (8, 4, 2, 1)] + [
        windows_at(model.backbone, rate, part=Fraction(1, n)) for n in (2, 4)
    ]
    return first_that_fits(
        choices, [memory_needed(model, run, windows) for windows in choices], limit
    )


def pick_tiles(
    pipeline: LumiereUpscalePipeline, size: Sequence[int], limit: int, beside: int = 0
) -> Windows:
    """The largest windows and tiles of the super-resolution net within so many bytes. Raises
    ValueError where none fit.
    """
    choices = [replace(WINDOWS, frames=frames, height=side, width=side) for frames, side in TILES]
    if not limit:
        return WINDOWS
    return first_that_fits(
        choices, [upscale_memory(pipeline, size, windows, beside) for windows in choices], limit
    )


def first_that_fits(choices: Sequence[Windows], needed: Sequence[int], limit: int) -> Windows:
    """The first choice that needs at most `limit` bytes. Raises ValueError where none does."""
    for windows, count in zip(choices, needed, strict=True):
        if count <= limit:
            return windows
    least = gigabytes(min(needed))
    raise ValueError(
        f"memory limit: expected at least {least} for this run, got {gigabytes(limit)}, "
        "raise it or ask for a smaller clip"
    )


def room_for(shape: Sequence[int]) -> np.ndarray:
    """Room for frames of this shape: in memory, or beyond `MAPPED` bytes in a nameless file that
    goes when they do.
    """
    if prod(shape) <= MAPPED:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=tuple(shape))


def free_memory(device: torch.device) -> int:
    """Bytes that a new run could take on this device."""
    return (
        torch.cuda.mem_get_info(device)[0]
        if device.type == "cuda"
        else psutil.virtual_memory().available
    )


def gigabytes(count: int) -> str:
    """Bytes, as people read them."""
    return f"{count / 2**30:.1f} GiB"
