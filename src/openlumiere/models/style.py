"""Styles: other weights for the picture net, blended before sampling (PAPER: style, `W = a W_style
+ (1 - a) W_orig`).

A style is kept as what it adds to the weights, low-rank (LoRA) or in full. So several blend as
`W_orig + sum a_i (W_i - W_orig)`, which for one style is the paper's formula.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from openlumiere.models.lora import AdapterConfig, LowRank, StyleError, read_tensors, sort_tensors
from openlumiere.models.stunet import STUNet

NOTE = "openlumiere"  # the entry of a file's metadata that is ours


@dataclass(frozen=True, eq=False)
class Style:
    """What a style adds to each layer, by the layer's name: low-rank factors, or the whole new
    weight (`full`, by parameter).

    `fingerprint` is that of the picture net it was learnt on (`STUNet.fingerprint`), None where the
    file doesn't say.
    """

    name: str
    low_rank: dict[str, LowRank]
    full: dict[str, Tensor]
    fingerprint: str | None = None

    @property
    def sha256(self) -> str:
        """Over all its numbers."""
        digest = hashlib.sha256()
        factors = {
            f"{name} {key}": torch.as_tensor(value)
            for name, low in self.low_rank.items()
            for key, value in low._asdict().items()
        }
        for name, tensor in sorted({**factors, **self.full}.items()):
            digest.update(f"{name} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().double().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path, **facts: float) -> None:
        """Write a safetensors file: low-rank factors in PEFT's format, float16, with the net's
        fingerprint and such facts in its note.

        Raises `StyleError`, and writes nothing, where a weight is not finite in float16.
        """
        tensors = dict(self.full)
        for name, low in self.low_rank.items():
            tensors[f"base_model.model.{name}.lora_A.weight"] = low.down
            tensors[f"base_model.model.{name}.lora_B.weight"] = low.up * low.scale
        halves = {name: tensor.half().contiguous() for name, tensor in tensors.items()}
        for name, tensor in halves.items():
            check_finite(tensor, f"{name} of {self.name}", "learn it again, at a lower rate")
        note = json.dumps({"style": self.name, "fingerprint": self.fingerprint, **facts})
        save_file(halves, path, metadata={NOTE: note})

    @classmethod
    def load(cls, path: str | Path) -> Style:
        """Read a style or a LoRA file (PEFT, kohya, diffusers). Raises `StyleError`, one line that
        names the file, for anything else.
        """
        path = Path(path)
        if not path.is_file():
            raise StyleError("a safetensors file", f"no file {path}", "check the path")
        try:
            tensors, metadata = read_tensors(path)
            name, fingerprint = read_note(metadata, path.stem)
            low_rank, full = sort_tensors(tensors, AdapterConfig.read(path, metadata))
        except StyleError as error:
            raise error.within(path.name) from None
        return cls(name, low_rank, full, fingerprint)


def read_note(metadata: Mapping[str, str], otherwise: str) -> tuple[str, str | None]:
    """A style's name (`otherwise`, for files of other trainers) and its net's fingerprint."""
    try:
        note = json.loads(metadata.get(NOTE, "{}"))
        name = str(note.get("style", otherwise))
        fingerprint = note.get("fingerprint")
    except (ValueError, AttributeError, RecursionError):
        raise StyleError(
            "metadata that learn-style or another LoRA trainer wrote", metadata.get(NOTE)
        ) from None
    return name, fingerprint if isinstance(fingerprint, str) else None


def styled(net: STUNet, styles: Sequence[tuple[Style, float]], fingerprint: str) -> STUNet:
    """A copy of `net` whose picture weights are `W_orig + sum a_i (W_i - W_orig)`.

    `net` is not touched and shares every tensor that no style changes, so a copy costs the memory
    of the changed weights. `fingerprint` is the net's own (`STUNet.fingerprint`); each style comes
    with its weight a_i, 0 for none of it and 1 for all.

    Raises `StyleError` for a style that was learnt on another net or doesn't fit this one, and
    where a blended weight is not finite.
    """
    if not styles:
        return net
    changed = blend(weights_of(net), styles, fingerprint)
    shared = [*net.parameters(), *net.buffers()]
    memo: dict[int, object] = {id(tensor): tensor for tensor in shared}
    for name, parameter in weights_of(net).items():
        if name in changed:
            memo[id(parameter)] = nn.Parameter(changed[name], parameter.requires_grad)
    return copy.deepcopy(net, memo)


def weights_of(net: STUNet) -> dict[str, nn.Parameter]:
    """What a style may change: the picture net's weights, by its own names, and the temporal ones
    (`lumiere train lora`), by the whole net's.
    """
    return {**dict(net.unet2d.named_parameters()), **dict(net.temporal_named_parameters())}


@torch.no_grad()
def blend(
    parameters: Mapping[str, nn.Parameter], styles: Sequence[tuple[Style, float]], fingerprint: str
) -> dict[str, Tensor]:
    """Those of the weights that the styles change, blended, by parameter."""
    blended: dict[str, Tensor] = {}
    for style, weight in styles:
        check_net(style, fingerprint)
        for name, change in changes(style, parameters):
            if name not in blended:
                blended[name] = parameters[name].detach().clone()
            blended[name] += (weight * change).to(blended[name])
            do = "lower its weight, or learn it again"
            check_finite(blended[name], f"{name} with {style.name} at {weight:g}", do)
    return blended


def check_net(style: Style, fingerprint: str) -> None:
    """Raise `StyleError` for a style that was learnt on another picture net."""
    if style.fingerprint not in (None, fingerprint):
        raise StyleError(
            f"{style.name} for the picture net {fingerprint[:12]}",
            f"one for {style.fingerprint[:12]}",
            "load the model that it was learnt on, in float32 or float16",
        )


def check_finite(weight: Tensor, what: str, do: str) -> None:
    """Raise `StyleError` for NaN or infinity."""
    if not weight.isfinite().all():
        raise StyleError(f"finite weights in {what}", "NaN or infinity", do)


def changes(style: Style, parameters: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """What a style adds, by parameter of the picture net, float32 on the CPU."""
    names = parameter_names(style.low_rank, parameters)
    if twice := set(names.values()) & style.full.keys() or repeated(names.values()):
        raise StyleError(f"one change of each layer in {style.name}", f"two of {min(twice)}")
    for layer, low in style.low_rank.items():
        target = fitting(parameters.get(names[layer]), low.change, f"{layer} in {style.name}")
        yield names[layer], low.change.view(target.shape)
    for name, weight in style.full.items():
        target = fitting(parameters.get(name), weight, f"{name} in {style.name}")
        yield name, weight.view(target.shape) - target.detach().float().cpu()


def parameter_names(layers: Iterable[str], parameters: Iterable[str]) -> dict[str, str]:
    """The weight that each layer's factors are for; kohya spells a layer's name with underscores
    alone.
    """
    weights = [name.removesuffix(".weight") for name in parameters if name.endswith(".weight")]
    dotted = {name.replace(".", "_"): name for name in weights} | {name: name for name in weights}
    return {layer: f"{dotted.get(layer, layer)}.weight" for layer in layers}


def repeated(names: Iterable[str]) -> set[str]:
    """What is in `names` more than once."""
    return {name for name, times in Counter(names).items() if times > 1}


def fitting(target: Tensor | None, change: Tensor, layer: str) -> Tensor:
    """`target`, once it is there and of the shape of `change`."""
    do = "load the model it is for"
    if target is None:
        raise StyleError("layers of this model's picture net", layer, do)
    if without_ones(change.shape) != without_ones(target.shape):
        expected = f"layers of this model's picture net, here {tuple(target.shape)}"
        raise StyleError(expected, f"{layer} of {tuple(change.shape)}", do)
    return target


def without_ones(shape: torch.Size) -> tuple[int, ...]:
    """A shape without the ones at its end: a linear layer is a convolution of one place."""
    sizes = list(shape)
    while sizes and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)
