"""`LumierePipeline`: prompts (and what is known) to clips at the base model's size, in diffusers' habits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from openlumiere.diffusion.denoiser import Condition, Denoiser, NetDenoiser, Timestep
from openlumiere.diffusion.guidance import guide, threshold
from openlumiere.diffusion.known import Known
from openlumiere.diffusion.sample import Step, draw_noise, sample
from openlumiere.models.codec import Codec, UnshuffleCodec, VAECodec
from openlumiere.models.stunet import STUNet
from openlumiere.models.text import E5TextEncoder, TextEncoder, TransformersTextEncoder

NATIVE_RATE = Fraction(16)  # frames a second, as every clip the paper's authors published
CHECKSUMS = "checksums.json"
COMPONENTS = {  # the only classes that a model folder may name
    "stunet": {"STUNet": STUNet},
    "scheduler": {name: getattr(diffusers, name) for name in (
        "DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "UniPCMultistepScheduler", "LCMScheduler", "PNDMScheduler",
    )},
    "vae": {"AutoencoderKL": diffusers.AutoencoderKL},
    "tokenizer": {name: getattr(transformers, name) for name in ("CLIPTokenizer", "CLIPTokenizerFast", "T5Tokenizer", "T5TokenizerFast")},
    "text_encoder": {name: getattr(transformers, name) for name in ("CLIPTextModel", "T5EncoderModel")},
}  # fmt: skip


@dataclass
class LumierePipelineOutput(BaseOutput):
    """`frames`: uint8 [b, f, h, w, 3]."""

    frames: UInt8[np.ndarray, "b f h w 3"]


class LumierePipeline(DiffusionPipeline):
    """A Space-Time U-Net with its scheduler, text encoder and codec.

    Without `text_encoder` the carried multilingual encoder is used; without `vae` clips are pixels, unshuffled by `unshuffle`.
    """

    model_cpu_offload_seq = "text_encoder->stunet->vae"
    _optional_components = ["tokenizer", "text_encoder", "vae"]

    def __init__(self, stunet: STUNet, scheduler, tokenizer=None, text_encoder=None, vae=None, unshuffle: int = 1):
        super().__init__()
        self.register_modules(stunet=stunet, scheduler=scheduler, tokenizer=tokenizer, text_encoder=text_encoder, vae=vae)
        self.register_to_config(unshuffle=unshuffle)
        self.codec: Codec = VAECodec(vae) if vae is not None else UnshuffleCodec(unshuffle)
        self.text: TextEncoder = TransformersTextEncoder(tokenizer, text_encoder) if text_encoder is not None else E5TextEncoder()

    @property
    def native_size(self) -> int:
        """Side in pixels that the net was trained at."""
        return self.stunet.config.unet["sample_size"] * self.codec.factor

    @torch.no_grad()
    def __call__(
        self, prompt: str | list[str], negative_prompt: str = "", *, seeds: int | list[int] = 0, num_frames: int = 80,
        height: int | None = None, width: int | None = None, frame_rate: Fraction = NATIVE_RATE, num_inference_steps: int = 20,
        guidance_scale: float = 3.0, guidance_rescale: float = 0.0, known: Known | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> LumierePipelineOutput:  # fmt: skip
        """One clip a prompt, or one a seed when there is one prompt.

        Sides default to the trained size and must divide by the codec's factor. `known` lies in pixels [-1, 1], its mask is 1
        where the content is given. Each sample has its own seed, so neighbours in a batch change it by rounding alone.
        """
        prompts, seeds = pair(prompt, seeds)
        shape = self.coded_shape(num_frames, height or self.native_size, width or self.native_size)
        condition = self.condition(prompts, num_frames, frame_rate, known)
        unconditional = self.condition([negative_prompt] * len(prompts), num_frames, frame_rate, known)
        denoiser = self.guided(NetDenoiser(self.stunet), unconditional, guidance_scale, guidance_rescale)
        return LumierePipelineOutput(frames=self.run(denoiser, condition, shape, seeds, num_inference_steps, on_step))

    @torch.no_grad()
    def picture(
        self, prompt: str | list[str], negative_prompt: str = "", *, seeds: int | list[int] = 0, height: int | None = None,
        width: int | None = None, num_inference_steps: int = 20, guidance_scale: float = 3.0, guidance_rescale: float = 0.0,
        on_step: Callable[[Step], None] | None = None,
    ) -> LumierePipelineOutput:  # fmt: skip
        """Clips of one frame by the frozen picture net alone; arguments as for clips."""
        prompts, seeds = pair(prompt, seeds)
        shape = self.coded_shape(1, height or self.native_size, width or self.native_size)
        unconditional = self.condition([negative_prompt] * len(prompts), 1, NATIVE_RATE)
        denoiser = self.guided(PictureDenoiser(self.stunet.unet2d), unconditional, guidance_scale, guidance_rescale)
        condition = self.condition(prompts, 1, NATIVE_RATE)
        return LumierePipelineOutput(frames=self.run(denoiser, condition, shape, seeds, num_inference_steps, on_step))

    def run(
        self, denoiser: Denoiser, condition: Condition, shape: tuple[int, ...], seeds: list[int], steps: int,
        on_step: Callable[[Step], None] | None,
    ) -> UInt8[np.ndarray, "b f h w 3"]:  # fmt: skip
        """Noise of each seed, denoised, decoded."""
        noise = draw_noise(shape, seeds).to(self.device, self.stunet.dtype)
        for step in sample(denoiser, self.scheduler, noise, condition, steps=steps, seeds=seeds):
            if on_step is not None:
                on_step(step)
        return to_frames(self.codec.decode(step.noisy))

    def coded_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """`c f h w` of one clip as the net sees it."""
        factor = self.codec.factor
        if height % factor or width % factor:
            raise ValueError(f"size: expected sides that divide by {factor}, got {width}x{height}, choose the nearest that do")
        return self.codec.channels, frames, height // factor, width // factor

    def condition(self, prompts: list[str], frames: int, frame_rate: Fraction, known: Known | None = None) -> Condition:
        """Token states of the prompts, the moments of the frames in native frames, and what is known, coded."""
        text = self.text.encode(prompts)
        times = torch.arange(frames) * float(NATIVE_RATE / frame_rate)
        condition = Condition(text=text.states, text_mask=text.mask, known=known, frame_times=times)
        return condition.to(self.device, self.stunet.dtype)

    def guided(self, net: Denoiser, unconditional: Condition, scale: float, rescale: float = 0.0) -> Denoiser:
        """The net under guidance; a pixel net's clean clip is clipped to [-1, 1] as the original cascade's are (Imagen)."""
        guided = guide(net, unconditional, scale, rescale=rescale)
        return guided if self.vae is not None else threshold(guided, self.scheduler.config.prediction_type, self.scheduler.alphas_cumprod, quantile=None)

    def fingerprint(self) -> str:
        """sha256 over every weight of the net, by name: what a replay must agree with."""
        digest = hashlib.sha256()
        for name, value in sorted(self.stunet.state_dict().items()):
            digest.update(name.encode() + bytes(str(value.dtype), "ascii"))
            digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def save_pretrained(self, folder: str | Path, max_shard_size: str = "15MB") -> None:
        """diffusers' layout, safetensors only, and the sha256 of every file, which loading checks."""
        folder = Path(folder)
        super().save_pretrained(folder, safe_serialization=True, max_shard_size=max_shard_size)
        sums = {str(file.relative_to(folder)): file_sha256(file) for file in weight_files(folder)}
        (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1, sort_keys=True) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path, torch_dtype: torch.dtype = torch.float32) -> LumierePipeline:
        """Load a folder in diffusers' layout. Only known classes, only safetensors, no code, no network."""
        folder = Path(folder)
        index = read_index(folder)
        check_files(folder)
        parts = {name: load_component(folder, name, index.get(name), torch_dtype) for name in COMPONENTS}
        return cls(**parts, unshuffle=index.get("unshuffle", 1))


class PictureDenoiser:
    """The frozen picture net as a denoiser of one-frame clips."""

    def __init__(self, unet: diffusers.UNet2DConditionModel):
        self.unet = unet

    def __call__(self, noisy: Float[Tensor, "b c 1 h w"], timestep: Timestep, condition: Condition) -> Float[Tensor, "b c 1 h w"]:
        condition = condition.to(noisy.device, self.unet.dtype)
        picture = noisy[:, :, 0].to(self.unet.dtype)
        return self.unet(picture, timestep, condition.text, encoder_attention_mask=condition.text_mask).sample.float()[:, :, None]


def pair(prompt: str | list[str], seeds: int | list[int]) -> tuple[list[str], list[int]]:
    """Prompts and seeds of one length."""
    seeds = [seeds] if isinstance(seeds, int) else list(seeds)
    prompts = [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt)
    if len(seeds) == 1 and len(prompts) > 1:
        seeds = [seeds[0] + index for index in range(len(prompts))]
    if len(prompts) != len(seeds):
        raise ValueError(f"seeds: expected one a prompt, got {len(seeds)} for {len(prompts)} prompts, pass a list of that length")
    return prompts, seeds


def to_frames(pixels: Float[Tensor, "b 3 f h w"]) -> UInt8[np.ndarray, "b f h w 3"]:
    """[-1, 1] to the nearest of 256 levels."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return rearrange(levels, "b c f h w -> b f h w c").cpu().numpy()


def weight_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".json", ".safetensors") and path.name != CHECKSUMS)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_index(folder: Path) -> dict:
    """`model_index.json`, checked to be a Lumiere pipeline's."""
    path = folder / "model_index.json"
    if not path.is_file():
        raise ValueError(f"model: expected {path}, got no such file, name a folder written by save_pretrained")
    index = read_json(path)
    if index.get("_class_name") != "LumierePipeline":
        raise ValueError(f"model: expected a LumierePipeline, got {index.get('_class_name')}, name a folder of this kind")
    return index


def read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"model: expected JSON in {path}, got {error}, fetch the folder again") from None
    if not isinstance(content, dict):
        raise ValueError(f"model: expected a JSON object in {path}, got {type(content).__name__}, fetch the folder again")
    return content


def check_files(folder: Path) -> None:
    """Every file of a folder that carries checksums is there and unchanged, and none is a pickle."""
    pickles = [path.name for path in folder.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".py")]
    if pickles:
        raise ValueError(f"model: expected safetensors and JSON only, got {pickles[0]}, convert the weights to safetensors first")
    if not (folder / CHECKSUMS).is_file():
        return
    for name, expected in read_json(folder / CHECKSUMS).items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"model: expected the file {name}, got none in {folder}, fetch the folder again")
        if file_sha256(path) != expected:
            raise ValueError(f"model: expected the recorded sha256 of {name}, got another, fetch the folder again")


def load_component(folder: Path, name: str, entry: list | None, dtype: torch.dtype):
    """One component of an allow-listed class, or None where the index has none."""
    if not entry or entry[1] is None:
        return None
    kinds = COMPONENTS[name]
    if entry[1] not in kinds:
        raise ValueError(f"model: expected one of {', '.join(kinds)} for {name}, got {entry[1]}, convert the model first")
    options = {"torch_dtype": dtype, "use_safetensors": True} if name in ("stunet", "vae", "text_encoder") else {}
    try:
        return kinds[entry[1]].from_pretrained(folder / name, local_files_only=True, **options)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"model: expected {name} to load from {folder}, got {reason}, fetch the folder again") from None
