"""A published text-to-image model becomes a video model: its U-Net inflated (PAPER: STUNet), all
else as it was, in one folder that `Lumiere.from_pretrained` opens.

Before training its clips are the text-to-image model's own pictures, still.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from openlumiere.engine.base import LumierePipeline
from openlumiere.engine.card import write_card
from openlumiere.engine.model import bytes_of
from openlumiere.models.folder import INDEX, SCHEDULERS, ModelError, read_json
from openlumiere.models.hub import locate
from openlumiere.models.published import read_published
from openlumiere.models.stunet import STUNet

T5 = {"tokenizer": ["T5Tokenizer", "T5TokenizerFast"], "text_encoder": ["T5EncoderModel"]}
CLIP = {"tokenizer": ["CLIPTokenizer", "CLIPTokenizerFast"], "text_encoder": ["CLIPTextModel"]}
UNET = {"unet": ["UNet2DConditionModel"], "scheduler": SCHEDULERS}
PICTURE_MODELS: dict[str, Mapping[str, Sequence[str]]] = {
    "StableDiffusionPipeline": {**UNET, **CLIP, "vae": ["AutoencoderKL"]},
    "StableDiffusionXLPipeline": {
        **UNET,
        **CLIP,
        "vae": ["AutoencoderKL"],
        "tokenizer_2": ["CLIPTokenizer", "CLIPTokenizerFast"],
        "text_encoder_2": ["CLIPTextModelWithProjection"],
    },
    "IFPipeline": {**UNET, **T5},
}
"""What a folder of each text-to-image pipeline holds."""

ADAM = 16  # bytes of a trained number: weight, gradient and two moments, in float32
SHARD = "5GB"
PAPER = 80  # frames of a clip, at 16 a second
SIZES = (128, 256, 512, 1024)  # pixels of a side, from the paper's base net to what it enlarges to


def inflated_pipeline(model: str | Path, dtype: torch.dtype = torch.float32) -> LumierePipeline:
    """A video pipeline around the U-Net of a text-to-image folder, or of `owner/name` on the hub.

    Raises `ModelError`, in one line, for another kind of model and for whatever is wrong with the
    folder.
    """
    folder = locate(model)
    index = read_json(folder / INDEX)
    name = str(index.get("_class_name"))
    if name not in PICTURE_MODELS:
        known = ", ".join(PICTURE_MODELS)
        raise ModelError(f"a text-to-image model of {known}", name, "name a folder of one of these")
    parts = read_published(folder, index, PICTURE_MODELS[name], (), dtype)
    stunet = STUNet.from_unet2d(parts.pop("unet")).eval()
    zeros = bool(index.get("force_zeros_for_empty_prompt", True))
    return LumierePipeline(stunet, **parts, force_zeros_for_empty_prompt=zeros)


def save_inflated(pipeline: LumierePipeline, folder: Path, model: str, name: str) -> None:
    """The pipeline of what was inflated from `model` in diffusers' layout, its weights in files of
    at most 5 GB, with a model card that calls it `name`.
    """
    pipeline.save_pretrained(folder, max_shard_size=SHARD)
    write_card(folder, pipeline, name, base_model=model)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one clip of `frames` frames of `side` pixels costs: FLOPs of one pass, and bytes of
    sampling it with guidance and of a training step on it.
    """

    frames: int
    side: int
    flops: float
    sampling: int
    training: int


def parameter_counts(pipeline: LumierePipeline) -> tuple[int, int]:
    """Numbers that are frozen, and that train."""
    trained = sum(value.numel() for value in pipeline.stunet.temporal_parameters())
    every = sum(value.numel() for value in pipeline.stunet.parameters())
    return every - trained, trained


def costs(pipeline: LumierePipeline) -> list[Cost]:
    """At the native side: 16 frames and the paper's 80; and those 80 at every larger side of the
    paper's that the net takes.
    """
    native = pipeline.backbone.native
    net = copy.deepcopy(pipeline.stunet).to("meta")
    larger = [side for side in SIZES if side > native.side and side % native.multiple == 0]
    sizes = [(16, native.side), (PAPER, native.side), *((PAPER, side) for side in larger)]
    return [cost_of(pipeline, net, frames, side) for frames, side in sizes]


def cost_of(pipeline: LumierePipeline, net: STUNet, frames: int, side: int) -> Cost:
    """Of one size. FLOPs and what training keeps for its backward pass are counted on a net of
    shapes alone, so neither time nor memory is spent; sampling is the backbone's estimate.
    """
    backbone = pipeline.backbone
    channels = backbone.codec.channels
    shape = (channels, *backbone.codec.grid(frames, side, side))

    def one_pass() -> None:
        forward(net, pipeline, shape)

    weights = bytes_of(net)
    trained = sum(value.numel() for value in net.temporal_parameters())
    return Cost(
        frames=frames,
        side=side,
        flops=counted(one_pass),
        sampling=weights + backbone.bytes_for((2, *shape)),
        training=weights + ADAM * trained + kept_bytes(net, one_pass),
    )


def forward(net: STUNet, pipeline: LumierePipeline, shape: tuple[int, ...]) -> Tensor:
    """One pass over one clip on the meta device."""
    config = net.config.unet
    meta = {"device": "meta", "dtype": net.dtype}
    text = torch.empty(1, 77, config["encoder_hid_dim"] or config["cross_attention_dim"], **meta)
    pooled = getattr(pipeline.text, "pooled_dim", None)
    added = None
    if pooled is not None:
        ids = torch.empty(1, 6, **meta)
        added = {"text_embeds": torch.empty(1, pooled, **meta), "time_ids": ids}
    made: Tensor = net(
        torch.empty(1, *shape, **meta),
        torch.zeros(1, device="meta"),
        text,
        added_cond_kwargs=added,
    ).sample
    return made


def counted(run: Callable[[], None]) -> float:
    """FLOPs of matrix products, convolutions and attention."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def kept_bytes(net: nn.Module, run: Callable[[], None]) -> int:
    """Bytes that autograd keeps of a pass, the weights left out, each tensor once."""
    weights = {value.untyped_storage()._cdata for value in net.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()._cdata
        if place not in weights:
            kept[place] = tensor
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def table(pipeline: LumierePipeline, found: Sequence[Cost]) -> list[str]:
    """Parameters and costs, a line each."""
    frozen, trained = parameter_counts(pipeline)
    lines = [
        f"frozen   {frozen / 1e6:10.2f} M parameters of the picture net",
        f"trained  {trained / 1e6:10.2f} M temporal parameters",
        "",
        "frames  side   GFLOP a pass   sampling   training, one clip a step (computed, not run)",
    ]
    for cost in found:
        size = f"{cost.frames:6d} {cost.side:5d} {cost.flops / 1e9:14,.0f}"
        lines.append(f"{size} {gibibytes(cost.sampling)} {gibibytes(cost.training)}")
    return lines


def gibibytes(count: int) -> str:
    """A column of bytes."""
    return f"{count / 2**30:8.1f} GiB"
