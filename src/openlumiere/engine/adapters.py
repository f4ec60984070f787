"""LoRAs of published video models, by diffusers' loaders and PEFT, merged in on opening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openlumiere.backbones.registry import Published
from openlumiere.media.digest import sha256_of_file
from openlumiere.models.lora import StyleError, read_tensors

LOW_NET = "transformer_2"
SHOWN = 3  # keys of a file that does not fit


LOW = ":low"  # after a file that is for the net of low noise levels


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A file, its weight, and whether it is for the net of low noise levels (Wan 2.2's second)."""

    path: Path
    weight: float = 1.0
    low: bool = False


def read_loras(texts: Sequence[str]) -> list[Lora]:
    """`FILE`, `FILE:0.8`, `FILE:low` or `FILE:0.8:low` each. Raises ValueError for a weight outside
    [-4, 4].
    """
    return [read_lora(text) for text in texts]


def read_lora(text: str) -> Lora:
    """One of them."""
    rest = text.removesuffix(LOW)
    low = rest != text
    path, _, written = rest.rpartition(":")
    weight = read_weight(written) if path else None
    if weight is None:
        return Lora(path=Path(rest), low=low)
    if not -4 <= weight <= 4:
        raise ValueError(f"lora: expected a weight from -4 to 4, got {weight:g}, choose another")
    return Lora(path=Path(path), weight=weight, low=low)


def read_weight(text: str) -> float | None:
    """A number, or None for a part of a name."""
    try:
        return float(text)
    except ValueError:
        return None


def merge_loras(published: Published, loras: Sequence[Lora]) -> str:
    """Merge each into its net's weights, at its weight; what they are, for the model's fingerprint.

    Raises ValueError, in one line that names the file and its keys, for a LoRA of another family.
    """
    if not loras:
        return ""
    pipeline = published.pipeline()
    for lora in loras:
        merge_one(pipeline, published, lora)
    return " ".join(described(lora) for lora in loras)


def described(lora: Lora) -> str:
    """Which file at which weight in which net."""
    return f"{sha256_of_file(lora.path)}:{lora.weight:g}{LOW * lora.low}"


def merge_one(pipeline: Any, published: Published, lora: Lora) -> None:
    """One LoRA at its weight."""
    path = lora.path
    if not path.is_file():
        raise ValueError(f"lora: expected a safetensors file, got no file {path}, check the path")
    if not hasattr(pipeline, "load_lora_weights"):
        raise ValueError(
            f"lora: expected a family that takes LoRAs, got {published.name}, leave it out"
        )
    net = LOW_NET if lora.low else published.net
    if published.parts.get(net) is None:
        raise ValueError(
            f"lora: expected a model with a net for low noise levels, got {published.name} without,"
            f" leave {LOW} out"
        )
    choice = {"load_into_transformer_2": True} if lora.low else {}
    try:
        tensors, _ = read_tensors(path)
        pipeline.load_lora_weights(dict(tensors), adapter_name="one", **choice)
    except (StyleError, ValueError, KeyError, RuntimeError) as error:
        raise misfit(published, path, error) from None
    if "one" not in pipeline.get_list_adapters().get(net, []):
        raise misfit(published, path, None)
    pipeline.set_adapters("one", lora.weight)
    pipeline.fuse_lora(components=[net])
    pipeline.unload_lora_weights()


def misfit(published: Published, path: Path, error: Exception | None) -> ValueError:
    """A LoRA that is of no use here, by its first keys."""
    net = type(published.parts[published.net]).__name__
    try:
        tensors, _ = read_tensors(path)
        got = f"{path.name} with {', '.join(sorted(tensors)[:SHOWN])}"
    except StyleError as unreadable:
        got = f"{path.name} ({unreadable})"
    reason = "" if error is None else f" ({' '.join(str(error).split())[:120]})"
    return ValueError(
        f"lora: expected layers of {net}, got {got}{reason}, give one made for this model"
    )
