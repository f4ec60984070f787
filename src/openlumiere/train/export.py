"""The averaged weights in diffusers' layout, written beside and renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from openlumiere.models.stunet import STUNet
from openlumiere.train.checkpoint import sync_folder

SHARD = "15MB"  # the most that one file of weights takes


def write_folder(final: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` make a folder under a hidden name, then put it in the place of `final`. Raises
    OSError.
    """
    room, older = (final.with_name(f".{final.name}.{word}") for word in ("writing", "older"))
    shutil.rmtree(room, ignore_errors=True)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        fill(room)
        sync(room)
        shutil.rmtree(older, ignore_errors=True)
        if final.exists():  # a folder can't be renamed over another
            os.replace(final, older)
        os.replace(room, final)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    shutil.rmtree(older, ignore_errors=True)


def sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def averaged_unet(unet: UNet2DConditionModel, average: dict[str, Tensor]) -> UNet2DConditionModel:
    copy = UNet2DConditionModel.from_config(unet.config)
    copy.load_state_dict({**unet.state_dict(), **average})
    return copy.eval()


@torch.no_grad()
def averaged_stunet(net: STUNet, average: dict[str, Tensor]) -> STUNet:
    """A copy with the averaged temporal weights over the same frozen net."""
    copy = STUNet.from_config(net.config)
    copy.load_state_dict({**net.state_dict(), **average})
    return copy.eval()
