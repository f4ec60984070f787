"""Text-to-image training: the small picture U-Net that is later frozen and inflated (the paper's first stage)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from openlumiere.data.world import slice as world
from openlumiere.diffusion.loss import clean_loss, draw_timesteps
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.text import E5TextEncoder, TextEncoder
from openlumiere.train.loop import LoopConfig, train

CODEC_FACTOR = 2
SIDE = 32
TEXTS = "texts.safetensors"


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """A picture net on unshuffled pixels. `low_noise` above 1 draws more of the nearly clean timesteps."""

    widths: tuple[int, ...] = (64, 96, 128)
    layers: int = 1
    batch: int = 32
    text_dropout: float = 0.1
    low_noise: float = 1.5
    loop: LoopConfig = field(default_factory=LoopConfig)


def build_unet(config: ImageConfig) -> UNet2DConditionModel:
    """A plain diffusers U-Net: text cross-attention everywhere but at full resolution."""
    attended = len(config.widths) - 1
    codec = UnshuffleCodec(CODEC_FACTOR)
    return UNet2DConditionModel(
        sample_size=SIDE // codec.factor, in_channels=codec.channels, out_channels=codec.channels,
        block_out_channels=config.widths, layers_per_block=config.layers,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * attended),
        up_block_types=(*["CrossAttnUpBlock2D"] * attended, "UpBlock2D"),
        cross_attention_dim=E5TextEncoder.dim, attention_head_dim=tuple(width // 32 for width in config.widths), norm_num_groups=16,
    )  # fmt: skip


def build_scheduler() -> DDIMScheduler:
    """Zero terminal signal, so that plain backgrounds of any colour can be made (our choice)."""
    return DDIMScheduler(
        beta_schedule="linear", rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="sample", clip_sample=False
    )


class CaptionStates:
    """Token states of every caption of the world, computed once and kept in `file`; row 0 is the empty prompt."""

    def __init__(self, encoder: TextEncoder, captions: list[str], file: Path):
        self.row = {caption: index for index, caption in enumerate(["", *captions])}
        key = hashlib.sha256("\n".join(self.row).encode()).hexdigest()
        if not file.is_file() or read_metadata(file).get("captions") != key:
            encoded = encoder.encode(list(self.row))
            save_file({"states": encoded.states, "mask": encoded.mask}, file, metadata={"captions": key})
        kept = load_file(file)
        self.states, self.mask = kept["states"], kept["mask"]

    def draw(self, captions: list[str], dropout: float, generator: torch.Generator) -> tuple[Float[Tensor, "b n d"], Tensor]:
        """States and mask [b, n]; each caption is replaced by the empty prompt with probability `dropout`."""
        rows = torch.tensor([self.row[caption] for caption in captions])
        rows[torch.rand(len(captions), generator=generator) < dropout] = 0
        longest = int(self.mask[rows].sum(1).max())
        return self.states[rows, :longest], self.mask[rows, :longest]


def read_metadata(file: Path) -> dict[str, str]:
    with safe_open(file, framework="pt") as opened:
        return opened.metadata() or {}


def train_image(sprites: Float[Tensor, "s 4 h w"], run: Path, max_minutes: float, config: ImageConfig = ImageConfig(), max_steps: int = 10**9) -> int:
    """Train on pictures of the world slice; the averaged net is at `run/unet`. Answers the last step."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(asdict(config), indent=1))
    torch.manual_seed(config.loop.seed)
    unet = build_unet(config).to(memory_format=torch.channels_last)
    codec, scheduler = UnshuffleCodec(CODEC_FACTOR), build_scheduler()
    texts = CaptionStates(E5TextEncoder(), world.all_captions(), run / TEXTS)

    def draw_loss(generator: torch.Generator, _step: int) -> Tensor:
        scenes = [world.draw_facts(generator, still=True) for _ in range(config.batch)]
        progress = torch.rand(config.batch, 1, generator=generator)
        clean = codec.encode(world.render(sprites, scenes, progress, SIDE))[:, :, 0]
        states, mask = texts.draw([world.caption(scene) for scene in scenes], config.text_dropout, generator)
        timestep = draw_timesteps(config.batch, scheduler.config.num_train_timesteps, config.low_noise, generator)
        noise = torch.randn(clean.shape, generator=generator)

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            noisy = noisy.contiguous(memory_format=torch.channels_last)
            return unet(noisy, timestep, states, encoder_attention_mask=mask).sample

        return clean_loss(predict, clean, noise, timestep, scheduler.alphas_cumprod).mean()

    return train(dict(unet.named_parameters()), draw_loss, config.loop, run, max_minutes, max_steps, export=lambda average: export_unet(unet, average, run))


def export_unet(unet: UNet2DConditionModel, average: dict[str, Tensor], run: Path) -> None:
    """The averaged weights in diffusers' own layout."""
    copy = UNet2DConditionModel.from_config(unet.config)
    copy.load_state_dict(average)
    copy.save_pretrained(run / "unet")
