"""Super-resolution training: a small picture net on world pictures and what the base net makes of them, then its temporal part."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor

from openlumiere.data.world import slice as preview
from openlumiere.data.world.draw import draw
from openlumiere.data.world.subjects import World
from openlumiere.diffusion.denoiser import Condition
from openlumiere.diffusion.loss import add_noise, clean_loss
from openlumiere.models.codec import ResidualCodec, UnshuffleCodec
from openlumiere.models.stunet import STUNet
from openlumiere.models.text import E5TextEncoder
from openlumiere.pipelines.upscale import LEVELS, LOW, UpscaleDenoiser
from openlumiere.train.image import CaptionStates
from openlumiere.train.loop import LoopConfig, train

FACTOR = 4
SIDE = 256  # pixels of a drawn picture
BASE_SIDE = 32  # of the clips that the preview base makes
SPRITE_SIDE = preview.SPRITE_SIDE * FACTOR
Pair = tuple[Float[Tensor, "b 3 f H W"], Float[Tensor, "b 3 f h w"], list[str]]
Degrade = Callable[[Tensor, list[str], torch.Generator], Tensor]


@dataclass(frozen=True, kw_only=True)
class UpscalerConfig:
    """Our choices, all of them: the paper says of its super-resolution net only that it is inflated, too."""

    widths: tuple[int, ...] = (48, 64)
    text_width: int = 64
    gain: float = 8.0  # brings the residual of cartoons to about unit variance
    pictures: int = 600  # drawn from the world
    batch: int = 16
    crop: int = 24  # places of a side
    from_preview: float = 0.4  # share of pictures that are scenes of the preview base, as it makes them
    most_noise: float = 0.25  # standard deviation of what is added to low-resolution pictures in [-1, 1]
    text_dropout: float = 0.3
    loop: LoopConfig = field(default_factory=LoopConfig)


def build_unet(config: UpscalerConfig) -> UNet2DConditionModel:
    """Convolutions at the low resolution, attention to places and text in the middle alone; the noise level is class-embedded."""
    codec = ResidualCodec(FACTOR, config.gain)
    levels = len(config.widths)
    return UNet2DConditionModel(
        sample_size=SIDE // FACTOR, in_channels=codec.channels + 3, out_channels=codec.channels, block_out_channels=config.widths,
        layers_per_block=1, down_block_types=("DownBlock2D",) * levels, up_block_types=("UpBlock2D",) * levels,
        mid_block_type="UNetMidBlock2DCrossAttn", attention_head_dim=2, norm_num_groups=16, time_embedding_dim=128,
        cross_attention_dim=config.text_width, encoder_hid_dim=E5TextEncoder.dim, encoder_hid_dim_type="text_proj",
        class_embed_type="timestep",
    )  # fmt: skip


def inflate(unet: UNet2DConditionModel) -> STUNet:
    """Frames keep their rate at every level, so the untrained net equals its picture net frame by frame (our choice)."""
    return STUNet.from_unet2d(unet, temporal_factors=(1,) * (len(unet.config.block_out_channels) - 1), attention_blocks=(0, 1, 0), feed_forward_mult=2)


def build_scheduler() -> DDIMScheduler:
    """Cosine, brought to zero signal at the end: the first of few steps regresses, the others sharpen."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="sample", clip_sample=False
    )


class Pictures:
    """Pictures of the world with their captions, drawn once and kept in a folder as a memory-mapped array."""

    def __init__(self, world: World, folder: Path, count: int):
        self.file, captions = folder / "pictures.npy", folder / "captions.json"
        if not captions.is_file() or len(json.loads(captions.read_text())) < count:
            draw_pictures(world, self.file, captions, count)
        self.captions: list[str] = json.loads(captions.read_text())[:count]
        self.pixels = np.load(self.file, mmap_mode="r")[:count]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Float[Tensor, "b 3 f H W"], list[str]]:
        """Whole pictures in [-1, 1], half of them mirrored."""
        rows = torch.randint(len(self.captions), (count,), generator=generator).tolist()
        pixels = torch.stack([torch.from_numpy(self.pixels[row].copy()).permute(2, 0, 1) for row in rows])[:, :, None] / 127.5 - 1
        mirrored = torch.rand(count, generator=generator) < 0.5
        pixels[mirrored] = pixels[mirrored].flip(-1)
        return pixels, [self.captions[row] for row in rows]


def draw_pictures(world: World, file: Path, captions: Path, count: int) -> None:
    pixels = np.lib.format.open_memmap(file, "w+", np.uint8, (count, SIDE, SIDE, 3))
    told = []
    for seed in range(count):
        clip, caption, _ = draw(world, seed, "train", SIDE, 1)
        pixels[seed] = clip.frames[0]
        told.append(caption)
    captions.write_text(json.dumps(told))


def crop(pixels: Float[Tensor, "b 3 f H W"], side: int, generator: torch.Generator) -> Float[Tensor, "b 3 f h w"]:
    """One place for all of a batch, on the grid of low-resolution pixels, so that each is of whole ones."""
    top, left = (int(torch.randint((size - side) // FACTOR + 1, (1,), generator=generator)) * FACTOR for size in pixels.shape[-2:])
    return pixels[..., top : top + side, left : left + side]


def reduce(pixels: Float[Tensor, "b 3 f H W"], generator: torch.Generator) -> Float[Tensor, "b 3 f h w"]:
    """A quarter of the side: by area or bicubic as chance has it, then more or less blurred."""
    frames = pixels.transpose(1, 2).flatten(0, 1)
    if torch.rand(1, generator=generator) < 0.6:
        low = F.avg_pool2d(frames, FACTOR)
    else:
        low = F.interpolate(frames, scale_factor=1 / FACTOR, mode="bicubic", antialias=True).clamp(-1, 1)
    blurred = F.avg_pool2d(F.pad(low, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    low = torch.lerp(low, blurred, max(0.0, float(torch.rand(1, generator=generator)) - 0.6))
    return low.unflatten(0, (len(pixels), -1)).transpose(1, 2)


class BaseMakes:
    """What the base net makes of a real clip: noise of a moderate level added, taken away again in one call.

    So the super-resolution net is taught the base's own blur and wrong colours beside the picture that was meant (our choice).
    """

    def __init__(self, unet: UNet2DConditionModel, alphas_cumprod: Float[Tensor, " t"], unshuffle: int, texts: CaptionStates, most: int = 600):
        self.unet, self.alphas_cumprod, self.codec, self.texts, self.most = unet.eval(), alphas_cumprod, UnshuffleCodec(unshuffle), texts, most

    @torch.no_grad()
    def __call__(self, low: Float[Tensor, "b 3 f h w"], captions: list[str], generator: torch.Generator) -> Float[Tensor, "b 3 f h w"]:
        coded = self.codec.encode(low)
        timestep = torch.randint(self.most, (len(low),), generator=generator)
        noisy = add_noise(coded, torch.randn(coded.shape, generator=generator), timestep, self.alphas_cumprod)
        states, mask = self.texts.draw(captions, 0.0, generator)
        made = self.unet(noisy[:, :, 0], timestep, states, encoder_attention_mask=mask).sample[:, :, None]
        return self.codec.decode(made).clamp(-1, 1)


def draw_pairs(pictures: Pictures, sprites: Tensor, base: Degrade, config: UpscalerConfig, generator: torch.Generator) -> Pair:
    """Crops at full and at low resolution, and their captions: of world pictures, and of what the base makes."""
    side = config.crop * FACTOR
    count = config.batch - round(config.from_preview * config.batch)
    drawn, captions = pictures.draw(count, generator)
    if torch.rand(1, generator=generator) < 0.5:  # whole scenes as small as the preview base makes them
        drawn = F.avg_pool3d(drawn, (1, 2, 2))
    drawn = crop(drawn, side, generator)
    low = reduce(drawn, generator)
    scenes = [preview.draw_facts(generator, still=True) for _ in range(config.batch - count)]
    told = [preview.caption(scene) for scene in scenes]
    clean = preview.render(sprites, scenes, torch.rand(len(scenes), 1, generator=generator), BASE_SIDE * FACTOR)
    made = base(F.avg_pool3d(clean, (1, FACTOR, FACTOR)), told, generator)
    both = torch.cat([clean, F.interpolate(made, scale_factor=(1, FACTOR, FACTOR))], 1)
    clean, made = crop(both, side, generator).split(3, 1)
    return torch.cat([drawn, clean]), torch.cat([low, made[..., ::FACTOR, ::FACTOR]]), captions + told


def add_low_noise(low: Tensor, most: float, generator: torch.Generator) -> tuple[Tensor, Float[Tensor, " b"]]:
    """Noise of a level of its own for each, none for every third; and the levels."""
    level = most * torch.rand(len(low), generator=generator) * (torch.rand(len(low), generator=generator) > 1 / 3)
    return low + level.view(-1, 1, 1, 1, 1) * torch.randn(low.shape, generator=generator), level


def draw_steps(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Every other one the last timestep, which has no signal and which few steps begin with; the others anywhere."""
    timestep = torch.randint(steps, (count,), generator=generator)
    return torch.where(torch.rand(count, generator=generator) < 0.5, steps - 1, timestep)


def train_pictures(
    pictures: Pictures, sprites: Float[Tensor, "s 4 h w"], base: Callable[[CaptionStates], Degrade], run: Path, max_minutes: float,
    config: UpscalerConfig = UpscalerConfig(), max_steps: int = 10**9,
) -> int:  # fmt: skip
    """Train the picture net; the averaged one is at `run/unet`. Answers the last step."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(asdict(config), indent=1))
    torch.manual_seed(config.loop.seed)
    unet = build_unet(config).to(memory_format=torch.channels_last)
    codec, scheduler = ResidualCodec(FACTOR, config.gain), build_scheduler()
    texts = CaptionStates(E5TextEncoder(), sorted({*pictures.captions, *preview.all_captions()}), run / "texts.safetensors")
    denoiser, makes = UpscaleDenoiser(unet, scheduler.alphas_cumprod), base(texts)

    def draw_loss(generator: torch.Generator, _step: int) -> Tensor:
        high, low, captions = draw_pairs(pictures, sprites, makes, config, generator)
        low, level = add_low_noise(low, config.most_noise, generator)
        clean = codec.encode(high, low)[:, :, 0].contiguous(memory_format=torch.channels_last)
        states, mask = texts.draw(captions, config.text_dropout, generator)
        condition = Condition(text=states, text_mask=mask, added={LOW: low[:, :, 0]}, class_labels=level * LEVELS)
        timestep = draw_steps(len(clean), scheduler.config.num_train_timesteps, generator)
        noise = torch.randn(clean.shape, generator=generator)
        return clean_loss(lambda noisy, at: denoiser(noisy, at, condition), clean, noise, timestep, scheduler.alphas_cumprod).mean()

    return train(dict(unet.named_parameters()), draw_loss, config.loop, run, max_minutes, max_steps, export=lambda average: export_unet(unet, average, run))


def export_unet(unet: UNet2DConditionModel, average: dict[str, Tensor], run: Path) -> None:
    """The averaged weights in diffusers' own layout."""
    copy = UNet2DConditionModel.from_config(unet.config)
    copy.load_state_dict(average)
    copy.save_pretrained(run / "unet")
