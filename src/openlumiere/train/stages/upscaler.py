"""Super-resolution training: a small picture net on world pictures and on what the base net makes
of them, then its temporal part.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from openlumiere.diffusion.denoiser import Condition
from openlumiere.diffusion.loss import add_noise, clean_loss
from openlumiere.engine.cascade import LEVELS, LOW, LumiereUpscalePipeline, UpscaleDenoiser
from openlumiere.models.codec import ResidualCodec, UnshuffleCodec
from openlumiere.models.folder import UPSCALER
from openlumiere.models.stunet import STUNet
from openlumiere.models.temporal import fold_frames, unfold_frames
from openlumiere.models.text import E5TextEncoder
from openlumiere.train.config import UpscalerConfig
from openlumiere.train.data import TEXTS, CaptionStates
from openlumiere.train.export import SHARD, averaged_stunet, averaged_unet, write_folder
from openlumiere.train.start import MODEL, open_model, open_picture_net
from openlumiere.train.step import Losses, Stage, noise_like
from openlumiere_world import captions as world_captions
from openlumiere_world.draw import render
from openlumiere_world.scene import plan
from openlumiere_world.scope import WORLD_64, Scope
from openlumiere_world.subjects import World

FACTOR = 4
SIDE = 256  # pixels of a drawn frame
NATIVE_FRAMES = 80
BASE_SIDE = 32  # of the clips that the base makes


def build_unet(config: UpscalerConfig) -> UNet2DConditionModel:
    """Convolutions at the low resolution, attention to places and text in the middle alone; the
    noise level is class-embedded.
    """
    codec = ResidualCodec(FACTOR, config.gain)
    levels = len(config.widths)
    return UNet2DConditionModel(
        sample_size=SIDE // FACTOR,
        in_channels=codec.channels + 3,
        out_channels=codec.channels,
        block_out_channels=config.widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        mid_block_type="UNetMidBlock2DCrossAttn",
        attention_head_dim=2,
        norm_num_groups=16,
        time_embedding_dim=128,
        cross_attention_dim=config.text_width,
        encoder_hid_dim=E5TextEncoder.dim,
        encoder_hid_dim_type="text_proj",
        class_embed_type="timestep",
    )


def inflate(unet: UNet2DConditionModel) -> STUNet:
    """Frames keep their rate at every level, so the untrained net equals its picture net frame by
    frame (our choice).
    """
    return STUNet.from_unet2d(
        unet,
        temporal_factors=(1,) * (len(unet.config.block_out_channels) - 1),
        attention_blocks=(0, 1, 0),
        feed_forward_mult=2,
    )


def open_pipeline(folder: Path) -> LumiereUpscalePipeline:
    """That of a run or of a whole model (in `upscaler/`), or of a folder in its layout, float32.
    Raises ValueError.
    """
    return LumiereUpscalePipeline.from_pretrained(
        folder / UPSCALER if (folder / UPSCALER / MODEL).is_file() else folder
    )


def picture_net(config: UpscalerConfig, start: Path | None = None) -> UNet2DConditionModel:
    """A picture net to train: new, or what `start` holds. Raises ValueError where that is of
    another shape.
    """
    torch.manual_seed(config.loop.seed)
    net = build_unet(config) if start is None else open_unet(start)
    if tuple(net.config.block_out_channels) != config.widths:
        raise ValueError(
            f"start: expected a net of widths {config.widths}, got {tuple(net.config.block_out_channels)}, start from one of this preset"
        )
    return net


def clip_net(picture: Path | None, start: Path | None, seed: int) -> STUNet:
    """A net to train in time: the inflated picture net of `picture`, or all of the one in `start`,
    which goes first.
    """
    torch.manual_seed(seed)
    return inflate(open_unet(picture)) if start is None else open_pipeline(start).stunet


def open_unet(folder: Path) -> UNet2DConditionModel:
    """The picture net of a run (`run/unet`), or the frozen one of a pipeline. Raises ValueError,
    also for a base's.
    """
    net = (
        open_picture_net(folder)
        if (folder / "unet" / "config.json").is_file()
        else open_pipeline(folder).stunet.unet2d
    )
    expected = ResidualCodec(FACTOR).channels + 3
    if net.config.in_channels != expected:
        raise ValueError(
            f"picture net: expected {expected} channels in, got {net.config.in_channels} in {folder}, do: lumiere train upscaler first"
        )
    return net.requires_grad_(True)


def build_scheduler() -> DDIMScheduler:
    """Cosine, brought to zero signal at the end: the first of few steps regresses, the others
    sharpen.
    """
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        prediction_type="sample",
        clip_sample=False,
    )


class Bank:
    """Short clips of a part of the world at full resolution with their captions, drawn once and
    kept in a folder as a memory-mapped array.
    """

    def __init__(
        self, world: World, folder: Path, count: int, frames: int, scope: Scope = WORLD_64
    ):
        self.file, told = folder / f"clips-{frames}.npy", folder / f"captions-{frames}.json"
        if not told.is_file() or len(json.loads(told.read_text())) < count:
            folder.mkdir(parents=True, exist_ok=True)
            draw_bank(world, self.file, told, count, frames, scope)
        self.captions: list[str] = json.loads(told.read_text())[:count]
        self.pixels = np.load(self.file, mmap_mode="r")[:count]

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b 3 f H W"], list[str]]:
        """Whole frames in [-1, 1], half of the clips mirrored."""
        rows = torch.randint(len(self.captions), (count,), generator=generator).tolist()
        pixels = (
            torch.stack(
                [torch.from_numpy(self.pixels[row].copy()).permute(3, 0, 1, 2) for row in rows]
            )
            / 127.5
            - 1
        )
        mirrored = torch.rand(count, generator=generator) < 0.5
        pixels[mirrored] = pixels[mirrored].flip(-1)
        return pixels, [self.captions[row] for row in rows]


def draw_bank(world: World, file: Path, told: Path, count: int, frames: int, scope: Scope) -> None:
    """Pictures, or successive frames from the middle of whole clips."""
    told.unlink(missing_ok=True)
    pixels = np.lib.format.open_memmap(file, "w+", np.uint8, (count, frames, SIDE, SIDE, 3))
    captions = []
    for seed in tqdm(range(count), desc="draw", disable=None):
        facts = plan(world, seed, "train", 1 if frames == 1 else NATIVE_FRAMES, scope)
        first = (facts.frames - frames) // 2
        pixels[seed] = render(world, facts, SIDE, range(first, first + frames))
        captions.append(world_captions.caption(world, facts, scope))
    pixels.flush()
    told.write_text(json.dumps(captions))


def crop(
    pixels: Float[Tensor, "b c f H W"], side: int, generator: torch.Generator
) -> Float[Tensor, "b c f h w"]:
    """One place for all of a batch, on the grid of low-resolution pixels, so that each is of whole
    ones.
    """
    top, left = (
        int(torch.randint((size - side) // FACTOR + 1, (1,), generator=generator)) * FACTOR
        for size in pixels.shape[-2:]
    )
    return pixels[..., top : top + side, left : left + side]


def reduce(
    pixels: Float[Tensor, "b 3 f H W"], generator: torch.Generator
) -> Float[Tensor, "b 3 f h w"]:
    """A quarter of the side: by area or bicubic as chance has it, then more or less blurred."""
    frames = fold_frames(pixels)
    if torch.rand(1, generator=generator) < 0.6:
        low = F.avg_pool2d(frames, FACTOR)
    else:
        low = F.interpolate(frames, scale_factor=1 / FACTOR, mode="bicubic", antialias=True).clamp(
            -1, 1
        )
    blurred = F.avg_pool2d(F.pad(low, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    low = torch.lerp(low, blurred, max(0.0, float(torch.rand(1, generator=generator)) - 0.6))
    return unfold_frames(low, len(pixels))


class BaseMakes:
    """What the base's picture net makes of a real picture: noise of a moderate level added, taken
    away again in one call.

    So the super-resolution net is taught the base's own blur and wrong colours beside the picture
    that was meant (our choice).
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        alphas_cumprod: Float[Tensor, " t"],
        unshuffle: int,
        most: int = 600,
    ):
        self.unet, self.alphas_cumprod, self.codec, self.most = (
            unet.eval(),
            alphas_cumprod,
            UnshuffleCodec(unshuffle),
            most,
        )

    @torch.no_grad()
    def __call__(
        self,
        low: Float[Tensor, "b 3 1 h w"],
        states: Tensor,
        mask: Tensor,
        generator: torch.Generator,
    ) -> Float[Tensor, "b 3 1 h w"]:
        coded = self.codec.encode(low)
        timestep = torch.randint(self.most, (len(low),), generator=generator)
        noisy = add_noise(
            coded, torch.randn(coded.shape, generator=generator), timestep, self.alphas_cumprod
        )
        device = self.unet.device
        shown = noisy[:, :, 0].to(device), timestep.to(device), states.to(device)
        made = self.unet(*shown, encoder_attention_mask=mask.to(device)).sample[:, :, None]
        return self.codec.decode(made.cpu()).clamp(-1, 1)


def open_base(folder: Path) -> BaseMakes:
    """The picture net of a whole model. Raises ValueError where its frames are of another size than
    the pairs'.
    """
    base = open_model(folder)
    if base.native_size != BASE_SIDE:
        raise ValueError(
            f"base: expected a model of {BASE_SIDE} px frames, got {base.native_size} px, leave it out"
        )
    return BaseMakes(base.stunet.unet2d, base.scheduler.alphas_cumprod, base.config.unshuffle)


class Pairs:
    """Crops at full and at low resolution: of `bank`, and of `scenes` such as the base makes (as it
    makes them, where `base` is given).
    """

    def __init__(
        self,
        bank: Bank,
        scenes: Bank,
        texts: CaptionStates,
        config: UpscalerConfig,
        base: BaseMakes | None = None,
    ):
        self.bank, self.scenes, self.texts, self.config, self.base = (
            bank,
            scenes,
            texts,
            config,
            base,
        )

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """High `[b, 3, f, 4h, 4w]` and low `[b, 3, f, h, w]` in [-1, 1], and captions."""
        scenes = round(self.config.from_base * count)
        parts = [self.of_world(count - scenes, generator)] if count > scenes else []
        parts += [self.of_base(scenes, generator)] if scenes else []
        high, low, captions = zip(*parts)
        return torch.cat(high), torch.cat(low), sum(captions, [])

    def of_world(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, list[str]]:
        pixels, captions = self.bank.draw(count, generator)
        if torch.rand(1, generator=generator) < 0.5:  # whole scenes as small as the base makes them
            pixels = F.avg_pool3d(pixels, (1, 2, 2))
        pixels = crop(pixels, FACTOR * self.config.crop, generator)
        return pixels, reduce(pixels, generator), captions

    def of_base(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, list[str]]:
        pixels, captions = self.scenes.draw(count, generator)
        smaller = SIDE // (FACTOR * BASE_SIDE)
        high = F.avg_pool3d(pixels, (1, smaller, smaller))
        low = reduce(high, generator)
        if self.base is not None:
            low = self.base(low, *self.texts.draw(captions, 0.0, generator), generator)
        both = crop(
            torch.cat([high, F.interpolate(low, scale_factor=(1, FACTOR, FACTOR))], 1),
            FACTOR * self.config.crop,
            generator,
        )
        return both[:, :3], both[:, 3:, :, ::FACTOR, ::FACTOR], captions


def add_low_noise(
    low: Float[Tensor, "b 3 f h w"], most: float, generator: torch.Generator
) -> tuple[Tensor, Float[Tensor, " b"]]:
    """Noise of a level of its own for each, none for every third; and the levels."""
    level = (
        most
        * torch.rand(len(low), generator=generator)
        * (torch.rand(len(low), generator=generator) > 1 / 3)
    )
    return low + level.view(-1, 1, 1, 1, 1) * torch.randn(low.shape, generator=generator), level


def draw_steps(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Every other one the last timestep, which has no signal and which few steps begin with; the
    others anywhere.
    """
    timestep = torch.randint(steps, (count,), generator=generator)
    return torch.where(torch.rand(count, generator=generator) < 0.5, steps - 1, timestep)


def upscaler_stage(
    pairs: Pairs, net: UNet2DConditionModel | STUNet, config: UpscalerConfig
) -> Stage:
    """The picture net (`build_unet`), or the temporal parameters of its inflation (`inflate`), and
    their loss.

    A run's averaged picture net is at `run/unet`; the inflated net, in half precision and the
    pipeline's layout, at `run/upscaler`.
    """
    torch.manual_seed(config.loop.seed)
    net.to(memory_format=torch.channels_last).train()
    codec, scheduler, texts = ResidualCodec(FACTOR, config.gain), build_scheduler(), pairs.texts
    still = isinstance(net, UNet2DConditionModel)

    def losses(net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        high, low, captions = pairs.draw(count, generator)
        low, level = add_low_noise(low, config.most_noise, generator)
        clean, low, level = (
            value.to(texts.device) for value in (codec.encode(high, low), low, level)
        )
        clean, low = (clean[:, :, 0], low[:, :, 0]) if still else (clean, low)
        states, mask = texts.draw(captions, config.text_dropout, generator)
        condition = Condition(
            text=states, text_mask=mask, added={LOW: low}, class_labels=level * LEVELS
        )
        steps = scheduler.config.num_train_timesteps
        timestep, denoiser = (
            draw_steps(count, steps, generator).to(clean.device),
            UpscaleDenoiser(net, scheduler.alphas_cumprod),
        )
        noise = noise_like(clean, generator)
        return Losses(
            clean_loss(
                lambda noisy, at: denoiser(noisy, at, condition),
                clean,
                noise,
                timestep,
                scheduler.alphas_cumprod,
            ),
            timestep / steps,
        )

    def export(average: dict[str, Tensor], run: Path) -> None:
        texts.keep(run / TEXTS)
        release(average, run / UPSCALER)
        if still:
            write_folder(
                run / "unet",
                lambda folder: averaged_unet(net, average).save_pretrained(
                    folder, max_shard_size=SHARD
                ),
            )

    def release(average: dict[str, Tensor], folder: Path) -> None:
        averaged = inflate(averaged_unet(net, average)) if still else averaged_stunet(net, average)
        pipeline = LumiereUpscalePipeline(
            averaged.half(), scheduler, factor=FACTOR, gain=config.gain
        )
        write_folder(folder, lambda room: pipeline.save_pretrained(room, max_shard_size=SHARD))

    return Stage(net=net, losses=losses, export=export, release=release, frames=config.frames)
