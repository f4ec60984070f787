"""A published pipeline's folder: diffusers' layout as its authors uploaded it, read as carefully as
our own.

Classes are looked up in a family's table, never in the folder; configs are bounded and nets planned
on the meta device before anything is allocated; only safetensors are opened, only those that the
net is made of, so pickles, other precisions and demo files beside them do no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open
from torch import nn

from openlumiere.models.folder import ModelError, check_config, plan_of, read_json

STEMS = ("diffusion_pytorch_model", "model")  # of weights, by diffusers and by transformers
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
Classes = Mapping[str, Sequence[str]]
"""All that a folder may name: component -> class names of diffusers or transformers."""


def read_published(
    folder: Path,
    index: Mapping[str, Any],
    classes: Classes,
    optional: Sequence[str],
    dtype: torch.dtype,
    precise: Sequence[str] = (),
) -> dict[str, Any]:
    """Every component of a folder by name; those that are `optional` may be missing and are None,
    those that are `precise` are float32 whatever `dtype` says.

    `index` is its `model_index.json`. Raises `ModelError` for whatever is wrong with the folder.
    """
    kinds = {
        name: class_of(name, index.get(name), allowed, name in optional)
        for name, allowed in classes.items()
    }
    for name, kind in kinds.items():
        if kind is not None:
            check_component(folder / name, kind)
    return {
        name: load_component(folder / name, kind, torch.float32 if name in precise else dtype)
        for name, kind in kinds.items()
    }


def class_of(component: str, entry: object, allowed: Sequence[str], optional: bool) -> Any:
    """The class that an index's entry [package, class] names, if it is an allowed one."""
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if name is None and optional:
        return None
    if not isinstance(name, str) or name not in allowed:
        raise ModelError(
            f"{' or '.join(allowed)} as {component}", entry or "none", "fetch the whole model"
        )
    return getattr(diffusers, name, None) or getattr(transformers, name)


def check_component(folder: Path, kind: Any) -> None:
    """Raises `ModelError` unless configs are bounded and, for a net, all its weights are there."""
    if not folder.is_dir():
        do = "fetch the whole model"
        raise ModelError(f"the folder {folder.name} in {folder.parent}", "none", do)
    for path in folder.glob("*config.json"):
        check_config(without_limit(read_json(path)), path.name)
    if issubclass(kind, nn.Module):
        check_weights(folder, kind)


def without_limit(config: dict[str, Any]) -> dict[str, Any]:
    """A config without the longest text of a tokenizer, which is a huge number where there is
    none.
    """
    return {key: value for key, value in config.items() if key != "model_max_length"}


def check_weights(folder: Path, kind: Any) -> None:
    """Raises `ModelError` where weights are missing, cut short or fewer than the config asks for;
    their headers alone are read.
    """
    planned = sum(value.numel() for value in planned_net(folder, kind).parameters())
    found = sum(sum(numbers_in(path)) for path in weight_files(folder))
    if planned > found:
        raise ModelError(f"{planned} weights in {folder.name}", found)


def planned_net(folder: Path, kind: Any) -> nn.Module:
    """The net that a folder's config asks for, without memory for its weights."""
    config = read_json(folder / "config.json")
    try:
        return plan_of(kind, config)
    except ModelError:
        raise
    except Exception as error:  # whatever a damaged config makes the libraries trip over
        expected = f"the config of a {kind.__name__} in {folder.name}"
        raise ModelError(expected, f"{type(error).__name__}: {error}") from None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that a net is read from: one, or the shards that its index names."""
    for stem in STEMS:
        if (folder / f"{stem}.safetensors").is_file():
            return [folder / f"{stem}.safetensors"]
        index = folder / f"{stem}.safetensors.index.json"
        if index.is_file():
            return shards_of(folder, read_json(index))
    pickles = [path.name for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
    got = f"pickles alone ({pickles[0]})" if pickles else "none"
    do = "fetch or convert them: pickles are never opened" if pickles else "fetch the whole model"
    raise ModelError(f"safetensors weights in {folder.name}", got, do)


def files_read(folder: Path) -> list[Path]:
    """The files that a component is read from: configs, vocabularies, and a net's weights."""
    small = [path for path in folder.iterdir() if path.suffix in (".json", ".txt", ".model")]
    is_net = (folder / "config.json").is_file()
    return sorted([*small, *(weight_files(folder) if is_net else [])])


def shards_of(folder: Path, index: dict[str, Any]) -> list[Path]:
    """The files that an index of shards names, all of them there."""
    weight_map = index.get("weight_map")
    names = set(weight_map.values()) if isinstance(weight_map, dict) else set()
    if not names or not all(isinstance(name, str) and "/" not in name for name in names):
        raise ModelError(f"an index of shards in {folder.name}", json.dumps(index)[:80])
    paths = [folder / name for name in sorted(names)]
    for path in paths:
        if path.suffix != ".safetensors" or not path.is_file():
            do = "fetch the rest of the model"
            raise ModelError(f"the shard {path.name} in {folder.name}", "none", do)
    return paths


def numbers_in(path: Path) -> Iterator[int]:
    """How many numbers each tensor of a safetensors file has, by its header."""
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield torch.Size(file.get_slice(name).get_shape()).numel()
    except (SafetensorError, OSError) as error:
        do = "fetch this file again"
        expected = f"complete safetensors as {path.parent.name}/{path.name}"
        raise ModelError(expected, f"a file cut short or damaged ({error})", do) from None


def load_component(folder: Path, kind: Any, dtype: torch.dtype) -> Any:
    """A component from its folder, which was checked; every weight of a net comes from there. None
    for one that is missing.
    """
    if kind is None:
        return None
    try:
        if not issubclass(kind, nn.Module):
            return kind.from_pretrained(folder, local_files_only=True)
        net, report = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            torch_dtype=dtype,
            output_loading_info=True,
        )
    except Exception as error:  # whatever a damaged folder makes the libraries trip over
        expected = f"{folder.name} to load from {folder}"
        raise ModelError(expected, f"{type(error).__name__}: {error}") from None
    if report["missing_keys"]:
        raise ModelError(f"weights for all of {folder.name}", f"no {min(report['missing_keys'])}")
    return net.eval().requires_grad_(False)
