"""Styles: other weights for the picture net, mixed in before sampling (PAPER: style, `W = a W_style
+ (1 - a) W_orig`).

A style is kept as what it adds to the weights, low-rank (PEFT's format; kohya's and diffusers'
older ones are read, too) or in full. So several blend as `W_orig + sum a_i (W_i - W_orig)`, which
for one style is the paper's formula.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

NOTE = "openlumiere"
MAX_BYTES = 2**31
PREFIXES = ("base_model.model.", "unet.", "lora_unet_")
OF_TEXT = ("text_encoder.", "text_encoder_2.", "lora_te_", "lora_te1_", "lora_te2_", "te.")
PARTS = {  # how the two factors are called: PEFT, kohya, diffusers' older forms
    "down": r"\.lora_A(?:\.default)?\.weight|\.lora_down\.weight|\.lora(?:_linear_layer)?\.down\.weight|_lora\.down\.weight",
    "up": r"\.lora_B(?:\.default)?\.weight|\.lora_up\.weight|\.lora(?:_linear_layer)?\.up\.weight|_lora\.up\.weight",
    "alpha": r"\.alpha",
    "full": r"\.weight|\.bias",
}


class LowRank(NamedTuple):
    """`scale x up down`, the factors as a layer's weights."""

    down: Tensor
    up: Tensor
    scale: float


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
        parts = {
            f"{name} {key}": torch.as_tensor(value)
            for name, low in self.low_rank.items()
            for key, value in low._asdict().items()
        }
        for name, tensor in sorted({**parts, **self.full}.items()):
            digest.update(
                f"{name} {tuple(tensor.shape)} ".encode()
                + tensor.detach().double().numpy().tobytes()
            )
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write a safetensors file: low-rank factors in PEFT's format, float16, with the net's
        fingerprint.
        """
        tensors = {name: tensor.half().contiguous() for name, tensor in self.full.items()}
        for name, low in self.low_rank.items():
            tensors[f"base_model.model.{name}.lora_A.weight"] = low.down.half().contiguous()
            tensors[f"base_model.model.{name}.lora_B.weight"] = (
                (low.up * low.scale).half().contiguous()
            )
        save_file(
            tensors,
            path,
            metadata={NOTE: json.dumps({"style": self.name, "fingerprint": self.fingerprint})},
        )

    @classmethod
    def load(cls, path: str | Path) -> Style:
        """Read a style or a LoRA file (PEFT, kohya, diffusers). Raises ValueError, in one line, for
        anything else.
        """
        path = Path(path)
        tensors, metadata = read_tensors(path)
        try:
            note = json.loads(metadata.get(NOTE, "{}"))
            name, fingerprint = str(note.get("style", path.stem)), note.get("fingerprint")
        except (ValueError, AttributeError):
            raise StyleError(
                "metadata that this project or another LoRA trainer wrote", path.name
            ) from None
        low_rank, full = sort_tensors(tensors, alpha_of(metadata))
        return cls(name, low_rank, full, fingerprint if isinstance(fingerprint, str) else None)


class StyleError(ValueError):
    def __init__(
        self,
        expected: str,
        got: object,
        do: str = "name a style that learn-style wrote, or a LoRA file",
    ):
        super().__init__(f"style: expected {expected}, got {str(got)[:200]}, {do}")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors as float32, and the metadata."""
    if not path.is_file():
        raise StyleError("a safetensors file", f"no file {path}", "check the path")
    if path.stat().st_size > MAX_BYTES:
        raise StyleError(f"at most {MAX_BYTES} bytes", path.stat().st_size)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise StyleError(f"a safetensors file {path.name}", error) from None
    if not tensors or not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise StyleError(
            f"finite weights in {path.name}", "none" if not tensors else "NaN or infinity"
        )
    return tensors, metadata


def alpha_of(metadata: dict[str, str]) -> float | None:
    """PEFT's `lora_alpha` where a file's metadata holds its configuration."""
    found = re.search(
        r'"(?:unet\.)?lora_alpha"\s*:\s*([0-9.]+)', metadata.get("lora_adapter_metadata", "")
    )
    return float(found[1]) if found else None


def sort_tensors(
    tensors: dict[str, Tensor], alpha: float | None
) -> tuple[dict[str, LowRank], dict[str, Tensor]]:
    """Factors by layer (a layer's own `.alpha` beats `alpha`, without either the scale is 1), and
    full weights by parameter.
    """
    found: dict[str, dict[str, Tensor]] = {"down": {}, "up": {}, "alpha": {}, "full": {}}
    for key, tensor in tensors.items():
        if not key.startswith(OF_TEXT):
            part, layer = read_key(key)
            found[part][layer] = tensor
    if found["down"].keys() != found["up"].keys():
        raise StyleError(
            "two factors for each layer",
            f"one for {sorted(found['down'].keys() ^ found['up'].keys())[0]}",
        )
    low_rank = {}
    for layer, down in found["down"].items():
        strength = float(found["alpha"][layer]) if layer in found["alpha"] else alpha
        low_rank[layer] = LowRank(
            down, found["up"][layer], 1.0 if strength is None else strength / len(down)
        )
    if not low_rank and not found["full"]:
        raise StyleError("layers of a picture net", "none")
    return low_rank, found["full"]


def read_key(key: str) -> tuple[str, str]:
    """Which part of which layer a tensor is; a full weight keeps its own name."""
    for part, ending in PARTS.items():
        stem = re.sub(f"(?:{ending})$", "", key)
        if stem != key:
            layer = next(
                (stem.removeprefix(prefix) for prefix in PREFIXES if stem.startswith(prefix)), stem
            )
            return part, key if part == "full" else layer.replace(".processor.", ".")
    raise StyleError(
        "low-rank factors (LoRA) or whole weights",
        key,
        "convert the file: DoRA, LoHa and LoKr are not read",
    )


@contextmanager
def blended(
    unet: nn.Module, styles: Sequence[tuple[Style, float]], fingerprint: str
) -> Iterator[None]:
    """`unet` under `W_orig + sum a_i (W_i - W_orig)` for a while; afterwards its weights are the
    old ones, bit by bit.

    `fingerprint` is the net's own. Raises ValueError for a style that was learnt on another one or
    does not fit.
    """
    changes = [
        (name, weight * change)
        for style, weight in styles
        for name, change in added(style, unet, fingerprint)
    ]
    parameters = dict(unet.named_parameters())
    before = {name: parameters[name].detach().clone() for name, _ in changes}
    try:
        with torch.no_grad():
            for name, change in changes:
                parameters[name] += change.to(parameters[name])
        yield
    finally:
        with torch.no_grad():
            for name, value in before.items():
                parameters[name].copy_(value)


def added(style: Style, unet: nn.Module, fingerprint: str) -> list[tuple[str, Tensor]]:
    """What a style adds, by the parameter of `unet`."""
    if style.fingerprint not in (None, fingerprint):
        do = "load the model that it was learnt on, in float32 or float16"
        raise StyleError(
            f"{style.name} for the picture net {fingerprint[:12]}",
            f"one for {style.fingerprint[:12]}",
            do,
        )
    parameters = dict(unet.named_parameters())
    spelled = {
        name.removesuffix(".weight").replace(".", "_"): name
        for name in parameters
        if name.endswith(".weight")
    }
    changes = []
    for layer, low in style.low_rank.items():
        name = f"{layer}.weight" if f"{layer}.weight" in parameters else spelled.get(layer)
        changes.append(
            (
                name,
                check_fit(
                    layer,
                    low.scale * (low.up.flatten(1) @ low.down.flatten(1)),
                    parameters.get(name),
                ),
            )
        )
    for name, tensor in style.full.items():
        target = parameters.get(name)
        changes.append((name, check_fit(name, tensor, target) - target.detach().float().cpu()))
    return changes


def check_fit(layer: str, change: Tensor, target: Tensor | None) -> Tensor:
    if target is None or change.numel() != target.numel() or len(change) != len(target):
        got = f"{layer} of {tuple(change.shape)}"
        raise StyleError(
            f"layers of this model's picture net{'' if target is None else f', here {tuple(target.shape)}'}",
            got,
            "load the model it is for",
        )
    return change.view(target.shape)
