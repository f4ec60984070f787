"""Fine-tuning a style from one to five pictures (PAPER: style; after StyleDrop, Sohn et al. 2023):
the picture net alone trains.

Our choices: low-rank adapters (LoRA, by PEFT) on every attention, feed-forward and convolution
layer, or whole weights; the training loss of the net's own prediction; each picture flipped, moved
and zoomed a little, so that the style is learnt rather than the picture.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor, nn
from tqdm import trange

from openlumiere.contract import TIMES
from openlumiere.diffusion.loss import add_noise, signal_and_noise, velocity_weight
from openlumiere.diffusion.process import CONVERSIONS, Flow, VariancePreserving, process_of
from openlumiere.engine.base import LumierePipeline
from openlumiere.media import Clip
from openlumiere.media.alpha import opaque
from openlumiere.models.codec import premultiplied, straight
from openlumiere.models.lora import AdapterConfig, sort_tensors
from openlumiere.models.style import Style
from openlumiere.models.text import mean_state
from openlumiere.tasks.values import Learning

LAYERS = (
    r".*(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|net\.0\.proj|net\.2"
    r"|conv1|conv2|conv_in|conv_out)"
)
MARGIN = 1.15  # how much larger than the net's frame a picture is, to be cut from
SMOOTHING = 0.95  # of the loss that is shown
FIT_LEVELS = 8  # noise levels at which a picture is compared with its prompt, our choice
FIT_RANGE = (0.3, 0.9)  # of the net's timesteps: below, no prompt matters; above, nothing is seen

logger = logging.getLogger("openlumiere")
report = logging.getLogger("openlumiere.report")


class Examples(NamedTuple):
    """Pictures a little larger than the net's frame, in [-1, 1] and with alpha where the codec has
    some, the text of each, and no text.
    """

    pictures: Float[Tensor, "n c side side"]
    text: Float[Tensor, "n tokens d"]
    text_mask: Bool[Tensor, "n tokens"]
    no_text: Float[Tensor, "1 no_tokens d"]
    no_text_mask: Bool[Tensor, "1 no_tokens"]


def learn(
    base: LumierePipeline,
    pictures: Sequence[Clip],
    name: str,
    prompts: Sequence[str],
    learning: Learning,
) -> Style:
    """The style of these pictures; `prompts` say what each shows (one for all; without any the
    style's name).

    Logs the loss at the start and at the end, and warns of a picture that its prompt does not
    describe: then the subject is learnt as part of the style. Raises ValueError for a model with
    two text encoders, and where the loss is not finite.
    """
    if base.text_encoder_2 is not None:
        raise ValueError(
            "model: expected one with one text encoder, got two, "
            "learn the style elsewhere and give it as a LoRA file"
        )
    described = list(prompts) or [name]
    each = described * (len(pictures) // len(described))
    examples = prepare(base, pictures, each)
    if prompts:
        warn_of_misfits(base, examples, each)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(learning.seed)
        unet = trainable_copy(base, learning)
        fit(unet, base, examples, learning)
    return to_style(unet, base, name, learning)


def prepare(base: LumierePipeline, pictures: Sequence[Clip], prompts: list[str]) -> Examples:
    """Pictures cut to squares and encoded prompts, on the pipeline's device."""
    side = round(MARGIN * base.native_size)
    has_alpha = base.codec.colours == 4
    squares = [middle_square(as_tensor(picture, has_alpha)) for picture in pictures]
    sized = torch.cat([resized(square, side) for square in squares])
    text = base.text.encode(prompts)
    no_text = base.text.encode([""])
    return Examples(
        sized.to(base.device),
        text.states.to(base.device),
        text.mask.to(base.device),
        no_text.states.to(base.device),
        no_text.mask.to(base.device),
    )


def as_tensor(picture: Clip, has_alpha: bool) -> Float[Tensor, "1 c h w"]:
    """A clip's first frame in [-1, 1], with alpha, or over white where it is transparent."""
    frames = opaque(picture.frames) if has_alpha else picture.over("white").frames
    return torch.from_numpy(frames[0].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def resized(picture: Float[Tensor, "1 c h w"], side: int) -> Float[Tensor, "1 c s s"]:
    """Means of the pixels under each; of colours as far as they are seen."""
    if picture.shape[1] == 3:
        return F.interpolate(picture, (side, side), mode="area")
    return straight(F.interpolate(premultiplied(picture), (side, side), mode="area"))


def middle_square(picture: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c s s"]:
    """The largest square in the middle."""
    height, width = picture.shape[-2:]
    side = min(height, width)
    top = (height - side) // 2
    left = (width - side) // 2
    return picture[..., top : top + side, left : left + side]


def warn_of_misfits(base: LumierePipeline, examples: Examples, prompts: Sequence[str]) -> None:
    """Log a warning for each picture that the net predicts no better with its prompt than without.

    Our choice: the share of the error that the prompt takes away, over the same noise. On the
    bundled weights it was above 0.6 for pictures under their own prompts, and below 0 under others.
    """
    for index, prompt in enumerate(prompts):
        gain = prompt_gain(base, examples, index)
        if gain <= 0:
            logger.warning(
                "learn-style: picture %d does not look like %r to this model (error %+.0f %% by "
                "the prompt), so its subject is learnt as part of the style: say what it shows",
                index + 1,
                prompt,
                -100 * gain,
            )


@torch.no_grad()
def prompt_gain(base: LumierePipeline, examples: Examples, index: int) -> float:
    """The share of the net's error on a picture that its prompt takes away; below 0 it adds."""
    process = process_of(base.scheduler)
    generator = torch.Generator().manual_seed(0)
    first, last = (int(share * steps_of(process)) for share in FIT_RANGE)
    rows = torch.full((FIT_LEVELS,), index)
    clean = coded_crops(base, examples, rows, generator)
    timestep = torch.linspace(first, last, FIT_LEVELS).long().to(clean.device)
    noised = Noised.at(process, clean, timestep, generator)
    errors = []
    for text, mask in (
        (examples.text[rows], examples.text_mask[rows]),
        (examples.no_text.expand(FIT_LEVELS, -1, -1), examples.no_text_mask.expand(FIT_LEVELS, -1)),
    ):
        prediction = predict(base.stunet.unet2d, noised, text, mask)
        errors.append(float((prediction - noised.target).square().mean()))
    return 1 - errors[0] / errors[1]


def trainable_copy(base: LumierePipeline, learning: Learning) -> Any:
    """A float32 copy of the picture net, with adapters that train, or training whole."""
    unet = copy.deepcopy(base.stunet.unet2d).float().train()
    unet.requires_grad_(learning.full)
    if not learning.full:
        unet.add_adapter(
            LoraConfig(r=learning.rank, lora_alpha=learning.rank, target_modules=LAYERS)
        )
    return unet


def fit(unet: nn.Module, base: LumierePipeline, examples: Examples, learning: Learning) -> None:
    """Train what trains of `unet`, in place. Raises ValueError once the loss is not finite."""
    generator = torch.Generator().manual_seed(learning.seed)
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    rate = learning.learning_rate or (1e-4 if learning.full else 1e-3)
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    first = shown = math.nan
    steps = trange(learning.steps, desc="learn-style", unit="step", disable=None, leave=False)
    for step in steps:
        loss = draw_loss(unet, base, examples, learning, generator)
        value = float(loss.detach())
        check_finite(value, step, rate)
        first = value if step == 0 else first
        shown = value if step == 0 else SMOOTHING * shown + (1 - SMOOTHING) * value
        steps.set_postfix(loss=f"{shown:.4f}", refresh=False)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    report.info("learn-style: loss %.4f at first, %.4f at last", first, shown)


def check_finite(loss: float, step: int, rate: float) -> None:
    """Raise ValueError for NaN or infinity: nothing learnt from there on is worth keeping."""
    if not math.isfinite(loss):
        raise ValueError(
            f"learning rate: expected a finite loss, got {loss} at step {step + 1}, "
            f"learn at less than {rate:g}"
        )


def coded_crops(
    base: LumierePipeline, examples: Examples, rows: Tensor, generator: torch.Generator
) -> Float[Tensor, "b c h w"]:
    """The pictures `rows`, each cut anew, as the net sees them."""
    crops = random_crops(examples.pictures[rows], base.native_size, generator)
    return base.codec.encode(crops[:, :, None])[:, :, 0]


class Noised(NamedTuple):
    """A batch of coded pictures under noise, and what the net should predict."""

    noisy: Float[Tensor, "b c h w"]
    timestep: Int64[Tensor, " b"]
    target: Float[Tensor, "b c h w"]

    @classmethod
    def at(
        cls,
        process: VariancePreserving | Flow,
        clean: Float[Tensor, "b c h w"],
        timestep: Int64[Tensor, " b"],
        generator: torch.Generator,
    ) -> Noised:
        """`clean` under noise drawn for these timesteps."""
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        if isinstance(process, Flow):
            noisy = process.level(timestep).noised(clean, noise)
            return cls(noisy, timestep, noise - clean)
        noisy = add_noise(clean, noise, timestep, process)
        alpha, sigma = signal_and_noise(timestep, process, clean.ndim)
        target = CONVERSIONS[process.kind](clean, noisy, alpha, sigma, "sample")
        return cls(noisy, timestep, target)


def predict(unet: nn.Module, noised: Noised, text: Tensor, mask: Tensor) -> Tensor:
    """The net's own prediction in float32, without the channels beyond the picture's."""
    dtype = next(unet.parameters()).dtype
    config: Any = unet.config
    classes = mean_state(text, mask) if config.class_embed_type == "projection" else None
    output = unet(
        noised.noisy.to(dtype),
        noised.timestep,
        text.to(dtype),
        class_labels=None if classes is None else classes.to(dtype),
        encoder_attention_mask=mask,
    ).sample
    return output[:, : noised.target.shape[1]].float()


def draw_loss(
    unet: nn.Module,
    base: LumierePipeline,
    examples: Examples,
    learning: Learning,
    generator: torch.Generator,
) -> Tensor:
    """The error of the net's prediction on a drawn batch, weighted as in training where it predicts
    the clean picture.
    """
    process = process_of(base.scheduler)
    rows = torch.randint(len(examples.pictures), (learning.batch,), generator=generator)
    clean = coded_crops(base, examples, rows, generator)
    timestep = torch.randint(steps_of(process), (learning.batch,), generator=generator)
    noised = Noised.at(process, clean, timestep.to(clean.device), generator)
    text, mask = texts_of(examples, rows, learning.text_dropout, generator)
    prediction = predict(unet, noised, text, mask)
    error = (prediction - noised.target).square().flatten(1).mean(1)
    if isinstance(process, VariancePreserving) and process.kind == "sample":
        error = error * velocity_weight(noised.timestep, process)
    return error.mean()


def steps_of(process: VariancePreserving | Flow) -> int:
    """How many timesteps a net was trained at; a flow is sampled at whole ones here."""
    return TIMES if isinstance(process, Flow) else process.steps


def random_crops(
    pictures: Float[Tensor, "b c side side"], side: int, generator: torch.Generator
) -> Float[Tensor, "b c s s"]:
    """A square of each, `side` wide: a little smaller or as large, flipped half of the time."""
    crops = []
    for picture in pictures:
        size = int(torch.randint(side, picture.shape[-1] + 1, (1,), generator=generator))
        top = int(torch.randint(picture.shape[-1] - size + 1, (1,), generator=generator))
        left = int(torch.randint(picture.shape[-1] - size + 1, (1,), generator=generator))
        part = picture[None, :, top : top + size, left : left + size]
        crop = resized(part, side)
        flipped = torch.rand(1, generator=generator) < 0.5
        crops.append(crop.flip(-1) if flipped else crop)
    return torch.cat(crops)


def texts_of(
    examples: Examples, rows: Tensor, dropout: float, generator: torch.Generator
) -> tuple[Float[Tensor, "b tokens d"], Bool[Tensor, "b tokens"]]:
    """Text states and mask of these pictures, some without text."""
    text = examples.text[rows].clone()
    mask = examples.text_mask[rows].clone()
    dropped = torch.rand(len(rows), generator=generator) < dropout
    mask[dropped] = False
    length = examples.no_text.shape[1]
    text[dropped, :length] = examples.no_text
    mask[dropped, :length] = examples.no_text_mask
    return text, mask


def to_style(unet: nn.Module, base: LumierePipeline, name: str, learning: Learning) -> Style:
    """What was learnt, as a style for the net it was learnt on."""
    fingerprint = base.stunet.fingerprint()
    if learning.full:
        full = {key: value.detach().cpu() for key, value in unet.named_parameters()}
        return Style(name, {}, full, fingerprint)
    found = get_peft_model_state_dict(unet, adapter_name="default")
    factors = {key: value.detach().float().cpu() for key, value in found.items()}
    config = AdapterConfig(lora_alpha=float(learning.rank))
    return Style(name, *sort_tensors(factors, config), fingerprint)
