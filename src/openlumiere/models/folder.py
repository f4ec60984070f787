"""A model's folder: diffusers' layout, safetensors and JSON only, and the sha256 of every file.

Nothing in a folder is trusted: its classes are looked up in a list, its numbers are bounded, its
nets are built on the meta device and compared with its weights before anything is allocated, and no
code or pickle in it is ever opened.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from openlumiere.media.digest import sha256_of_file
from openlumiere.models.stunet import STUNet

INDEX = "model_index.json"
CHECKSUMS = "checksums.json"
UPSCALER = "upscaler"
SUFFIXES = (
    ".json",
    ".safetensors",
    ".txt",
    ".model",
    ".md",
    "",
)  # weights, configs, vocabularies, notes
NOTES = (".md", "")  # for people: a model card, a licence
MAX_JSON = 2**25  # bytes; the largest tokenizers take 17 MB
MAX_NUMBER = 2**20
MAX_UNSHUFFLE = 64
NUMBERS = {  # of a pipeline: the largest, and what an index without it means
    "unshuffle": (MAX_UNSHUFFLE, 1),
    "path_spacing": (1000, 1),  # native frames
    "path_until": (1000, 500),  # trained timesteps
}
MAX_LAYERS = 100  # of anything that is built in a row
SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "UniPCMultistepScheduler",
    "LCMScheduler",
    "PNDMScheduler",
    "FlowMatchEulerDiscreteScheduler",
)
CLASSES: dict[str, dict[str, str]] = {  # all that a folder may name: component, class, package
    "stunet": {"STUNet": "openlumiere.models.stunet"},
    "scheduler": dict.fromkeys(SCHEDULERS, "diffusers"),
    "vae": {
        "AutoencoderKL": "diffusers",
        "StickerAutoencoder": "openlumiere.models.autoencoder",
    },
    "tokenizer": dict.fromkeys(
        ("CLIPTokenizer", "CLIPTokenizerFast", "T5Tokenizer", "T5TokenizerFast"), "transformers"
    ),
    "text_encoder": dict.fromkeys(("CLIPTextModel", "T5EncoderModel"), "transformers"),
    "tokenizer_2": dict.fromkeys(("CLIPTokenizer", "CLIPTokenizerFast"), "transformers"),
    "text_encoder_2": {"CLIPTextModelWithProjection": "transformers"},
}
OPTIONAL = ("vae", "tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2")


class ModelError(ValueError):
    """A folder that can't be loaded, in one line: expected, got, do this."""

    def __init__(self, expected: str, got: object, do: str = "fetch the folder again"):
        super().__init__(
            f"model: expected {expected}, got {' '.join(str(got).split())[:200]}, {do}"
        )


def write_checksums(folder: Path) -> None:
    """Record the sha256 of every file in `folder`, which loading then checks."""
    files = sorted(files_of(folder))
    sums = {str(file.relative_to(folder)): sha256_of_file(file) for file in files}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n")


def read_parts(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """The arguments of `LumierePipeline` as they lie in `folder`. Raises `ModelError` for whatever
    is wrong with it.
    """
    index = read_index(folder, "LumierePipeline")
    parts = {name: read_part(folder / name, index.get(name), dtype) for name in CLASSES}
    numbers = {
        name: whole_number(index, name, most, usual) for name, (most, usual) in NUMBERS.items()
    }
    zeros = index.get("force_zeros_for_empty_prompt", True)
    if not isinstance(zeros, bool):
        raise ModelError("true or false as force_zeros_for_empty_prompt", zeros)
    return {**parts, **numbers, "force_zeros_for_empty_prompt": zeros}


def read_upscaler_parts(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """The arguments of `LumiereUpscalePipeline` as they lie in `folder`. Raises `ModelError` for
    whatever is wrong with it.
    """
    index = read_index(folder, "LumiereUpscalePipeline")
    net = read_part(folder / "stunet", index.get("stunet"), dtype)
    scheduler = read_part(folder / "scheduler", index.get("scheduler"), dtype)
    factor = whole_number(index, "factor", MAX_UNSHUFFLE)
    gain = index.get("gain")
    if isinstance(gain, bool) or not isinstance(gain, (int, float)) or not 0 < gain <= MAX_NUMBER:
        raise ModelError(f"a gain above 0 and at most {MAX_NUMBER}", gain)
    return {"stunet": net, "scheduler": scheduler, "factor": factor, "gain": float(gain)}


def whole_number(index: dict[str, Any], name: str, most: int, usual: int | None = None) -> int:
    """An entry of an index, from 1 to `most`."""
    value = index.get(name, usual)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ModelError(f"{name} from 1 to {most}", value)
    return value


def read_index(folder: Path, kind: str) -> dict[str, Any]:
    """What a pipeline's folder says of itself, once its files are what they should be."""
    index = read_json(folder / INDEX)
    if index.get("_class_name") != kind:
        raise ModelError(
            f"a {kind} in {folder}",
            index.get("_class_name"),
            "name a folder that its save_pretrained wrote",
        )
    check_files(folder)
    check_checksums(folder)
    return index


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, its numbers bounded and nothing in it that asks for other code."""
    if not path.is_file():
        raise ModelError(
            f"the file {path.name} in {path.parent}",
            "none",
            "name a folder that save_pretrained wrote",
        )
    if path.stat().st_size > MAX_JSON:
        raise ModelError(f"at most {MAX_JSON} bytes in {path.name}", path.stat().st_size)
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"JSON in {path.name}", error) from None
    if not isinstance(content, dict):
        raise ModelError(f"a JSON object in {path.name}", type(content).__name__)
    return content


def files_of(folder: Path) -> Iterator[Path]:
    """Everything in a folder but the checksums, what is hidden, and the upscaler, which is a model
    with checksums of its own.
    """
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and name.parts[0] not in (UPSCALER, CHECKSUMS):
            yield path


def check_files(folder: Path) -> None:
    """Raise `ModelError` for a file of a kind that a model has no use for."""
    for path in files_of(folder):
        if path.suffix not in SUFFIXES:
            do = "convert the weights to safetensors and remove the rest"
            raise ModelError("safetensors and JSON only", path.name, do)


def check_checksums(folder: Path) -> None:
    """Where a folder has checksums, its files are those and unchanged; only notes for people may be
    added.
    """
    if not (folder / CHECKSUMS).is_file():
        return
    recorded = read_json(folder / CHECKSUMS)
    found = {str(path.relative_to(folder)): path for path in files_of(folder)}
    for name in sorted(found.keys() - recorded.keys()):
        if found[name].suffix not in NOTES:
            raise ModelError(
                f"only the files that {CHECKSUMS} lists in {folder}", name, "remove it"
            )
    for name, expected in recorded.items():
        if name not in found:
            raise ModelError(f"the file {name} in {folder}", "none")
        if digest(found[name]) != expected:
            raise ModelError(f"the recorded sha256 of {name}", "another")


def digest(path: Path) -> str:
    """The sha256 of a file, read once a process as long as its size and its times are the same."""
    state = path.stat()
    return _digest(
        path.resolve(), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
    )


@lru_cache(maxsize=1024)
def _digest(path: Path, *_state: int) -> str:
    return sha256_of_file(path)


def read_part(folder: Path, entry: object, dtype: torch.dtype) -> object:
    """One component of a listed class, or None where the index has none."""
    if folder.name in OPTIONAL and entry in (None, [None, None]):
        return None
    kind = class_of(folder.name, entry)
    try:
        return load(kind, folder, dtype)
    except ModelError:
        raise
    except Exception as error:  # whatever a damaged folder makes the libraries trip over
        expected = f"{folder.name} to load from {folder}"
        raise ModelError(expected, f"{type(error).__name__}: {error}") from None


def class_of(component: str, entry: object) -> Any:
    """The class that an index's entry [package, class] names, if it is one of `CLASSES`."""
    listed = CLASSES[component]
    name = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    if not isinstance(name, str) or name not in listed:
        raise ModelError(f"{' or '.join(listed)} as {component}", entry, "convert the model first")
    return getattr(importlib.import_module(listed[name]), name)


def load(kind: Any, folder: Path, dtype: torch.dtype) -> object:
    """A component from its folder, once its configuration and its weights are what they should
    be.
    """
    for path in folder.glob("*config.json"):
        check_config(read_json(path), path.name)
    if not issubclass(kind, nn.Module):
        return kind.from_pretrained(folder, local_files_only=True)
    plan = plan_of(kind, read_json(folder / "config.json"))
    weights = read_weights(folder)
    if kind is STUNet:
        return fill(plan, {name: value.to(dtype) for name, value in weights.items()}).eval()
    planned = sum(value.numel() for value in plan.parameters())
    if planned > sum(value.numel() for value in weights.values()):
        raise ModelError(f"weights for all of {folder.name}", "fewer")
    return kind.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, torch_dtype=dtype
    )


def check_config(value: object, name: str, key: str = "") -> None:
    """Bounded numbers, short lists, and no request for other code."""
    if key in ("auto_map", "quantization_config"):
        raise ModelError(
            f"no {key} in {name}", "one", "remove it: no code or quantisation of a folder is used"
        )
    if isinstance(value, dict):
        for inner, content in value.items():
            check_config(content, name, inner)
    elif isinstance(value, list):
        check_number(len(value), 2**12, f"entries of {key}", name)
        for content in value:
            check_config(content, name, key)
    elif isinstance(value, (int, float)):
        in_a_row = "layers" in key or key == "attention_blocks"
        check_number(value, MAX_LAYERS if in_a_row else MAX_NUMBER, key, name)


def check_number(value: float, most: int, key: str, name: str) -> None:
    """Raise `ModelError` for a number of a config that is not finite or too large."""
    if not math.isfinite(value) or abs(value) > most:
        raise ModelError(f"{key} of at most {most} in {name}", value)


def plan_of(kind: Any, config: dict[str, Any]) -> nn.Module:
    """The net that a config asks for, without memory for its weights."""
    if config.get("_class_name", kind.__name__) != kind.__name__:
        raise ModelError(f"the config of a {kind.__name__}", config["_class_name"])
    with torch.device("meta"):
        if hasattr(kind, "config_class"):  # of transformers
            plan: nn.Module = kind(kind.config_class.from_dict(config))
        else:
            plan = kind.from_config(config)
    return plan


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder's safetensors files, one file or shards, each tensor in one of them;
    hidden files are not read.
    """
    weights: dict[str, Tensor] = {}
    for path in sorted(folder.glob("[!.]*.safetensors")):
        shard = load_file(path)
        if twice := sorted(weights.keys() & shard.keys()):
            raise ModelError(
                f"{twice[0]} in one file of {folder.name}",
                f"it again in {path.name}",
                "keep one set of weights",
            )
        weights.update(shard)
    return weights


def fill(plan: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """A net planned on the meta device with its weights: every one, of its shape, finite."""
    planned = plan.state_dict()
    for name in sorted(planned.keys() | weights.keys()):
        expected = shape_of(name, planned)
        if expected != shape_of(name, weights):
            raise ModelError(f"{name} of shape {expected}", shape_of(name, weights))
        if not weights[name].isfinite().all():
            raise ModelError(f"finite weights in {name}", "NaN or infinity")
    plan.load_state_dict(weights, assign=True)
    return plan


def shape_of(name: str, tensors: dict[str, Tensor]) -> str:
    """A tensor's shape, or "none" where there is no such tensor."""
    return str(tuple(tensors[name].shape)) if name in tensors else "none"
