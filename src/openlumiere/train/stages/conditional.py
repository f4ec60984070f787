"""Conditional training: one net for every task (paper: input <J, C, M>, noisy clip, masked known
clip, mask).
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Known
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import VideoConfig
from openlumiere.train.data import CaptionStates, Source
from openlumiere.train.masks import draw_masks
from openlumiere.train.stages.video import VideoStage, video_stage


def conditional_stage(
    source: Source, texts: CaptionStates, net: STUNet, codec: UnshuffleCodec, config: VideoConfig
) -> VideoStage:
    """The temporal parameters and the widened input of a trained `net`, fine-tuned on clips of
    which something is known.

    A net that is not widened yet gets new input channels, zero at start, so that it begins as the
    net it was. The share of masks where nothing is known keeps it a plain text-to-video net. The
    loss is the whole clip's, known places too (our choice).
    """
    widen(net)
    conditioning = partial(known_channels, unknown=config.unknown)
    return video_stage(source, texts, net, codec, config, conditioning)


def widen(net: STUNet) -> None:
    """Make place for the known clip and the mask after the noisy clip, if there is none yet."""
    channels = net.config.unet["in_channels"]
    if net.config.in_channels != 2 * channels + 1:
        net.widen_input(2 * channels + 1)


def clean_size(clean: Tensor) -> tuple[int, int, int]:
    """Frames, rows and columns."""
    frames, height, width = clean.shape[2:]
    return frames, height, width


def known_channels(
    clean: Float[Tensor, "b c f h w"], generator: torch.Generator, unknown: float
) -> Float[Tensor, "b c_plus_1 f h w"]:
    """`<C, M>` of a batch: masks drawn in their shares, that of none `unknown`, the true clip where
    they are 1.
    """
    mask = draw_masks(generator, len(clean), clean_size(clean), unknown).to(clean.device)
    return Known(content=clean, mask=mask).as_channels()
