"""Clips as a model is trained on them: latents of its codec, states of its text encoder. Computed
once for all of a folder of shards (`code_shards`), and read again while training (`CodedClips`).

What codes clips is the codec and the text encoder, not the net that denoises: their fingerprint
says whose latents they are, so a fine-tuned model of the same codec and encoder reads them, too.
Latents belong to a clip as it lies in its shard: nothing in training crops, mirrors or shifts
pixels. Where a codec looks at each frame alone, any of its frames may be taken; where several
frames share a place, whole clips alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from openlumiere.contract import NATIVE_RATE, Backbone, Condition
from openlumiere.data.ingest.coded import (
    Coded,
    Tensors,
    coded_folder,
    coders,
    finish_coded,
    is_coded,
    write_coded,
)
from openlumiere.data.ingest.config import IngestConfig
from openlumiere.data.ingest.journal import alone
from openlumiere.data.ingest.run import unwritable
from openlumiere.data.ingest.shardset import Shards
from openlumiere.data.ingest.workers import Workers
from openlumiere.data.shards import Member
from openlumiere.engine.base import LumierePipeline, config_text
from openlumiere.engine.lumiere import Lumiere
from openlumiere.engine.model import Model
from openlumiere.models.e5 import SHA256
from openlumiere.models.stunet import fingerprint_of
from openlumiere.train.start import model_folder

CODES = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
"""Components of a pipeline by which clips and captions are coded."""
SETTING = "force_zeros_for_empty_prompt"
LATENTS, TEXT, MASK, TIMES, TOKENS, WHOLE = "latents", "text", "mask", "times", "tokens", "whole/"
LOADING = Lock()
logger = logging.getLogger("openlumiere")


def code_shards(folder: Path, model: str, workers: Workers, device: str = "cpu") -> str:
    """Code every clip of finished shards by the model in a folder, a file a shard; the fingerprint
    of what codes. Files that are there already are kept, so that a run that was stopped is resumed.

    Raises ValueError for shards that the model does not take, for a model of pixels, and where the
    shards can't be written.
    """
    try:
        shards = Shards(folder)
        coder = open_coder(model, device)
        check_clips(coder.backbone, shards.config)
        if is_coded(folder, coder.fingerprint):
            logger.info("%s is coded by this model already", folder)
        else:
            with alone(folder):
                _code_shards(shards, coder, model, workers, device)
        return coder.fingerprint
    except OSError as error:
        raise ValueError(unwritable(folder, error.strerror or str(error))) from error
    finally:
        workers.close()


def _code_shards(shards: Shards, coder: Coder, model: str, workers: Workers, device: str) -> None:
    place = coded_folder(shards.folder, coder.fingerprint)
    place.mkdir(parents=True, exist_ok=True)
    jobs = [(str(shards.folder), model, device, name) for name in shards.facts["shards"]]
    places: dict[str, Member] = {}
    for made in workers.run(code_shard, jobs):
        places |= made
    about: dict[str, object] = {"model": coder.model.name, "fingerprint": coder.fingerprint}
    finish_coded(place, about, coder.said("", shards.config), places)


def code_shard(folder: str, model: str, device: str, name: str) -> dict[str, Member]:
    """Code the clips of one shard by this process' copy of the model; where each of them lies."""
    shards, coder = open_shards(folder), open_coder(model, device)
    place = coded_folder(Path(folder), coder.fingerprint)
    return write_coded(place / name, coded_clips(shards, coder, name))


def coded_clips(shards: Shards, coder: Coder, name: str) -> Iterator[tuple[str, Tensors]]:
    """Key and tensors of each clip of a shard, in its order."""
    numbers = (number for number, row in enumerate(shards.rows) if row["shard"] == name)
    for number in numbers:
        row = shards.rows[number]
        said = coder.said(str(row["caption"]), shards.config)
        yield str(row["key"]), said | {LATENTS: coder.latents(shards.frames(number))}


@lru_cache(maxsize=1)
def open_shards(folder: str) -> Shards:
    """The shards that this process codes."""
    return Shards(Path(folder))


def open_coder(model: str, device: str) -> Coder:
    """The model that this process codes with. Raises ValueError for one of pixels."""
    coder = open_any(model, device)
    if coder.backbone.codec.bounded:
        raise ValueError(
            f"latents: expected a model of latents, got one of pixels in {model}, leave --latents"
            " out: its clips need no coding"
        )
    return coder


def open_any(model: str, device: str) -> Coder:
    """A model by its folder, a run's folder or its name, opened once however many threads ask."""
    with LOADING:
        return _open_any(model, device)


@lru_cache(maxsize=1)
def _open_any(model: str, device: str) -> Coder:
    folder = Path(model)
    place = model_folder(folder) if folder.exists() else model
    return Coder(Lumiere.from_pretrained(place, device=device).base)


@dataclass(frozen=True)
class Coder:
    """The codec and the text encoder of a model. Threads take turns: some codecs (Wan's) keep what
    they have seen of a clip in themselves.
    """

    model: Model
    turn: Lock = field(default_factory=Lock)

    @property
    def backbone(self) -> Backbone:
        """Of clips."""
        return self.model.backbone

    @cached_property
    def fingerprint(self) -> str:
        """Of what codes."""
        return coding_fingerprint(self.model)

    @torch.no_grad()
    def latents(self, frames: np.ndarray) -> Float[Tensor, "c g h w"]:
        """Of a clip's frames, uint8 [f, h, w, 3], in half precision. Raises ValueError for latents
        beyond its range.
        """
        pixels = torch.from_numpy(frames).to(self.backbone.device).float() / 127.5 - 1
        with self.turn:
            coded = encode(self.backbone, rearrange(pixels, "f h w c -> 1 c f h w"))
        coded = coded[0].cpu().half()
        if not coded.isfinite().all():
            raise ValueError(
                "latents: expected numbers within half precision, got larger ones, leave --latents"
                " out for this model"
            )
        return coded.contiguous()

    @torch.no_grad()
    def said(self, prompt: str, config: IngestConfig) -> Tensors:
        """What a prompt conditions, of clips of that form."""
        with self.turn:
            condition = self.backbone.condition(
                [prompt],
                frames=config.frames,
                height=config.side,
                width=config.side,
                frame_times=times_of(config),
            )
        return condition_tensors(condition.to("cpu"))


def encode(backbone: Backbone, pixels: Float[Tensor, "b k f H W"]) -> Float[Tensor, "b c g h w"]:
    """Latents of clips in [-1, 1]; a codec of alpha, too, sees opaque ones."""
    if backbone.codec.colours > pixels.shape[1]:
        pixels = torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1)
    return backbone.codec.encode(pixels)


def times_of(config: IngestConfig) -> Float[Tensor, " f"]:
    """The times of a clip's frames, in native frames."""
    return torch.arange(config.frames) * float(NATIVE_RATE / config.fps)


def condition_tensors(condition: Condition) -> Tensors:
    """A condition of one clip by name, its text without the zeros that end it."""
    text = condition.text[0]
    used = text.ne(0).any(1).nonzero()
    kept = text[: int(used[-1]) + 1 if len(used) else 0]
    made = {TEXT: kept.contiguous(), TOKENS: torch.tensor(len(text))}
    if condition.text_mask is not None:
        made[MASK] = condition.text_mask[0].contiguous()
    if condition.frame_times is not None:
        made[TIMES] = condition.frame_times.contiguous()
    whole = {f"{WHOLE}{name}": value[0] for name, value in condition.whole.items()}
    return made | {name: value.contiguous() for name, value in whole.items()}


def condition_from(tensors: Tensors) -> Condition:
    """What `condition_tensors` was given."""
    text = tensors[TEXT]
    zeros = text.new_zeros(int(tensors[TOKENS]) - len(text), text.shape[1])
    mask = tensors.get(MASK)
    whole = {name for name in tensors if name.startswith(WHOLE)}
    return Condition(
        text=torch.cat([text, zeros])[None],
        text_mask=None if mask is None else mask[None],
        frame_times=tensors.get(TIMES),
        whole={name.removeprefix(WHOLE): tensors[name][None] for name in whole},
    )


def coding_fingerprint(model: Any) -> str:
    """sha256 over what codes clips and captions: weights rounded to half precision, in which models
    are kept, and configs of codec and text encoders, and the names of all that a prompt conditions.
    """
    ours = isinstance(model, LumierePipeline)
    parts = model.components if ours else model.published.parts
    values = model.config if ours else model.published.values
    present = {name: parts[name] for name in CODES if parts.get(name) is not None}
    nets = {name: part for name, part in present.items() if isinstance(part, nn.Module)}
    weights = {
        f"{name} {key}": value
        for name, net in nets.items()
        for key, value in net.state_dict().items()
    }
    native = model.backbone.native
    empty = model.backbone.condition([""], frames=1, height=native.side, width=native.side)
    said = {
        "codec": type(model.backbone.codec).__name__,
        "configs": {name: config_text(net) for name, net in nets.items()},
        "words": {name: len(part) for name, part in present.items() if name not in nets},
        "bundled": SHA256 if "text_encoder" not in present else "",
        "empty": values.get(SETTING),
        "whole": sorted(empty.whole),
        "weights": fingerprint_of(weights),
    }
    return sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def check_clips(backbone: Backbone, config: IngestConfig) -> None:
    """Raise ValueError where a net does not take clips of this side or of so many frames."""
    fitting = backbone.native.frames_for(config.frames)
    if fitting != config.frames:
        raise ValueError(
            f"data: expected clips of {fitting} frames for this model, got {config.frames}, ingest"
            f" with --frames {fitting}"
        )
    multiple = backbone.native.multiple
    if config.side % multiple:
        raise ValueError(
            f"data: expected a side that divides by {multiple} for this model, got {config.side},"
            f" ingest with --side {config.side // multiple * multiple or multiple}"
        )


def coded_for(model: Any, shards: Shards) -> CodedClips | None:
    """The clips of shards as this model codes them; None where no model has coded them. Raises
    ValueError where others alone have.
    """
    found = coders(shards.folder)
    if not found:
        return None
    own = coding_fingerprint(model)
    if own in {about["fingerprint"] for about in found}:
        return CodedClips(Coded(shards, own), model.backbone.device)
    others = ", ".join(f"{about['model']} {about['fingerprint'][:12]}" for about in found)
    raise ValueError(
        f"data: expected latents of this model, {model.name} {own[:12]}, in {shards.folder}, got"
        f" those of {others}, do: lumiere data latents {shards.folder} --model DIR, or train from"
        " pixels with --no-latents"
    )


@dataclass(frozen=True)
class CodedClips:
    """Latents and conditions of a model's clips, read as they are asked for."""

    coded: Coded
    device: torch.device

    def latents(self, numbers: list[int]) -> Float[Tensor, "b c g h w"]:
        """Of these clips, in float32."""
        rows = [self.coded.clip(number)[LATENTS] for number in numbers]
        return torch.stack(rows).to(self.device).float()

    def condition(self, number: int | None) -> Condition:
        """Of the caption of a clip, or for None of the empty prompt."""
        tensors = self.coded.empty() if number is None else self.coded.clip(number)
        return condition_from(tensors).to(self.device)
