"""One training step on one process or several, and the state that it moves."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from accelerate import Accelerator, DistributedType
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from openlumiere.train.checkpoint import Checkpoint
from openlumiere.train.config import LoopConfig
from openlumiere.train.ema import PowerEMA
from openlumiere.train.guard import Guard

LEVELS = 5  # equal ranges of timesteps that losses are told apart by


class Losses(NamedTuple):
    """One loss a sample, and its noise level in [0, 1): 0 nearly clean."""

    loss: Float[Tensor, " b"]
    level: Float[Tensor, " b"]


DrawLosses: TypeAlias = Callable[[nn.Module, int, torch.Generator], Losses]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the loop needs to know of a stage. What requires a gradient in `net` trains; all else is
    neither optimised nor averaged.

    `losses(net, count, generator)` draws `count` samples with that CPU generator and answers their
    losses. Of the averaged weights `export(average, run)` keeps a copy in the run,
    `release(average, folder)` writes the fp16 one that leaves the machine, and `show(average,
    file)` makes a picture of samples. `frames` of a sample are counted in the throughput.
    """

    net: nn.Module
    losses: DrawLosses
    export: Callable[[dict[str, Tensor], Path], None] | None = None
    release: Callable[[dict[str, Tensor], Path], None] | None = None
    show: Callable[[dict[str, Tensor], Path], None] | None = None
    frames: int = 1


class Outcome(NamedTuple):
    """Of one step, alike on every process: mean loss, gradient norm, and why it was skipped, if it
    was.
    """

    loss: float
    norm: float
    skipped: str | None


class Trainer:
    """A net in training, the same on every process: its weights, average, optimiser and position.

    The position is the number of parts drawn so far; what a part holds is a function of the seed
    and its number alone.
    """

    def __init__(self, stage: Stage, config: LoopConfig):
        self.stage, self.config = stage, config
        self.accelerator = Accelerator(cpu=config.device == "cpu")
        check_processes(self.accelerator)
        self.parts, self.part_size = split_batch(config, self.accelerator.num_processes)
        stage.net.to(self.accelerator.device)
        self.sharded = config.shard and self.accelerator.num_processes > 1
        if self.sharded:
            shard(stage.net)
        self.parameters = {
            name: value for name, value in stage.net.named_parameters() if value.requires_grad
        }
        optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            foreach=True,
        )
        self.net = self.accelerator.prepare_model(
            stage.net, evaluation_mode=self.sharded
        )  # then gradients are averaged by the shards
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.ema = PowerEMA(self.parameters)
        self.guard = Guard(config.spike, config.patience)
        self.step = self.drawn = 0
        self.level_sums = torch.zeros(
            2, LEVELS, device=self.accelerator.device
        )  # losses and their number

    def take_step(self) -> Outcome:
        """Draw a batch, update weights and average; a refused step leaves both as they were."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        loss = self.backward()
        norm = float(
            whole(self.accelerator.clip_grad_norm_(self.parameters.values(), self.config.clip_norm))
        )
        skipped = self.guard.refuses(loss, norm)
        self.step += 1
        if skipped is None:
            self.optimizer.step()
            self.ema.update(self.parameters, self.step)
        self.optimizer.zero_grad()
        return Outcome(loss, norm, skipped)

    @property
    def learning_rate(self) -> float:
        """Of the step to come: a linear warm-up, then constant."""
        return self.config.learning_rate * min(1.0, (self.step + 1) / max(self.config.warmup, 1))

    @property
    def dtype(self) -> torch.dtype:
        """What matrices are multiplied in."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(
            self.accelerator.mixed_precision, torch.float32
        )

    def backward(self) -> float:
        """Gradients of the mean loss over all parts, averaged over processes; answers that loss."""
        accelerator, total = self.accelerator, torch.zeros((), device=self.accelerator.device)
        mine = range(accelerator.process_index, self.parts, accelerator.num_processes)
        for part in mine:
            with nullcontext() if part == mine[-1] else accelerator.no_sync(self.net):
                losses = self.part_losses(self.net, self.drawn + part)
                loss = losses.loss.mean() / len(mine)
                accelerator.backward(loss)
            total += loss.detach()
            self.note_levels(losses)
        self.drawn += self.parts
        return float(accelerator.reduce(total, "mean"))

    def part_losses(self, net: nn.Module, number: int) -> Losses:
        """Losses of the part of this number. The global generators are seeded too, for layers that
        draw (dropout).
        """
        seed = part_seed(self.config.seed, number)
        torch.manual_seed(seed)
        return self.stage.losses(net, self.part_size, torch.Generator().manual_seed(seed))

    def note_levels(self, losses: Losses) -> None:
        loss, level = losses.loss.detach().float(), (losses.level * LEVELS).long()
        finite = loss.isfinite()
        self.level_sums[0].index_add_(0, level[finite], loss[finite])
        self.level_sums[1].index_add_(0, level[finite], torch.ones_like(loss[finite]))

    def take_levels(self) -> list[float | None]:
        """Mean loss by noise level since the last call, over all processes."""
        sums, counts = self.accelerator.reduce(self.level_sums.clone(), "sum").tolist()
        self.level_sums.zero_()
        return [total / count if count else None for total, count in zip(sums, counts)]

    def agree(self, wish: bool) -> bool:
        """Whether any process wishes it."""
        if self.accelerator.num_processes == 1:
            return wish
        return bool(
            self.accelerator.reduce(
                torch.tensor(float(wish), device=self.accelerator.device), "sum"
            )
            > 0
        )

    def average(self) -> dict[str, Tensor]:
        """The averaged weights, whole; every process must ask for them."""
        return gathered(self.ema.average)

    def checkpoint(self) -> Checkpoint:
        """Whole tensors, so that any number of processes goes on from them; every process must ask
        for it.
        """
        groups = {
            "parameters": gathered(self.parameters),
            "average": self.average(),
            "optimizer": gathered(flatten_moments(self.optimizer, list(self.parameters))),
        }
        facts = {
            "drawn": self.drawn,
            "guard": self.guard.facts(),
            "processes": self.accelerator.num_processes,
            "config": asdict(self.config),
        }
        return Checkpoint(step=self.step, groups=groups, facts=facts)

    def restore(self, checkpoint: Checkpoint) -> None:
        copy_into(self.parameters, checkpoint.groups["parameters"])
        copy_into(self.ema.average, checkpoint.groups["average"])
        restore_moments(self.optimizer, self.parameters, checkpoint.groups["optimizer"])
        self.guard.restore(checkpoint.facts["guard"])
        self.step, self.drawn = checkpoint.step, checkpoint.facts["drawn"]


def split_batch(config: LoopConfig, processes: int) -> tuple[int, int]:
    """Parts of a batch and samples of a part."""
    parts = config.parts or processes
    if parts % processes:
        raise ValueError(
            f"parts: expected a multiple of the {processes} processes, got {parts}, name such a number"
        )
    if config.batch % parts:
        raise ValueError(
            f"batch: expected a multiple of the {parts} parts, got {config.batch}, name such a number"
        )
    return parts, config.batch // parts


def part_seed(seed: int, number: int) -> int:
    """32 bits, as many as torch's CPU generator takes; one-to-one in `number`, so that no part of a
    run is drawn twice.
    """
    first = int.from_bytes(hashlib.sha256(f"part/{seed}".encode()).digest()[:4])
    return (first + 2654435761 * number) % 2**32


def noise_like(clean: Tensor, generator: torch.Generator) -> Tensor:
    """Normal noise drawn on the device of `clean`, by a generator there that follows the CPU one."""
    if clean.device.type != "cpu":
        generator = torch.Generator(clean.device).manual_seed(
            int(torch.randint(2**62, (1,), generator=generator))
        )
    return torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)


@torch.no_grad()
def copy_into(targets: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    if targets.keys() != values.keys():
        odd = sorted(targets.keys() ^ values.keys())[0]
        raise ValueError(
            f"training state: expected the parameters of this net, got a difference at {odd}, start a new run folder"
        )
    for name, target in targets.items():
        if target.shape != values[name].shape:
            raise ValueError(
                f"training state: expected {name} of shape {tuple(target.shape)}, got {tuple(values[name].shape)}, start a new run folder"
            )
        target.copy_(placed_as(target, values[name]))


def check_processes(accelerator: Accelerator) -> None:
    """Accelerate's own sharding would take the parameters from under the average and the
    checkpoints.
    """
    if accelerator.distributed_type in (
        DistributedType.FSDP,
        DistributedType.DEEPSPEED,
        DistributedType.MEGATRON_LM,
    ):
        kind = accelerator.distributed_type.value
        raise ValueError(
            f"processes: expected plain ones, got {kind}, take it out of accelerate's configuration and give --shard instead"
        )


def shard(net: nn.Module) -> None:
    """Split what trains over the processes (FSDP2, one group); what is frozen stays whole on each."""
    for value in (value for value in net.parameters() if value.requires_grad):
        value.data = value.data.contiguous()  # FSDP2 takes no weights in channels_last
    warnings.filterwarnings(
        "ignore", message="FSDP2-wrapped module .* returned a view"
    )  # ours does, and no loss changes it in place
    fully_shard(
        net, ignored_params={value for value in net.parameters() if not value.requires_grad}
    )


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be split over the processes."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: whole(value.detach()) for name, value in tensors.items()}


def placed_as(target: Tensor, value: Tensor) -> Tensor:
    """`value`, or of it what this process holds of `target`."""
    if not isinstance(target, DTensor):
        return value
    return distribute_tensor(
        value.to(target.device), target.device_mesh, target.placements, src_data_rank=None
    )


def flatten_moments(optimizer: Optimizer, names: list[str]) -> dict[str, Tensor]:
    """`parameter/moment -> tensor`, in the order of `names` (the optimiser's own order)."""
    states = optimizer.state_dict()["state"]
    return {
        f"{names[i]}/{key}": torch.as_tensor(value)
        for i, state in states.items()
        for key, value in state.items()
    }


def restore_moments(
    optimizer: Optimizer, parameters: dict[str, Tensor], flat: dict[str, Tensor]
) -> None:
    index = {name: number for number, name in enumerate(parameters)}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        name, moment = key.rsplit("/", 1)
        state.setdefault(index[name], {})[moment] = (
            value if moment == "step" else placed_as(parameters[name], value)
        )
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
