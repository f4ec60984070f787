"""Weights to begin from: a run's, an exported folder's or a released model's, with a fresh
optimiser.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from torch import nn

from openlumiere.engine.base import LumierePipeline
from openlumiere.models.stunet import TEMPORAL_WEIGHTS, STUNet

MODEL = "model_index.json"


def open_model(folder: Path) -> LumierePipeline:
    """The pipeline of a run (`run/model`) or of a folder in its layout. Raises ValueError."""
    return LumierePipeline.from_pretrained(
        folder / "model" if (folder / "model" / MODEL).is_file() else folder
    )


def open_picture_net(folder: Path) -> UNet2DConditionModel:
    """The picture net of an image run (`run/unet`), of a U-Net's own folder, or of a whole model
    (its frozen net), float32.
    """
    for place in (folder / "unet", folder):
        if (place / "config.json").is_file():
            try:
                return UNet2DConditionModel.from_pretrained(
                    place, local_files_only=True, use_safetensors=True
                )
            except (OSError, KeyError, TypeError) as error:
                raise ValueError(
                    f"start: expected the weights of a picture net in {place}, got {first_line(error)}, name another run"
                ) from None
    return open_model(folder).stunet.unet2d


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def load_into(net: nn.Module, folder: Path) -> None:
    """Copy the weights of a picture net of the same shape. Raises ValueError where it is of
    another.
    """
    weights = open_picture_net(folder).state_dict()
    for name, target in net.state_dict().items():
        got = tuple(weights[name].shape) if name in weights else "none"
        if got != tuple(target.shape):
            raise ValueError(
                f"start: expected {name} of shape {tuple(target.shape)}, got {got} in {folder}, start from a net of this preset"
            )
    net.load_state_dict(weights)


def open_net(
    picture: Path | None, start: Path | None, attention_blocks: tuple[int, int, int]
) -> STUNet:
    """A net to train in time: over the picture net of `picture`, with the temporal weights of
    `start`.

    One of them may be None: without `start` the temporal weights are new, without `picture` the
    model in `start` brings its own. Raises ValueError where the two don't belong together.
    """
    if picture is None:
        return open_model(start).stunet
    unet = open_picture_net(picture)
    if start is None:
        return STUNet.from_unet2d(unet, attention_blocks=attention_blocks)
    if (start / "temporal" / TEMPORAL_WEIGHTS).is_file():  # a run's, in full precision
        net = STUNet.from_unet2d(unet, **options_of(start / "temporal" / TEMPORAL_WEIGHTS))
        net.load_temporal(start / "temporal")
        return net
    return with_temporal(unet, open_model(start).stunet)


def options_of(file: Path) -> dict:
    """The options of `STUNet` that temporal weights were saved with."""
    with safe_open(file, framework="pt") as opened:
        return json.loads((opened.metadata() or {})["options"])


@torch.no_grad()
def with_temporal(unet: UNet2DConditionModel, other: STUNet) -> STUNet:
    """`unet` inflated with the temporal weights of a net over the same picture net."""
    options = {
        name: value
        for name, value in other.config.items()
        if name != "unet" and not name.startswith("_")
    }
    net = STUNet.from_unet2d(unet, **options)
    if net.fingerprint() != other.fingerprint():
        raise ValueError(
            f"start: expected a model over the picture net {net.fingerprint()[:12]}, got {other.fingerprint()[:12]}, leave out --image-run"
        )
    weights = dict(other.temporal_named_parameters())
    for name, parameter in net.temporal_named_parameters():
        parameter.copy_(weights[name])
    return net
