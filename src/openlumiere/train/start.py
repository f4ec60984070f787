"""Weights to begin from: a run's, an exported folder's or a released model's, with a fresh
optimiser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from openlumiere.engine.base import LumierePipeline
from openlumiere.engine.cascade import LumiereUpscalePipeline
from openlumiere.models.codec import ResidualCodec, UnshuffleCodec
from openlumiere.models.folder import UPSCALER
from openlumiere.models.stunet import TEMPORAL_WEIGHTS, STUNet, picture_fingerprint
from openlumiere.train.checkpoint import CONFIG
from openlumiere.train.nets import FACTOR

MODEL = "model_index.json"
UNET = "config.json"
TEMPORAL = "temporal"
BRANCH = "known_branch."  # whose last layer is zero at start


class VideoNet(NamedTuple):
    """A net to train in time, and the codec of its clips."""

    net: STUNet
    codec: UnshuffleCodec


def open_model(folder: Path) -> LumierePipeline:
    """The pipeline of a run (`run/model`) or of a folder in its layout. Raises ValueError."""
    return LumierePipeline.from_pretrained(model_folder(folder))


def model_folder(folder: Path) -> Path:
    """Where the model of a run, or of a model's own folder, lies."""
    return folder / "model" if (folder / "model" / MODEL).is_file() else folder


def open_picture_net(folder: Path) -> UNet2DConditionModel:
    """The picture net of an image run (`run/unet`), of a U-Net's own folder, or of a whole model
    (its frozen net), float32. Raises ValueError.
    """
    if (folder / "unet" / UNET).is_file():
        return open_unet(folder / "unet")
    if "block_out_channels" in read_json(folder / UNET):
        return open_unet(folder)
    return open_model(folder).stunet.unet2d


def read_json(file: Path) -> dict:
    """What a file says; nothing where there is none, or it is not JSON."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}


def open_unet(folder: Path) -> UNet2DConditionModel:
    """A U-Net in diffusers' layout. Raises ValueError."""
    try:
        return UNet2DConditionModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
    except (OSError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"start: expected the weights of a picture net in {folder}, got {reason}, name another"
            " run"
        ) from None


def open_codec(folder: Path) -> UnshuffleCodec:
    """How the pictures of a run or of a model are coded, as it says itself. Raises ValueError."""
    model = model_folder(folder) / MODEL
    for place in (model, folder / CONFIG):
        factor = read_json(place).get("unshuffle")
        if isinstance(factor, int):
            return UnshuffleCodec(factor)
    raise ValueError(
        f"image run: expected `unshuffle` in {folder / CONFIG} or in {model}, got neither, name a"
        " run that lumiere train image made"
    )


def load_into(net: nn.Module, folder: Path) -> None:
    """Copy the weights of a picture net of the same shape. Raises ValueError where it is of
    another.
    """
    weights = open_picture_net(folder).state_dict()
    own = net.state_dict()
    for name in [*own, *(weights.keys() - own.keys())]:
        expected, got = shape_in(own, name), shape_in(weights, name)
        if got != expected:
            raise ValueError(
                f"start: expected {name} of shape {expected}, got {got} in {folder},"
                " start from a net of this preset"
            )
    net.load_state_dict(weights)


def shape_in(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...] | str:
    """Of the weight of that name, or `none`."""
    return tuple(weights[name].shape) if name in weights else "none"


def open_net(
    picture: Path | None, start: Path | None, attention_blocks: tuple[int, int, int]
) -> VideoNet:
    """A net to train in time: over the picture net of `picture`, with the temporal weights of
    `start`.

    One of them may be None: without `start` the temporal weights are new, without `picture` the
    model in `start` brings its own. Raises ValueError where the two don't belong together.
    """
    if picture is None:
        if start is None:
            raise ValueError("start: expected a model, or a picture net, got neither, name one")
        model = open_model(start)
        return VideoNet(model.stunet, pixel_codec(model, start))
    unet = open_picture_net(picture)
    if start is None:
        net = STUNet.from_unet2d(unet, attention_blocks=attention_blocks)
    else:
        net = open_stunet(unet, picture, start)
    return VideoNet(net, open_codec(picture))


def pixel_codec(model: LumierePipeline, folder: Path) -> UnshuffleCodec:
    """The model's codec. Raises ValueError for latents: what is written here has no VAE."""
    if not isinstance(model.codec, UnshuffleCodec):
        raise ValueError(
            f"start: expected a model of pixels, got one of latents in {folder}, train it in Python"
            " with a stage of your own"
        )
    return model.codec


def open_stunet(unet: UNet2DConditionModel, picture: Path, start: Path) -> STUNet:
    """`unet`, the picture net of `picture`, inflated with the temporal weights of `start`."""
    temporal = start / TEMPORAL
    file = temporal / TEMPORAL_WEIGHTS
    if not file.is_file():
        other = open_model(start).stunet
        check_picture_net(unet, picture, other.fingerprint(), start)
        return with_temporal(unet, other)
    made = made_with(file)
    check_picture_net(unet, picture, made.fingerprint, start)
    net = STUNet.from_unet2d(unet, **made.options)
    net.load_temporal(temporal)  # a run's, in full precision
    return net


class Made(NamedTuple):
    """The options of `STUNet` that temporal weights were saved with, and the fingerprint of the
    picture net under them.
    """

    options: dict
    fingerprint: str


def made_with(file: Path) -> Made:
    """What a file of temporal weights says of itself. Raises ValueError for another file."""
    try:
        with safe_open(file, framework="pt") as opened:
            note = opened.metadata() or {}
        return Made(dict(json.loads(note["options"])), note["fingerprint"])
    except KeyError as error:
        reason = f"none that say their {error.args[0]}"
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
    raise ValueError(
        f"start: expected temporal weights that lumiere train wrote in {file}, got {reason},"
        " name another run"
    )


def check_picture_net(
    unet: UNet2DConditionModel, picture: Path, fingerprint: str, start: Path
) -> None:
    """Raise ValueError for temporal weights that were trained over another picture net."""
    own = picture_fingerprint(unet)
    if own != fingerprint:
        raise ValueError(
            f"start: expected a model over the picture net {own[:12]} of {picture}, got one over"
            f" {fingerprint[:12]} in {start}, leave out --image-run or name the one that"
            " it was trained over"
        )


@torch.no_grad()
def with_temporal(unet: UNet2DConditionModel, other: STUNet) -> STUNet:
    """`unet` inflated with the temporal weights of a net over the same picture net."""
    options = {
        name: value
        for name, value in other.config.items()
        if name != "unet" and not name.startswith("_")
    }
    net = STUNet.from_unet2d(unet, **options)
    copy_temporal(other, net)
    return net


@torch.no_grad()
def copy_temporal(source: STUNet, target: STUNet) -> None:
    """The temporal weights of one net into another of the same options; what the other has besides
    must add nothing yet. Raises ValueError.
    """
    weights = dict(source.temporal_named_parameters())
    for name, parameter in target.temporal_named_parameters():
        if name not in weights and (not parameter.any() or name.startswith(BRANCH)):
            continue
        expected, got = tuple(parameter.shape), shape_in(weights, name)
        if got != expected:
            raise ValueError(
                f"start: expected temporal weights {name} of shape {expected}, got {got}, "
                "start from a model of the same options"
            )
        parameter.copy_(weights[name])


def open_upscaler(folder: Path) -> LumiereUpscalePipeline:
    """The super-resolution model of a run or of a whole model (in `upscaler/`), or of a folder in
    its layout, float32. Raises ValueError.
    """
    inside = folder / UPSCALER
    return LumiereUpscalePipeline.from_pretrained(inside if (inside / MODEL).is_file() else folder)


def open_upscaler_unet(folder: Path) -> UNet2DConditionModel:
    """The picture net of an upscaler run (`run/unet`), or the frozen one of a super-resolution
    model. Raises ValueError, also for a base's.
    """
    if (folder / "unet" / "config.json").is_file():
        net = open_unet(folder / "unet")
    else:
        net = open_upscaler(folder).stunet.unet2d
    expected = ResidualCodec(FACTOR).channels + 3
    if net.config.in_channels != expected:
        raise ValueError(
            f"picture net: expected {expected} channels in, got {net.config.in_channels} in"
            f" {folder}, do: lumiere train upscaler first"
        )
    return net.requires_grad_(True)
