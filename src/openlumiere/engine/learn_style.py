"""Learning a style from one to five pictures (PAPER: style; after StyleDrop, Sohn et al. 2023): the
picture net alone is fine-tuned.

Our choices: low-rank adapters (PEFT) on every attention, feed-forward and convolution layer, or in
full; the training loss of the net's own prediction; each picture flipped, moved and zoomed a
little, so that the style is learnt rather than the picture.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor, nn
from tqdm import tqdm

from openlumiere.diffusion.loss import add_noise, signal_and_noise, velocity_weight
from openlumiere.diffusion.process import CONVERSIONS, VariancePreserving
from openlumiere.engine.base import LumierePipeline
from openlumiere.engine.inputs import Given
from openlumiere.models.lora import AdapterConfig, sort_tensors
from openlumiere.models.style import Style
from openlumiere.tasks.values import Learning

LAYERS = r".*(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|net\.0\.proj|net\.2|conv1|conv2|conv_in|conv_out)"
ROOM = 1.15  # how much larger than the net's frame a picture is, to be cut from


class Lesson(NamedTuple):
    """Pictures `n 3 h w` in [-1, 1], a little larger than the net's frame, and the text of each."""

    pictures: Tensor
    text: Tensor
    text_mask: Tensor
    no_text: Tensor
    no_text_mask: Tensor


def learn(
    base: LumierePipeline,
    pictures: Sequence[Given],
    name: str,
    prompts: Sequence[str],
    learning: Learning,
) -> Style:
    """The style of these pictures; `prompts` say what each shows (one for all; without any the
    style's name).
    """
    if base.text_encoder_2 is not None:
        raise ValueError(
            "model: expected one with one text encoder, got two, learn the style elsewhere and give it as a LoRA file"
        )
    prompts = list(prompts) or [name]
    lesson = prepare(base, pictures, prompts * (len(pictures) // len(prompts)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(learning.seed)
        unet = pupil(base, learning)
        study(unet, base, lesson, learning)
    return graded(unet, base, name, learning)


def prepare(base: LumierePipeline, pictures: Sequence[Given], prompts: list[str]) -> Lesson:
    side = round(ROOM * base.native_size)
    tensors = [
        torch.from_numpy(given.content.over("white").frames[0].copy())
        .permute(2, 0, 1)[None]
        .float()
        / 127.5
        - 1
        for given in pictures
    ]
    sized = torch.cat(
        [F.interpolate(middle_square(tensor), (side, side), mode="area") for tensor in tensors]
    )
    text, no_text = base.text.encode(prompts), base.text.encode([""])
    return Lesson(
        *(
            tensor.to(base.device)
            for tensor in (sized, text.states, text.mask, no_text.states, no_text.mask)
        )
    )


def middle_square(picture: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 s s"]:
    height, width = picture.shape[-2:]
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    return picture[..., y : y + side, x : x + side]


def pupil(base: LumierePipeline, learning: Learning) -> nn.Module:
    """A copy of the picture net with what will train."""
    unet = copy.deepcopy(base.stunet.unet2d).float().train()
    unet.requires_grad_(learning.full)
    if not learning.full:
        unet.add_adapter(
            LoraConfig(r=learning.rank, lora_alpha=learning.rank, target_modules=LAYERS)
        )
    return unet


def study(unet: nn.Module, base: LumierePipeline, lesson: Lesson, learning: Learning) -> None:
    generator = torch.Generator().manual_seed(learning.seed)
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters,
        lr=learning.learning_rate or (1e-4 if learning.full else 1e-3),
        weight_decay=0.01,
    )
    for _ in tqdm(range(learning.steps), desc="learn-style", unit="step", disable=None):
        loss = draw_loss(unet, base, lesson, learning, generator)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()


def draw_loss(
    unet: nn.Module,
    base: LumierePipeline,
    lesson: Lesson,
    learning: Learning,
    generator: torch.Generator,
) -> Tensor:
    """The error of the net's prediction on a drawn batch, weighted as in training where it predicts
    the clean picture.
    """
    process = VariancePreserving(base.scheduler)
    rows = torch.randint(len(lesson.pictures), (learning.batch,), generator=generator)
    clean = base.codec.encode(cut(lesson.pictures[rows], base.native_size, generator)[:, :, None])[
        :, :, 0
    ]
    timestep = torch.randint(process.steps, (learning.batch,), generator=generator).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    noisy = add_noise(clean, noise, timestep, process)
    alpha, sigma = signal_and_noise(timestep, process, clean.ndim)
    target = CONVERSIONS[process.kind](clean, noisy, alpha, sigma, "sample")
    text, mask = tell(lesson, rows, learning.text_dropout, generator)
    prediction = unet(noisy, timestep, text, encoder_attention_mask=mask).sample[
        :, : clean.shape[1]
    ]
    error = (prediction - target).square().flatten(1).mean(1)
    if process.kind == "sample":
        error = error * velocity_weight(timestep, process)
    return error.mean()


def cut(
    pictures: Float[Tensor, "b 3 H W"], side: int, generator: torch.Generator
) -> Float[Tensor, "b 3 h w"]:
    """A square of each, from anywhere, every other one flipped."""
    parts = []
    for picture in pictures:
        size = int(torch.randint(side, picture.shape[-1] + 1, (1,), generator=generator))
        y, x = (
            int(torch.randint(picture.shape[-1] - size + 1, (1,), generator=generator))
            for _ in range(2)
        )
        part = F.interpolate(
            picture[None, :, y : y + size, x : x + size], (side, side), mode="area"
        )
        parts.append(part.flip(-1) if torch.rand(1, generator=generator) < 0.5 else part)
    return torch.cat(parts)


def tell(
    lesson: Lesson, rows: Tensor, dropout: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Text states and mask of these pictures, some without text."""
    text, mask = lesson.text[rows].clone(), lesson.text_mask[rows].clone()
    silent = torch.rand(len(rows), generator=generator) < dropout
    mask[silent] = False
    length = lesson.no_text.shape[1]
    text[silent, :length], mask[silent, :length] = lesson.no_text, lesson.no_text_mask
    return text, mask


def graded(unet: nn.Module, base: LumierePipeline, name: str, learning: Learning) -> Style:
    """What was learnt, as a style for the net it was learnt on."""
    if learning.full:
        full = {key: value.detach().cpu() for key, value in unet.named_parameters()}
        return Style(name, {}, full, base.stunet.fingerprint())
    factors = {
        key: value.detach().float().cpu()
        for key, value in get_peft_model_state_dict(unet, adapter_name="default").items()
    }
    config = AdapterConfig(lora_alpha=float(learning.rank))
    return Style(name, *sort_tensors(factors, config), base.stunet.fingerprint())
