"""A published model within a memory limit: which parts lie where, and in which precision.

The ways are diffusers' own: layerwise 8-bit weights, one component or one group of layers on the
device at a time, tiled decoding; and fewer frames a window. They are tried in an order of our
choice (`ways`), and the first whose estimate fits is taken and said. Weights are
counted exactly; passes and decoding are estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Any, Literal

import torch
from diffusers.hooks import apply_group_offloading
from torch import nn

from openlumiere.backbones.registry import Published
from openlumiere.contract import Backbone
from openlumiere.engine.model import bytes_of
from openlumiere.engine.plan import windows_at

Offload = Literal["none", "model", "group", "sequential"]

TEXT = ("text_encoder", "text_encoder_2", "image_encoder")
NETS = ("transformer", "unet", "transformer_2")
EIGHT_BIT = torch.float8_e4m3fn
TILE = 256  # pixels of a side that a tiled decoder sees at once
STATES = 8  # tensors of full resolution alive at once in a video decoder, an estimate
WIDTH = 96  # channels at full resolution where the config does not say
PASSES = 2  # in one batch, by guidance, unless the net reads its scale
SLOWER = {
    "none": "no slower",
    "model": "a few seconds more a clip: one component is on the device at a time",
    "group": "up to twice the time: a group of layers is on the device at a time",
    "sequential": "many times the time: one layer is on the device at a time",
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Bytes of a model's parts: text encoders, the net (the larger of two, where there are two),
    all nets, the autoencoder, and the largest group of the net's layers.
    """

    text: int
    net: int
    nets: int
    vae: int
    group: int
    number: int
    """Bytes of a number of the net."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run: where weights lie, whether the net's are kept in 8 bits, whether decoding is
    tiled, and which part of the native frames a window has. `peak` is what it takes in bytes.
    """

    offload: Offload = "none"
    eight_bit: bool = False
    tiled: bool = False
    part: Fraction = Fraction(1)
    peak: int = 0

    def __str__(self) -> str:
        """The way in words."""
        words = [f"offload {self.offload}" if self.offload != "none" else "all on the device"]
        words += ["8-bit weights of the net, widened as they are used"] * self.eight_bit
        words += ["tiled decoding"] * self.tiled
        words += [f"windows of {self.part} of the native frames"] * (self.part < 1)
        return f"{', '.join(words)}: {SLOWER[self.offload]}"


def sizes_of(published: Published) -> Sizes:
    """Of an open model."""
    parts = published.parts
    net = parts[published.net]
    return Sizes(
        text=sum(bytes_of(parts.get(name)) for name in TEXT),
        net=max(bytes_of(parts.get(name)) for name in NETS),
        nets=sum(bytes_of(parts.get(name)) for name in NETS),
        vae=bytes_of(parts.get("vae")),
        group=largest_group(net),
        number=net.dtype.itemsize,
    )


def largest_group(net: nn.Module) -> int:
    """Bytes of the largest layer of a row of layers, or of the largest child."""
    rows = [child for child in net.children() if isinstance(child, nn.ModuleList)]
    layers = [layer for row in rows for layer in row] or list(net.children())
    return max(bytes_of(layer) for layer in layers)


def ways(device: str) -> list[Way]:
    """All ways on a kind of device, in the order in which they are tried: rather a slower pass than
    shorter windows, which see less of the clip, but not one layer at a time. On a CPU there is
    nowhere to offload to.
    """
    parts = (Fraction(1), Fraction(1, 2), Fraction(1, 4))
    if device == "cpu":
        return [way for part in parts for way in ways_by("none", part)]
    quick: tuple[Offload, ...] = ("none", "model", "group")
    found = [way for part in parts for offload in quick for way in ways_by(offload, part)]
    return [*found, *(way for part in parts for way in ways_by("sequential", part))]


def ways_by(offload: Offload, part: Fraction) -> list[Way]:
    """By one offload: plain, with tiled decoding, with 8-bit weights."""
    plain = Way(offload=offload, part=part)
    found = [plain, replace(plain, tiled=True)]
    if offload in ("none", "model"):
        found.append(replace(plain, tiled=True, eight_bit=True))
    return found


def choose(backbone: Backbone, sizes: Sizes, limit: int, device: str) -> Way:
    """The fastest way within `limit` bytes. Raises ValueError where none fits."""
    weighed = [weigh(way, backbone, sizes) for way in ways(device)]
    for way in weighed:
        if way.peak <= limit:
            return way
    least = min(way.peak for way in weighed)
    raise ValueError(
        f"memory: expected at least {least / 2**30:.1f} GiB for this model, "
        f"got {limit / 2**30:.1f} GiB, take a smaller model"
    )


def weigh(way: Way, backbone: Backbone, sizes: Sizes) -> Way:
    """The way with its peak."""
    number = sizes.number if way.eight_bit else 1
    net, nets, group = (size // number for size in (sizes.net, sizes.nets, sizes.group))
    work = pass_bytes(backbone, way.part)
    decoding = decoding_bytes(backbone, way.tiled)
    if way.offload == "none":
        peak = sizes.text + nets + sizes.vae + max(work, decoding)
    elif way.offload == "model":
        peak = max(sizes.text, net + work, sizes.vae + decoding)
    else:
        # The next group is fetched while one is at work.
        peak = max(2 * group + work, sizes.vae + decoding)
    return replace(way, peak=peak)


def pass_bytes(backbone: Backbone, part: Fraction) -> int:
    """What one pass, guided, takes at the native size, by windows of this part."""
    native = backbone.native
    frames = windows_at(backbone, native.fps, part=part).frames or 1
    size = (native.frames, native.side, native.longer or native.side)
    _, height, width = backbone.codec.grid(*size)
    passes = 1 if backbone.reads.guidance else PASSES
    return backbone.bytes_for((passes, backbone.codec.channels, frames, height, width))


def decoding_bytes(backbone: Backbone, tiled: bool) -> int:
    """What decoding takes: some states of full resolution, of the frames of one place and the next,
    or of all frames where the autoencoder keeps none.
    """
    native = backbone.native
    vae: Any = getattr(backbone.codec, "vae", None)
    config = {} if vae is None else vae.config
    width = config.get("base_dim") or (config.get("block_out_channels") or [WIDTH])[0]
    number = 4 if vae is None else vae.dtype.itemsize
    sides = (native.side, native.longer or native.side)
    places = prod(min(TILE, side) if tiled else side for side in sides)
    return STATES * number * width * places * (backbone.codec.time_factor + 1)


def arrange(published: Published, way: Way, device: str) -> None:
    """Put an open model's parts where the way wants them."""
    parts = published.parts
    nets = [parts[name] for name in NETS if parts.get(name) is not None]
    if way.tiled:
        published.parts["vae"].enable_tiling()
    if way.eight_bit:
        for net in nets:
            net.enable_layerwise_casting(storage_dtype=EIGHT_BIT, compute_dtype=net.dtype)
    if way.offload == "none":
        for part in parts.values():
            if isinstance(part, nn.Module):
                part.to(device)
    elif way.offload in ("model", "sequential"):
        pipeline = published.pipeline()
        enable = {
            "model": pipeline.enable_model_cpu_offload,
            "sequential": pipeline.enable_sequential_cpu_offload,
        }
        enable[way.offload](device=device)
    else:
        texts = [parts[name] for name in TEXT if parts.get(name) is not None]
        in_groups([*nets, *texts], device)
        parts["vae"].to(device)


def in_groups(nets: Sequence[nn.Module], device: str) -> None:
    """Layers on the device one group after the other."""
    for net in nets:
        apply_group_offloading(net, torch.device(device), offload_type="leaf_level")
