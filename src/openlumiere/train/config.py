"""How a run is configured: frozen values, printed and saved as JSON with the run and each
checkpoint. This file imports no torch, so that the command's help is there at once.

All numbers here are our choice: the paper discloses neither optimiser nor batch, schedule or steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

NEVER = 10**9  # a step that no run reaches


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How any stage is trained.

    `batch` samples a step, over all processes, are drawn in `parts`: each part has a random
    generator of its own and is computed at once by one process. So `parts` above the number of
    processes is gradient accumulation, and the same parts on more or fewer processes are the same
    run.
    """

    learning_rate: float = 8e-4
    """Peak learning rate."""
    batch: int = 16
    """Pictures or clips a step, over all processes."""
    parts: int | None = None
    """Parts that a batch is computed in, a multiple of the processes (one each)."""
    warmup: int = 100
    """Steps of linear warm-up."""
    fall_from: int = NEVER
    """Step from which on the learning rate falls in a straight line."""
    fall_to: int = NEVER
    """Step at which it is nothing, and the run ends."""
    optimizer: Literal["adamw", "adamw8bit", "muon"] = "adamw"
    """adamw8bit keeps its moments in 8 bits (bitsandbytes); muon takes orthogonal steps for
    matrices and kernels, and AdamW's for all else.
    """
    clip_norm: float = 1.0
    """The most that the norm of the gradients may be."""
    weight_decay: float = 0.01
    """Of AdamW."""
    spike: float = 10.0
    """A loss over this many times the median of the last hundred is skipped; 0 is off."""
    patience: int = 10
    """Skipped steps in a row that stop the run."""
    save_minutes: float = 3.0
    """Between checkpoints."""
    keep: int = 3
    """Checkpoints that stay."""
    log_every: int = 20
    """Steps between lines of the log."""
    show_every: int = 1000
    """Steps between pictures of samples; 0 is never."""
    wandb: Literal["no", "offline", "online"] = "no"
    """Log to Weights & Biases, too: offline into the run's folder, or online to the account that
    `wandb login` keeps.
    """
    count_work: bool = True
    """Measure FLOPs of a step and the device's matrix rate at the start."""
    plan: bool = True
    """Before the run, compute one sample to say what memory and time it will take, and refuse what
    does not fit.
    """
    shard: bool = False
    """With several processes: keep each trained weight, its average and its moments on one of them
    only (FSDP2).
    """
    seed: int = 0
    """Of the weights and of the data."""
    device: Literal["cpu", "cuda"] = "cpu"
    """cuda is the one that accelerate gives to this process."""


CODEC_LOOP = LoopConfig(
    learning_rate=2e-3,
    batch=16,
    weight_decay=0.0,
    show_every=500,
    count_work=False,
    optimizer="muon",
)
PICTURE_LOOP = LoopConfig(learning_rate=1e-3, batch=32, count_work=False, optimizer="muon")
LATENT_CLIP_LOOP = LoopConfig(learning_rate=1e-3, batch=4, count_work=False, optimizer="muon")


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """A picture net on unshuffled pixels."""

    side: int = 32
    """Pixels of a picture's side."""
    unshuffle: int = 2
    """Squares of so many pixels a side become the channels of one place."""
    widths: tuple[int, ...] = (64, 96, 128)
    """Channels of the net's levels."""
    layers: int = 1
    """Blocks a level."""
    text_dropout: float = 0.1
    """Share of captions that become the empty prompt, for guidance."""
    low_noise: float = 1.2
    """Above 1 more of the nearly clean timesteps are drawn, below 1 fewer."""
    clip_frames: float = 0.0
    """Share of pictures that are frames of clips, under the clip's caption (decision 12)."""
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """Clips of `frames` native frames, every `stride`-th of them: a low rate first, then every
    frame.
    """

    frames: int = 80
    """Native frames (of 1/16 s) that a clip spans."""
    stride: int = 5
    """Native frames between two that are trained on; 1 trains on all."""
    attention_blocks: tuple[int, int, int] = (2, 4, 2)
    """Temporal attention blocks on the way down, in the middle and on the way up."""
    text_dropout: float = 0.1
    """Share of captions that become the empty prompt, for guidance."""
    low_noise: float = 0.7
    """Above 1 more of the nearly clean timesteps are drawn, below 1 fewer."""
    unknown: float = 0.3
    """Of conditional training: share of clips of which nothing is known, as in text to video."""
    path_spacing: int = 1
    """Native frames apart that the model's clips find their path on (`diffusion/wrappers.py`);
    1 is every frame.
    """
    checkpointing: bool = False
    """Less memory for a third more work."""
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass(frozen=True, kw_only=True)
class UpscalerConfig:
    """Super-resolution by four: the paper says of its net only that it is inflated, too.

    One of `frames` trains the picture net, more train the temporal parameters of its inflation.
    """

    widths: tuple[int, ...] = (48, 64)
    """Channels of the net's levels."""
    text_width: int = 64
    """Channels of its cross-attention to the text."""
    gain: float = 8.0
    """Brings the residual of cartoons to about unit variance."""
    frames: int = 1
    """Frames of a clip."""
    drawn: int = 600
    """Pictures or clips drawn at 256 px before training, and kept in the run; `from_base` of that
    number of the preset's scope, too.
    """
    crop: int = 16
    """Low-resolution pixels of a crop's side."""
    from_base: float = 0.4
    """Share of samples that are scenes such as the base makes."""
    most_noise: float = 0.25
    """Standard deviation of the most noise that low-resolution pixels in [-1, 1] are given."""
    text_dropout: float = 0.3
    """Share of captions that become the empty prompt."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(learning_rate=1.5e-3, batch=8, warmup=50)
    )


RANGES: dict[str, tuple[float, float]] = {
    "batch": (1, 10**6),
    "clip_frames": (0, 1),
    "clip_norm": (0, 10**6),
    "crop": (1, 64),
    "drawn": (1, 10**6),
    "every_frame": (0, 1),
    "fall_from": (0, NEVER),
    "fall_to": (1, NEVER),
    "frames": (1, 10**5),
    "from_base": (0, 1),
    "gain": (0.01, 1000),
    "guidance": (0, 100),
    "keep": (1, 1000),
    "kept": (1, 1024),
    "layers": (1, 16),
    "known_blocks": (0, 16),
    "learning_rate": (0, 10),
    "log_every": (1, 10**9),
    "low_noise": (0.01, 100),
    "most_noise": (0, 10),
    "parts": (1, 10**6),
    "path_spacing": (1, 16),
    "patience": (1, 10**6),
    "save_minutes": (0, 10**9),
    "rank": (1, 1024),
    "seed": (0, 2**62),
    "shift": (0.01, 100),
    "show_every": (0, 10**9),
    "side": (8, 1024),
    "spike": (0, 10**9),
    "steps": (1, 100),
    "stride": (1, 16),
    "teacher_steps": (1, 100),
    "text_dropout": (0, 1),
    "text_width": (8, 4096),
    "unknown": (0, 1),
    "unshuffle": (1, 64),
    "warmup": (0, 10**9),
    "weight_decay": (0, 10),
}
"""Least and greatest value of every number above, by its name."""


def check_config(config: Any) -> None:
    """Raise ValueError for the first number of a configuration, or of one inside it, that is out of
    its range.
    """
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            check_config(value)
        elif entry.name in RANGES and value is not None:
            check_number(entry.name, value)


def check_number(name: str, value: float) -> None:
    """Raise ValueError where a value is out of its range, or no number."""
    low, high = RANGES[name]
    if not low <= value <= high:
        raise ValueError(
            f"{name.replace('_', ' ')}: expected {low:g} to {high:g}, got {value:g}, choose one in"
            " between"
        )


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """An autoencoder of RGBA frames. All our choice; the weights of the loss's terms are in levels
    of [0, 1].
    """

    latent_channels: int = 16
    """Channels of a latent place, which stands for 8 x 8 pixels."""
    widths: tuple[int, int, int] = (32, 64, 128)
    """Channels at a half, a quarter and an eighth of the side."""
    encoder_blocks: tuple[int, int, int] = (0, 2, 2)
    """Residual blocks at those levels."""
    decoder_blocks: tuple[int, int, int] = (1, 4, 4)
    """The decoder's."""
    noise: float = 0.05
    """Deviation of what is added to latents before they are decoded, so that small errors of the
    net that makes them are small errors in the picture.
    """
    absolute: float = 1.0
    """Weight of the mean absolute error."""
    root: float = 1.0
    """Of the root of each frame's mean squared error: what the PSNR is of."""
    edges: float = 0.5
    """Of the mean absolute error of differences between neighbours."""
    latent_size: float = 1e-3
    """Of the mean square of latents, so that they stay at unit deviation by themselves."""
    bf16: bool = True
    """Multiply in bfloat16."""
    loop: LoopConfig = CODEC_LOOP


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """A picture net on latents. All our choice: attention to text and places at 8 x 8 alone, where
    it is cheap.
    """

    widths: tuple[int, ...] = (128, 224)
    """Channels of the net's levels."""
    layers: int = 1
    """Blocks a level."""
    head_width: int = 32
    """Channels of an attention head."""
    text_dropout: float = 0.1
    """Share of captions that become the empty prompt, for guidance."""
    time_mean: float = 0.3
    """Mean of the normal numbers that become times."""
    time_shift: float = 2.0
    """Moves times towards noise: t -> s t / (1 + (s - 1) t)."""
    bf16: bool = True
    """Multiply in bfloat16."""
    loop: LoopConfig = PICTURE_LOOP


@dataclass(frozen=True, kw_only=True)
class LatentClipConfig:
    """The temporal part of a picture net on latents. All our choice."""

    stride: int = 5
    """Native frames between two of the coded clips; 1 is every frame."""
    attention_blocks: tuple[int, int, int] = (1, 2, 1)
    """Temporal attention blocks on the way down, in the middle and on the way up."""
    place_positions: bool = True
    """They know where in the frame a place is, so that left and right can be told apart."""
    text_dropout: float = 0.1
    """Share of captions that become the empty prompt, for guidance."""
    time_mean: float = 0.3
    """Mean of the normal numbers that become times."""
    time_shift: float = 12.0
    """Moves times towards noise, further than for pictures: sixteen frames tell a subject's path
    under four times their noise, and what moves where is decided before that (our choice; at 4 no
    direction was learnt).
    """
    conditional: bool = False
    """The net also reads what is known of a clip: one net for every task."""
    unknown: float = 0.3
    """Then, share of clips of which nothing is known, as in text to video."""
    known_blocks: int = 2
    """And blocks of the branch that brings what is known to the output."""
    bf16: bool = True
    """Multiply in bfloat16."""
    loop: LoopConfig = LATENT_CLIP_LOOP


@dataclass(frozen=True, kw_only=True)
class LoraTraining:
    """Low-rank factors beside the layers of a frozen net."""

    rank: int = 16
    """Of the factors."""
    adapt: Literal["attention", "linear"] = "attention"
    """Which layers: projections of attention, or those of feed-forward layers, too."""
    text_dropout: float = 0.1
    """Share of captions that become the empty prompt, for guidance."""
    prompts: tuple[str, ...] = ()
    """Validation prompts, whose clips are shown in the run's `samples` every `--show-every` steps;
    the first captions when none are given. The first four are made.
    """
    checkpointing: bool = False
    """Less memory for a third more work."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            learning_rate=1e-3, batch=1, warmup=20, count_work=False, show_every=500
        )
    )


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Low-rank factors that make a clip in a few steps without guidance. All our choice."""

    steps: int = 4
    """Of the student."""
    shift: float = 4.0
    """Moves the student's levels towards noise, where the model is a flow: the last of four then
    lies at 0.57, where a model of a path (`path_until`) looks at every frame.
    """
    guidance: float = 3.0
    """Of the teacher."""
    teacher_steps: int = 2
    """Of the teacher within one of the student's."""
    stride: int = 5
    """Native frames between two of the clips that a path is found on."""
    frames: int = 16
    """Of such a clip; of one of every frame there are twice as many."""
    every_frame: float = 0.3
    """Share of batches of clips of every frame, which are learnt where a model of a path looks at
    every frame.
    """
    unknown: float = 0.5
    """Share of clips of which nothing is known, for a net that reads what is known."""
    rank: int = 8
    """Of the factors."""
    kept: int = 4
    """The rank of what is written: the greatest singular values of what they add to each layer."""
    bf16: bool = True
    """Multiply in bfloat16."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(learning_rate=1e-3, batch=4, count_work=False)
    )


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The stages of one model, and the scope of the sticker world that it learns."""

    scope: str
    codec: CodecConfig = field(default_factory=CodecConfig)
    image: ImageConfig
    video: VideoConfig
    conditional: VideoConfig
    upscaler: UpscalerConfig
    upscaler_video: UpscalerConfig
    lora: LoraTraining = field(default_factory=LoraTraining)
    distill: DistillConfig = field(default_factory=DistillConfig)


def small_steps(config: VideoConfig) -> VideoConfig:
    """Conditional training fine-tunes: the same clips at half the learning rate."""
    return replace(config, loop=replace(config.loop, learning_rate=config.loop.learning_rate / 2))


WORLD_32 = VideoConfig(path_spacing=5, loop=LoopConfig(learning_rate=8e-4, batch=8))
WORLD_64 = VideoConfig(
    stride=1,
    attention_blocks=(1, 3, 1),
    loop=LoopConfig(learning_rate=6e-4, batch=64, warmup=500, save_minutes=5),
)
TINY = VideoConfig(
    frames=8,
    stride=2,
    attention_blocks=(1, 1, 1),
    loop=LoopConfig(batch=2, warmup=2, log_every=1, show_every=0, count_work=False),
)
UPSCALER = UpscalerConfig()
UPSCALER_VIDEO = UpscalerConfig(
    frames=8, drawn=300, loop=LoopConfig(learning_rate=8e-4, batch=4, warmup=50)
)
TINY_UPSCALER = UpscalerConfig(widths=(16, 32), text_width=16, drawn=3, crop=8, loop=TINY.loop)

PRESETS = {
    "world-32": Preset(
        scope="world-32",
        image=ImageConfig(clip_frames=0.5, loop=LoopConfig(learning_rate=1e-3, batch=16)),
        video=WORLD_32,
        conditional=small_steps(WORLD_32),
        upscaler=UPSCALER,
        upscaler_video=UPSCALER_VIDEO,
    ),
    "world-64": Preset(
        scope="world-64",
        image=ImageConfig(
            side=64,
            unshuffle=2,
            widths=(64, 64, 96, 128),
            clip_frames=0.5,
            loop=LoopConfig(learning_rate=8e-4, batch=512, warmup=500),
        ),
        video=WORLD_64,
        conditional=small_steps(WORLD_64),
        upscaler=UPSCALER,
        upscaler_video=UPSCALER_VIDEO,
    ),
    "tiny": Preset(
        scope="world-32",
        codec=CodecConfig(
            widths=(8, 16, 16), encoder_blocks=(0, 1, 1), decoder_blocks=(0, 1, 1), loop=TINY.loop
        ),
        image=ImageConfig(side=32, unshuffle=8, widths=(16, 32), loop=TINY.loop),
        video=TINY,
        conditional=small_steps(TINY),
        upscaler=TINY_UPSCALER,
        upscaler_video=replace(TINY_UPSCALER, frames=3),
    ),
}
