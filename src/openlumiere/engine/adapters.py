"""LoRAs of published video models, by diffusers' loaders and PEFT, merged in on opening."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openlumiere.backbones.registry import Published
from openlumiere.media.digest import sha256_of_file
from openlumiere.models.lora import StyleError, read_tensors

SHOWN = 3  # keys of a file that does not fit


def read_loras(texts: Sequence[str]) -> list[tuple[Path, float]]:
    """`FILE:0.8`, or `FILE` for all of it. Raises ValueError for a weight outside [-4, 4]."""
    return [read_lora(text) for text in texts]


def read_lora(text: str) -> tuple[Path, float]:
    """One of them."""
    path, colon, weight = text.rpartition(":")
    try:
        found = float(weight) if colon else 1.0
    except ValueError:
        path, found = text, 1.0
    if not colon:
        path = text
    if not -4 <= found <= 4:
        raise ValueError(f"lora: expected a weight from -4 to 4, got {found:g}, choose another")
    return Path(path), found


def merge_loras(published: Published, loras: Sequence[tuple[Path, float]]) -> str:
    """Merge each into the net's weights, at its weight; what they are, for the model's fingerprint.

    Raises ValueError, in one line that names the file and its keys, for a LoRA of another family.
    """
    if not loras:
        return ""
    pipeline = published.pipeline()
    for path, weight in loras:
        merge_one(pipeline, published, path, weight)
    return " ".join(f"{sha256_of_file(path)}:{weight:g}" for path, weight in loras)


def merge_one(pipeline: Any, published: Published, path: Path, weight: float) -> None:
    """One LoRA at its weight."""
    if not path.is_file():
        raise ValueError(f"lora: expected a safetensors file, got no file {path}, check the path")
    if not hasattr(pipeline, "load_lora_weights"):
        raise ValueError(
            f"lora: expected a family that takes LoRAs, got {published.name}, leave it out"
        )
    try:
        tensors, _ = read_tensors(path)
        pipeline.load_lora_weights(dict(tensors), adapter_name="one")
    except (StyleError, ValueError, KeyError, RuntimeError) as error:
        raise misfit(published, path, error) from None
    if "one" not in pipeline.get_list_adapters().get(published.net, []):
        raise misfit(published, path, None)
    pipeline.set_adapters("one", weight)
    pipeline.fuse_lora(components=[published.net])
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
