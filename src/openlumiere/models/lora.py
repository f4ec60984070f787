"""LoRA files: low-rank factors as PEFT, kohya and diffusers spell them, checked before any use.

Nothing in a file is trusted. Factors must be matrices (or convolution kernels) of one rank, alphas
single numbers, and everything finite. What says at which strength factors apply is honoured: an
`.alpha` beside a layer, and PEFT's configuration in the file's metadata or in the
`adapter_config.json` beside it (`lora_alpha`, `alpha_pattern`, `rank_pattern`, `use_rslora`).
What adds something else than `scale x up x down` is refused (DoRA, LoHa, LoKr, Tucker factors).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import regex
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

T = TypeVar("T")

MAX_BYTES = 2**31
MAX_CONFIG = 2**20  # bytes of an adapter_config.json
PATTERN_SECONDS = 1.0  # to match one layer's name with a pattern from a file
ADAPTER_FILE = "adapter_model.safetensors"  # PEFT's own names for the two files of an adapter
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_METADATA = "lora_adapter_metadata"  # where diffusers keeps PEFT's configuration
PREFIXES = ("base_model.model.", "unet.", "lora_unet_")
TEXT_PREFIXES = ("text_encoder.", "text_encoder_2.", "lora_te_", "lora_te1_", "lora_te2_", "te.")
DOWN = (
    r"\.lora_A(?:\.default)?\.weight|\.lora_down\.weight"
    r"|\.lora(?:_linear_layer)?\.down\.weight|_lora\.down\.weight"
)
UP = (
    r"\.lora_B(?:\.default)?\.weight|\.lora_up\.weight"
    r"|\.lora(?:_linear_layer)?\.up\.weight|_lora\.up\.weight"
)
ENDINGS = {"down": DOWN, "up": UP, "alpha": r"\.alpha", "full": r"\.weight|\.bias"}
NOT_READ = ("lora", "hada", "lokr", "dora", "oft", "diff")  # in what is neither factor nor weight
CHANGES_THE_NET = ("pissa", "olora", "corda", "loftq")  # initialisations that alter the net, too


class StyleError(ValueError):
    """A style or LoRA that can't be used, in one line: expected, got, do this."""

    def __init__(
        self,
        expected: str,
        got: object,
        do: str = "name a style that learn-style wrote, or a LoRA file",
    ):
        self.expected = expected
        self.got = " ".join(str(got).split())[:200]
        self.do = do
        super().__init__(f"style: expected {expected}, got {self.got}, {do}")

    def within(self, file: str) -> StyleError:
        """The same of a file, by its name."""
        return StyleError(f"{self.expected} in {file}", self.got, self.do)


class LowRank(NamedTuple):
    """`scale x up x down`: what a LoRA adds to one layer's weight.

    `down` is [rank, in] or, for a convolution, [rank, in, h, w]; `up` is [out, rank] or
    [out, rank, 1, 1].
    """

    down: Tensor
    up: Tensor
    scale: float

    @property
    def change(self) -> Tensor:
        """The product, [out, in] or [out, in, h, w], float32."""
        product = self.scale * (self.up.flatten(1) @ self.down.flatten(1))
        return product.view(len(self.up), *self.down.shape[1:])


class AdapterConfig(BaseModel):
    """What PEFT's `LoraConfig` says of the strength of factors; its other fields are not read."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    r: PositiveInt | None = None
    lora_alpha: float | None = None
    rank_pattern: dict[str, PositiveInt] = {}
    alpha_pattern: dict[str, float] = {}
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: bool | str = True

    @classmethod
    def read(cls, path: Path, metadata: Mapping[str, str]) -> AdapterConfig:
        """From a file's metadata (diffusers), or beside a file of PEFT's own name."""
        beside = path.with_name(ADAPTER_CONFIG)
        if ADAPTER_METADATA in metadata:
            return cls.parse(metadata[ADAPTER_METADATA], ADAPTER_METADATA)
        if path.name != ADAPTER_FILE or not beside.is_file():
            return cls()
        if beside.stat().st_size > MAX_CONFIG:
            raise StyleError(f"at most {MAX_CONFIG} bytes in {ADAPTER_CONFIG}", "more")
        return cls.parse(beside.read_bytes(), ADAPTER_CONFIG)

    @classmethod
    def parse(cls, text: str | bytes, where: str) -> AdapterConfig:
        """Check a configuration in JSON. Raises `StyleError`, also for one whose factors mean
        something else than `scale x up x down`.
        """
        try:
            config = cls(**own_entries(json.loads(text)))
        except (ValueError, TypeError, RecursionError) as error:
            raise StyleError(f"PEFT's configuration as {where}", first_line(error)) from None
        if config.use_dora:
            raise StyleError("low-rank factors (LoRA)", "DoRA (use_dora)", "convert the file")
        if str(config.init_lora_weights).startswith(CHANGES_THE_NET):
            raise StyleError(
                "factors for the net as published",
                f"init_lora_weights {config.init_lora_weights}",
                "save it with PEFT's path_initial_model_for_weight_conversion",
            )
        return config

    def scale(self, layer: str, rank: int, alpha: float | None = None) -> float:
        """What the product of a layer's factors is multiplied by: alpha / rank, or by the root of
        the rank for rank-stabilised LoRA (Kalajdzievski 2023); 1 where no alpha is known.

        `alpha` is the layer's own, which comes before the configuration's.
        """
        expected = of_layer(self.rank_pattern, layer, self.r)
        if expected is not None and expected != rank:
            raise StyleError(f"rank {expected} for {layer}, as its configuration says", rank)
        if alpha is None:
            alpha = of_layer(self.alpha_pattern, layer, self.lora_alpha)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def own_entries(config: Any) -> dict[str, Any]:
    """The entries for the U-Net: diffusers writes `unet.r`, PEFT plain `r`."""
    if not isinstance(config, dict):
        raise TypeError(f"no object but {type(config).__name__}")
    prefixed = {
        key.removeprefix("unet."): value for key, value in config.items() if key.startswith("unet.")
    }
    entries = prefixed or config
    return {key: value for key, value in entries.items() if value is not None}


def first_line(error: Exception) -> str:
    """What pydantic or json complains of first."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}"
    return str(error)


def of_layer(patterns: Mapping[str, T], layer: str, otherwise: T) -> T:
    """The value of the first pattern that a layer's name ends with, as PEFT matches them.

    Patterns come from a file, so each has a second to match and no more.
    """
    separator = r"\." if "." in layer else "_"  # kohya's names are spelled with underscores
    for pattern, value in patterns.items():
        if matches(pattern if "." in layer else pattern.replace(".", "_"), separator, layer):
            return value
    return otherwise


def matches(pattern: str, separator: str, layer: str) -> bool:
    """Whether `layer` is `pattern`, a regular expression, or ends with it after a separator."""
    try:
        expression = f"(.*{separator})?({pattern})$"
        return regex.match(expression, layer, timeout=PATTERN_SECONDS) is not None
    except (regex.error, TimeoutError) as error:
        raise StyleError(
            "layer names or plain expressions as rank_pattern and alpha_pattern",
            f"{pattern!r} ({error})",
            "name each layer",
        ) from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file as finite float32, and its metadata."""
    if path.stat().st_size > MAX_BYTES:
        raise StyleError(f"at most {MAX_BYTES} bytes", path.stat().st_size)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise StyleError("tensors and metadata of the safetensors format", error) from None
    check_tensors(tensors)
    return {name: tensor.float() for name, tensor in tensors.items()}, metadata


def check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Raise `StyleError` where there are none, or one is empty, complex or not finite."""
    if not tensors:
        raise StyleError("weights", "none")
    for name, tensor in tensors.items():
        if tensor.is_complex() or tensor.numel() == 0:
            raise StyleError(f"numbers as {name}", f"{tensor.dtype} of {tuple(tensor.shape)}")
        if not tensor.float().isfinite().all():
            raise StyleError(f"finite weights in {name}", "NaN or infinity")


def sort_tensors(
    tensors: Mapping[str, Tensor], config: AdapterConfig
) -> tuple[dict[str, LowRank], dict[str, Tensor]]:
    """Factors by layer, and whole weights by parameter. Text encoders' factors are left out.

    Raises `StyleError` for what is neither, for a layer that is there twice or in part, and for
    factors that don't make a matrix.
    """
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in ENDINGS}
    for key in (key for key in tensors if not key.startswith(TEXT_PREFIXES)):
        part, layer = read_key(key)
        if layer in parts[part]:
            raise StyleError(f"one {part} for {layer}", "two", "keep one of them")
        parts[part][layer] = tensors[key]
    check_pairs(parts["down"], parts["up"], parts["alpha"])
    low_rank = {
        layer: low_rank_of(layer, down, parts["up"][layer], parts["alpha"].get(layer), config)
        for layer, down in parts["down"].items()
    }
    if not low_rank and not parts["full"]:
        raise StyleError("layers of a picture net", "none")
    return low_rank, parts["full"]


def read_key(key: str) -> tuple[str, str]:
    """Which part of which layer a tensor is; a whole weight keeps its own name."""
    for part, ending in ENDINGS.items():
        stem = regex.sub(f"(?:{ending})$", "", key)
        if stem != key and part != "full":
            return part, without(PREFIXES, stem).replace(".processor.", ".")
    if key.endswith((".weight", ".bias")) and not any(word in key for word in NOT_READ):
        return "full", key
    raise StyleError(
        "low-rank factors (LoRA) or whole weights",
        key,
        "convert the file: DoRA, LoHa and LoKr are not read",
    )


def without(prefixes: Iterable[str], name: str) -> str:
    """`name` without the first of the prefixes that it has."""
    found = (prefix for prefix in prefixes if name.startswith(prefix))
    return name.removeprefix(next(found, ""))


def check_pairs(
    down: Mapping[str, Tensor], up: Mapping[str, Tensor], alpha: Mapping[str, Tensor]
) -> None:
    """Raise `StyleError` unless each layer has both factors."""
    alone = sorted((down.keys() ^ up.keys()) | (alpha.keys() - down.keys()))
    if alone:
        raise StyleError("two factors for each layer", f"one or none for {alone[0]}")


def low_rank_of(
    layer: str, down: Tensor, up: Tensor, alpha: Tensor | None, config: AdapterConfig
) -> LowRank:
    """A layer's factors, once their shapes are what they should be."""
    shapes = f"{tuple(down.shape)} and {tuple(up.shape)}"
    if down.ndim < 2 or up.ndim < 2 or len(down) != up.shape[1]:
        raise StyleError(f"factors (rank, in, ...) and (out, rank) for {layer}", shapes)
    if up[0, 0].numel() != 1:
        raise StyleError(f"a kernel of one place in the second factor of {layer}", shapes)
    if alpha is not None and alpha.numel() != 1:
        raise StyleError(f"one number as alpha of {layer}", f"{alpha.numel()}")
    own = None if alpha is None else alpha.item()
    low = LowRank(down, up, config.scale(layer, len(down), own))
    if not low.change.isfinite().all():
        raise StyleError(f"factors of {layer} whose product is finite", "NaN or infinity")
    return low
