"""Text-to-image training: the small picture U-Net that is later frozen and inflated (the paper's
first stage).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from openlumiere.data.sample import Sample
from openlumiere.diffusion.loss import clean_loss, draw_timesteps
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import ImageConfig
from openlumiere.train.data import LAST_FRAME, TEXTS, CaptionStates, Drawn, Source, move
from openlumiere.train.nets import averaged, build_scheduler, build_unet, save
from openlumiere.train.show import save_sheet
from openlumiere.train.start import load_into
from openlumiere.train.step import Losses, Stage, noise_like


@dataclass(frozen=True, kw_only=True)
class ImageStage(Stage):
    """A picture net, and its loss on pictures of `source`.

    A run's averaged net is at `run/unet`.
    """

    net: UNet2DConditionModel
    source: Source
    texts: CaptionStates
    codec: UnshuffleCodec
    config: ImageConfig
    scheduler: DDIMScheduler = field(default_factory=build_scheduler)

    def move_to(self, position: int) -> None:
        """Where the run is in its clips."""
        move(self.source, position)

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of `count` pictures under captions, some of them dropped."""
        drawn = draw_pictures(self.source, generator, count, self.config.clip_frames)
        clean = self.codec.encode(drawn.pixels)[:, :, 0]
        text = self.texts.draw(drawn.captions, self.config.text_dropout, generator)
        steps = self.scheduler.config.num_train_timesteps
        timestep = draw_timesteps(count, steps, self.config.low_noise, generator)
        timestep = timestep.to(clean.device)
        noise = noise_like(clean, generator)
        predict = partial(predict_picture, net, *text)
        loss = clean_loss(predict, clean, noise, timestep, VariancePreserving(self.scheduler))
        return Losses(loss, timestep / steps)

    def export(self, average: dict[str, Tensor], run: Path) -> None:
        """Write `run/unet`, in full precision."""
        save(averaged(self.net, average), run / "unet")
        self.texts.keep(run / TEXTS)

    def release(self, average: dict[str, Tensor], folder: Path) -> None:
        """Write the net in half precision."""
        save(averaged(self.net, average).half(), folder)

    def show(self, average: dict[str, Tensor], file: Path) -> None:
        """Save pictures of fixed prompts."""
        net = STUNet.from_unet2d(averaged(self.net, average))
        save_sheet(net, self.scheduler, self.codec.factor, file, pictures=True)


def image_stage(
    source: Source, texts: CaptionStates, config: ImageConfig, start: Path | None = None
) -> ImageStage:
    """The stage of a picture net that is new, or has the weights that `start` holds.

    Raises ValueError where those are of another net.
    """
    torch.manual_seed(config.loop.seed)
    unet = build_unet(config).to(memory_format=torch.channels_last)
    if start is not None:
        load_into(unet, start)
    codec = UnshuffleCodec(config.unshuffle)
    return ImageStage(net=unet, source=source, texts=texts, codec=codec, config=config)


def predict_picture(
    net: nn.Module,
    states: Float[Tensor, "b n d"],
    mask: Bool[Tensor, "b n"],
    noisy: Float[Tensor, "b c h w"],
    timestep: Int[Tensor, " b"],
) -> Float[Tensor, "b c h w"]:
    """What a picture net answers."""
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    return net(noisy, timestep, states, encoder_attention_mask=mask).sample


def draw_pictures(
    source: Source, generator: torch.Generator, count: int, clip_frames: float
) -> Drawn:
    """Still pictures, and a share `clip_frames` of frames of clips under their clip's caption.

    Our choice: once frozen, the net is given the captions of clips.
    """
    frames = round(clip_frames * count)
    if not frames:
        return source.draw(generator, count, None)
    moments = torch.randint(LAST_FRAME + 1, (frames, 1), generator=generator).float()
    if frames == count:
        return source.draw(generator, count, moments)
    stills = source.draw(generator, count - frames, None)
    others = source.draw(generator, frames, moments)
    pixels = torch.cat([stills.pixels, others.pixels])
    return Sample(pixels, [*stills.captions, *others.captions])
