"""Text-to-image training: the small picture U-Net that is later frozen and inflated (the paper's
first stage).
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor, nn

from openlumiere.diffusion.loss import clean_loss, draw_timesteps
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.stunet import STUNet
from openlumiere.models.text import E5TextEncoder
from openlumiere.train.config import ImageConfig
from openlumiere.train.data import LAST_FRAME, TEXTS, CaptionStates, Source
from openlumiere.train.export import SHARD, averaged_unet, write_folder
from openlumiere.train.show import save_sheet
from openlumiere.train.start import load_into
from openlumiere.train.step import Losses, Stage, noise_like


def build_unet(config: ImageConfig) -> UNet2DConditionModel:
    """A plain diffusers U-Net: text cross-attention everywhere but at full resolution."""
    attended = len(config.widths) - 1
    codec = UnshuffleCodec(config.unshuffle)
    return UNet2DConditionModel(
        sample_size=config.side // codec.factor,
        in_channels=codec.channels,
        out_channels=codec.channels,
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * attended),
        up_block_types=(*["CrossAttnUpBlock2D"] * attended, "UpBlock2D"),
        cross_attention_dim=E5TextEncoder.dim,
        attention_head_dim=tuple(max(width // 32, 1) for width in config.widths),
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """Zero terminal signal, so that plain backgrounds of any colour can be made (our choice)."""
    return DDIMScheduler(
        beta_schedule="linear",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        prediction_type="sample",
        clip_sample=False,
    )


def image_stage(
    source: Source, texts: CaptionStates, config: ImageConfig, start: Path | None = None
) -> Stage:
    """The picture net, new or from the weights that `start` holds, and its loss on pictures of
    `source`.

    A run's averaged net is at `run/unet`.
    """
    torch.manual_seed(config.loop.seed)
    unet = build_unet(config).to(memory_format=torch.channels_last)
    if start is not None:
        load_into(unet, start)
    codec, scheduler = UnshuffleCodec(config.unshuffle), build_scheduler()

    def losses(net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        drawn = source.draw(generator, count, None)
        clean = codec.encode(drawn.pixels)[:, :, 0]
        states, mask = texts.draw(drawn.captions, config.text_dropout, generator)
        steps = scheduler.config.num_train_timesteps
        timestep = draw_timesteps(count, steps, config.low_noise, generator).to(clean.device)

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            noisy = noisy.contiguous(memory_format=torch.channels_last)
            return net(noisy, timestep, states, encoder_attention_mask=mask).sample

        return Losses(
            clean_loss(
                predict, clean, noise_like(clean, generator), timestep, scheduler.alphas_cumprod
            ),
            timestep / steps,
        )

    def export(average: dict[str, Tensor], run: Path) -> None:
        write_folder(
            run / "unet",
            lambda folder: averaged_unet(unet, average).save_pretrained(
                folder, max_shard_size=SHARD
            ),
        )
        texts.keep(run / TEXTS)

    def release(average: dict[str, Tensor], folder: Path) -> None:
        write_folder(
            folder,
            lambda room: (
                averaged_unet(unet, average).half().save_pretrained(room, max_shard_size=SHARD)
            ),
        )

    def show(average: dict[str, Tensor], file: Path) -> None:
        save_sheet(
            STUNet.from_unet2d(averaged_unet(unet, average)),
            scheduler,
            codec.factor,
            file,
            pictures=True,
        )

    return Stage(net=unet, losses=losses, export=export, release=release, show=show)


def draw_pictures(
    source: Source, generator: torch.Generator, count: int
) -> tuple[Float[Tensor, "b 3 1 h w"], list[str]]:
    """Half of them still pictures, half single frames of clips under their clip's caption (our
    choice): once frozen, the net hears those.
    """
    moments = torch.randint(LAST_FRAME + 1, (count // 2, 1), generator=generator)
    stills = source.draw(generator, count - count // 2, None)
    if not len(moments):
        return stills.pixels, stills.captions
    frames = source.draw(generator, count // 2, moments.float())
    return torch.cat([stills.pixels, frames.pixels]), [*stills.captions, *frames.captions]
