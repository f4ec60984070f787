"""What a run is told: frozen values, printed and saved as JSON with the run and each checkpoint.

All numbers here are our choice: the paper discloses neither optimiser nor batch, schedule or steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How any stage is trained.

    `batch` samples a step, over all processes, are drawn in `parts`: each part has a random
    generator of its own and is computed at once by one process. So `parts` above the number of
    processes is gradient accumulation, and the same parts on more or fewer processes are the same
    run. None is one part a process.
    """

    learning_rate: float = 8e-4
    batch: int = 16
    parts: int | None = None
    warmup: int = 100  # steps
    clip_norm: float = 1.0
    weight_decay: float = 0.01
    spike: float = (
        10.0  # a loss over this many times the median of the last hundred is skipped; 0 is off
    )
    patience: int = 10  # skipped steps in a row that stop the run
    save_minutes: float = 3.0
    keep: int = 3  # checkpoints
    log_every: int = 20  # steps
    show_every: int = 1000  # steps between two pictures of samples; 0 is off
    count_work: bool = True  # measure FLOPs of a step and the device's matrix rate at the start
    shard: bool = (
        False  # keep each trained weight, its average and moments on one process only (FSDP2)
    )
    seed: int = 0
    device: str = "cpu"  # cpu, or cuda: the one that accelerate gives to this process


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """A picture net on unshuffled pixels: pictures of `side` pixels, squares of `unshuffle` x
    `unshuffle` as channels.

    `low_noise` above 1 draws more of the nearly clean timesteps, below 1 fewer.
    """

    side: int = 32
    unshuffle: int = 2
    widths: tuple[int, ...] = (64, 96, 128)
    layers: int = 1
    text_dropout: float = 0.1
    low_noise: float = 1.2
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass(frozen=True, kw_only=True)
class VideoConfig:
    """Clips of `frames` native frames, every `stride`-th of them: a low rate first, then every
    frame.
    """

    frames: int = 80
    stride: int = 5
    attention_blocks: tuple[int, int, int] = (2, 4, 2)
    text_dropout: float = 0.1
    low_noise: float = 0.7
    unknown: float = 0.3  # of conditional training: share of clips of which nothing is known
    path_spacing: int = 1  # native frames apart that the model's clips find their path on (`diffusion/sparse_first.py`); 1 is every frame
    checkpointing: bool = False  # less memory, a third more work
    loop: LoopConfig = field(default_factory=LoopConfig)


@dataclass(frozen=True, kw_only=True)
class UpscalerConfig:
    """Super-resolution by four: the paper says of its net only that it is inflated, too.

    One of `frames` trains the picture net, more train the temporal parameters of its inflation.
    """

    widths: tuple[int, ...] = (48, 64)
    text_width: int = 64
    gain: float = 8.0  # brings the residual of cartoons to about unit variance
    frames: int = 1
    drawn: int = 600  # pictures or clips of the whole world; `from_base` of that number of the preset's scope, too
    crop: int = 16  # low-resolution pixels of a side
    from_base: float = 0.4  # share of samples that are scenes such as the base makes
    most_noise: float = (
        0.25  # standard deviation of what is added to low-resolution pixels in [-1, 1]
    )
    text_dropout: float = 0.3
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(learning_rate=1.5e-3, batch=8, warmup=50)
    )


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The stages of one model, and the scope of the world (`data.world.scope.SCOPES`) that it
    learns.
    """

    scope: str
    image: ImageConfig
    video: VideoConfig
    conditional: VideoConfig
    upscaler: UpscalerConfig
    upscaler_video: UpscalerConfig


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
        image=ImageConfig(loop=LoopConfig(learning_rate=1e-3, batch=16)),
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
            loop=LoopConfig(learning_rate=8e-4, batch=512, warmup=500),
        ),
        video=WORLD_64,
        conditional=small_steps(WORLD_64),
        upscaler=UPSCALER,
        upscaler_video=UPSCALER_VIDEO,
    ),
    "tiny": Preset(
        scope="world-32",
        image=ImageConfig(side=32, unshuffle=8, widths=(16, 32), loop=TINY.loop),
        video=TINY,
        conditional=small_steps(TINY),
        upscaler=TINY_UPSCALER,
        upscaler_video=replace(TINY_UPSCALER, frames=3),
    ),
}
