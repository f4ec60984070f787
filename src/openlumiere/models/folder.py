"""A model's folder: diffusers' layout, safetensors and JSON only, and the sha256 of every file.

Nothing in a folder is trusted: its classes are looked up in a list, its numbers are bounded, its
nets are built on the meta device and compared with its weights before anything is allocated, and no
code or pickle in it is ever opened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn

from openlumiere.media.digest import sha256_of_file
from openlumiere.models.stunet import STUNet

INDEX = "model_index.json"
CHECKSUMS = "checksums.json"
SUBJECTS = "subjects.json"
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
PATH = {"path_spacing": 1, "path_until": 500}
MAX_PATH = 1000  # native frames, trained timesteps
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
)
CLASSES = {  # the only ones that a folder may name, by component
    "stunet": {"STUNet": STUNet},
    "scheduler": {name: getattr(diffusers, name) for name in SCHEDULERS},
    "vae": {"AutoencoderKL": diffusers.AutoencoderKL},
    "tokenizer": {
        name: getattr(transformers, name)
        for name in ("CLIPTokenizer", "CLIPTokenizerFast", "T5Tokenizer", "T5TokenizerFast")
    },
    "text_encoder": {
        name: getattr(transformers, name) for name in ("CLIPTextModel", "T5EncoderModel")
    },
    "tokenizer_2": {
        name: getattr(transformers, name) for name in ("CLIPTokenizer", "CLIPTokenizerFast")
    },
    "text_encoder_2": {"CLIPTextModelWithProjection": transformers.CLIPTextModelWithProjection},
}
OPTIONAL = ("vae", "tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2")


class ModelError(ValueError):
    """A folder that can't be loaded, in one line: expected, got, do this."""

    def __init__(self, expected: str, got: object, do: str = "fetch the folder again"):
        super().__init__(
            f"model: expected {expected}, got {' '.join(str(got).split())[:200]}, {do}"
        )


def write_checksums(folder: Path) -> None:
    sums = {
        str(file.relative_to(folder)): sha256_of_file(file) for file in sorted(files_of(folder))
    }
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n")


def read_parts(folder: Path, dtype: torch.dtype) -> dict[str, object]:
    """The arguments of `LumierePipeline` as they lie in `folder`. Raises `ModelError` for whatever
    is wrong with it.
    """
    index = read_index(folder, "LumierePipeline")
    parts = {name: read_part(folder / name, index.get(name), dtype) for name in CLASSES}
    unshuffle = index.get("unshuffle", 1)
    if unshuffle not in range(1, MAX_UNSHUFFLE + 1):
        raise ModelError(f"unshuffle from 1 to {MAX_UNSHUFFLE}", unshuffle)
    path = {name: index.get(name, usual) for name, usual in PATH.items()}
    for name, value in path.items():
        if isinstance(value, bool) or value not in range(1, MAX_PATH + 1):
            raise ModelError(f"{name} from 1 to {MAX_PATH}", value)
    zeros = index.get("force_zeros_for_empty_prompt", True)
    if not isinstance(zeros, bool):
        raise ModelError("true or false as force_zeros_for_empty_prompt", zeros)
    return {**parts, **path, "unshuffle": unshuffle, "force_zeros_for_empty_prompt": zeros}


def read_upscaler_parts(folder: Path, dtype: torch.dtype) -> dict[str, object]:
    """The arguments of `LumiereUpscalePipeline` as they lie in `folder`. Raises `ModelError` for
    whatever is wrong with it.
    """
    index = read_index(folder, "LumiereUpscalePipeline")
    parts = {
        name: read_part(folder / name, index.get(name), dtype) for name in ("stunet", "scheduler")
    }
    factor, gain = index.get("factor"), index.get("gain")
    if factor not in range(1, MAX_UNSHUFFLE + 1):
        raise ModelError(f"a factor from 1 to {MAX_UNSHUFFLE}", factor)
    if not isinstance(gain, (int, float)) or not 0 < gain <= MAX_NUMBER:
        raise ModelError(f"a gain above 0 and at most {MAX_NUMBER}", gain)
    return {**parts, "factor": factor, "gain": float(gain)}


def read_index(folder: Path, kind: str) -> dict:
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


def read_subjects(folder: Path) -> dict[str, list[str]]:
    """The subjects that a model was shown, each with the words that name it, if its folder says so.
    Raises `ModelError` for anything else there.
    """
    if not (folder / SUBJECTS).is_file():
        return {}
    subjects = read_json(folder / SUBJECTS)
    for subject, names in subjects.items():
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(name, str) and name.strip() for name in names)
        ):
            raise ModelError(
                f"a list of words for {subject!r} in {SUBJECTS}",
                names,
                "list the words that name it",
            )
    return subjects


def read_json(path: Path) -> dict:
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
    inside = ((path, path.relative_to(folder)) for path in folder.rglob("*"))
    own = (entry for entry in inside if entry[1].parts[0] != UPSCALER)
    return (
        path
        for path, name in own
        if path.is_file()
        and str(name) != CHECKSUMS
        and not any(part.startswith(".") for part in name.parts)
    )


def check_files(folder: Path) -> None:
    for path in files_of(folder):
        if path.suffix not in SUFFIXES:
            raise ModelError(
                "safetensors and JSON only",
                path.name,
                "convert the weights to safetensors and remove the rest",
            )


def check_checksums(folder: Path) -> None:
    """Where a folder carries checksums, its files are those and unchanged; only notes for people
    may be added.
    """
    if not (folder / CHECKSUMS).is_file():
        return
    found = {str(path.relative_to(folder)): path for path in files_of(folder)}
    recorded = read_json(folder / CHECKSUMS)
    added = sorted(
        name for name, path in found.items() if name not in recorded and path.suffix not in NOTES
    )
    if added:
        raise ModelError(
            f"only the files that {CHECKSUMS} lists in {folder}", added[0], "remove it"
        )
    for name, expected in recorded.items():
        if name not in found:
            raise ModelError(f"the file {name} in {folder}", "none")
        if sha256_of_file(found[name]) != expected:
            raise ModelError(f"the recorded sha256 of {name}", "another")


def read_part(folder: Path, entry: object, dtype: torch.dtype) -> object:
    """One component of a listed class, or None where the index has none."""
    name, classes = folder.name, CLASSES[folder.name]
    if name in OPTIONAL and entry in (None, [None, None]):
        return None
    if not isinstance(entry, list) or len(entry) != 2 or entry[1] not in list(classes):
        raise ModelError(f"{' or '.join(classes)} as {name}", entry, "convert the model first")
    try:
        return load(classes[entry[1]], folder, dtype)
    except ModelError:
        raise
    except Exception as error:  # whatever a damaged folder makes the libraries trip over
        raise ModelError(
            f"{name} to load from {folder}", f"{type(error).__name__}: {error}"
        ) from None


def load(kind: type, folder: Path, dtype: torch.dtype) -> object:
    for path in folder.glob("*config.json"):
        check_config(read_json(path), path.name)
    if not issubclass(kind, nn.Module):
        return kind.from_pretrained(folder, local_files_only=True)
    plan = plan_of(kind, read_json(folder / "config.json"))
    weights = read_weights(folder)
    if kind is STUNet:
        return fill(plan, {name: value.to(dtype) for name, value in weights.items()}).eval()
    if sum(value.numel() for value in plan.parameters()) > sum(
        value.numel() for value in weights.values()
    ):
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
        check_number(
            value,
            MAX_LAYERS if "layers" in key or key == "attention_blocks" else MAX_NUMBER,
            key,
            name,
        )


def check_number(value: float, most: int, key: str, name: str) -> None:
    if not math.isfinite(value) or abs(value) > most:
        raise ModelError(f"{key} of at most {most} in {name}", value)


def plan_of(kind: type[nn.Module], config: dict) -> nn.Module:
    """The net that a config asks for, without memory for its weights."""
    if config.get("_class_name", kind.__name__) != kind.__name__:
        raise ModelError(f"the config of a {kind.__name__}", config["_class_name"])
    with torch.device("meta"):
        return (
            kind(kind.config_class.from_dict(config))
            if issubclass(kind, transformers.PreTrainedModel)
            else kind.from_config(config)
        )


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
        expected, got = (
            tuple(state[name].shape) if name in state else "none" for state in (planned, weights)
        )
        if expected != got:
            raise ModelError(f"{name} of shape {expected}", got)
        if not weights[name].isfinite().all():
            raise ModelError(f"finite weights in {name}", "NaN or infinity")
    plan.load_state_dict(weights, assign=True)
    return plan
