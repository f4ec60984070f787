"""One training step on one process or several, and the state that it moves."""

from __future__ import annotations

import hashlib
import math
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeAlias

import torch
from accelerate import Accelerator, DistributedType
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from openlumiere.models.stunet import fingerprint_of
from openlumiere.train.checkpoint import Checkpoint
from openlumiere.train.config import LoopConfig
from openlumiere.train.muon import Muon


class PowerEMA:
    """Average over about the last tenth of training, however long it is: decay `(1 - 1/n)^(gamma +
    1)` at step n.

    Our choice; the power function of Karras et al. 2024 (EDM2), section 3.1; gamma 6.94 is a
    relative width of 0.1.
    """

    gamma = 6.94

    def __init__(self, parameters: Mapping[str, Tensor]):
        self.average = {name: value.detach().clone() for name, value in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, Tensor], step: int) -> None:
        """`step` counts from 1; the first update copies."""
        weight = 1 - (1 - 1 / step) ** (self.gamma + 1)
        torch._foreach_lerp_(
            list(self.average.values()),
            [parameters[name].detach() for name in self.average],
            weight,
        )


MEMORY = 100  # losses that the median is of
LEAST = 20  # how many there must be before a spike is one


class Guard:
    """Admits steps and counts those it refused. Every process sees the same losses, so all decide
    alike.
    """

    def __init__(self, spike: float, patience: int):
        self.spike = spike
        self.patience = patience
        self.losses: deque[float] = deque(maxlen=MEMORY)
        self.skipped = 0
        self.in_a_row = 0

    def refuses(self, loss: float, norm: float) -> str | None:
        """Why this step is skipped, or None: it may be taken."""
        reason = self._reason(loss, norm)
        if reason is None:
            self.losses.append(loss)
            self.in_a_row = 0
        else:
            self.skipped += 1
            self.in_a_row += 1
        return reason

    def _reason(self, loss: float, norm: float) -> str | None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return "not finite"
        if self.spike and len(self.losses) >= LEAST and loss > self.spike * median(self.losses):
            return "spike"
        return None

    @property
    def exhausted(self) -> bool:
        """Whether too many steps in a row were skipped."""
        return self.in_a_row >= self.patience

    def check(self) -> None:
        """Raises ValueError after `patience` skipped steps in a row."""
        if self.exhausted:
            raise ValueError(
                f"training: expected finite, steady losses, got {self.in_a_row} skipped steps in a"
                " row, lower the learning rate and resume"
            )

    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"losses": list(self.losses), "skipped": self.skipped, "in_a_row": self.in_a_row}

    def restore(self, facts: dict[str, Any]) -> None:
        """Go on from `facts`."""
        self.losses.extend(facts["losses"])
        self.skipped = facts["skipped"]
        self.in_a_row = facts["in_a_row"]
        if self.exhausted:  # whoever resumes after that has changed something
            self.in_a_row = 0


LEVELS = 5  # equal ranges of timesteps whose losses are averaged apart


class Losses(NamedTuple):
    """One loss a sample, and its noise level in [0, 1): 0 nearly clean."""

    loss: Float[Tensor, " b"]
    level: Float[Tensor, " b"]


Average: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage(ABC):
    """What the loop needs to know of a stage. What requires a gradient in `net` trains; all else is
    neither optimised nor averaged.

    `config` is a dataclass that is kept with the run; `frames` of a sample are counted in the
    throughput.
    """

    net: nn.Module
    config: Any = None
    frames: int = 1

    @abstractmethod
    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Draw `count` samples with that CPU generator, and answer their losses under `net`."""

    def move_to(self, position: int) -> None:  # noqa: B027
        """Bring a source that has an order to where `position` samples of the run were drawn."""

    def export(self, average: Average, run: Path) -> None:  # noqa: B027
        """Keep a copy of the averaged weights in the run, where there is use for one."""

    def release(self, average: Average, folder: Path) -> None:
        """Write the averaged weights in half precision, for other machines."""
        raise ValueError(
            f"export: expected a stage that writes weights, got {type(self).__name__}, leave it out"
        )

    def show(self, average: Average, file: Path) -> None:  # noqa: B027
        """Save a picture of samples, where there are any."""


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
        optimizer = build_optimizer(config, list(self.parameters.values()))
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
        """Of the step to come: a linear warm-up, then constant, then perhaps a fall to nothing."""
        return self.config.learning_rate * rate_share(self.config, self.step)

    @property
    def dtype(self) -> torch.dtype:
        """What matrices are multiplied in."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(
            self.accelerator.mixed_precision, torch.float32
        )

    def backward(self) -> float:
        """Gradients of the mean loss over all parts, averaged over processes; answers that loss."""
        accelerator = self.accelerator
        total = torch.zeros((), device=accelerator.device)
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
        self.stage.move_to(number * self.part_size)
        return self.stage.losses(net, self.part_size, torch.Generator().manual_seed(seed))

    def note_levels(self, losses: Losses) -> None:
        """Add losses to the sums of their noise levels."""
        loss = losses.loss.detach().float()
        level = (losses.level * LEVELS).long()
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
        wishes = torch.tensor(float(wish), device=self.accelerator.device)
        return bool(self.accelerator.reduce(wishes, "sum") > 0)

    def average(self) -> Average:
        """The averaged weights, whole; every process must ask for them."""
        return gathered(self.ema.average)

    def checkpoint(self) -> Checkpoint:
        """Whole tensors, so that any number of processes can resume from them; every process must
        ask for it.
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
            "frozen": self.frozen,
        }
        return Checkpoint(step=self.step, groups=groups, facts=facts)

    @cached_property
    def frozen(self) -> str:
        """The fingerprint of what does not train."""
        named = self.stage.net.named_parameters()
        return fingerprint_of({name: value for name, value in named if not value.requires_grad})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint. Raises ValueError for one of another net or another seed."""
        check_seed(checkpoint.facts["config"]["seed"], self.config.seed)
        copy_into(self.parameters, checkpoint.groups["parameters"])
        check_frozen(checkpoint.facts.get("frozen", self.frozen), self.frozen)
        copy_into(self.ema.average, checkpoint.groups["average"])
        restore_moments(self.optimizer, self.parameters, checkpoint.groups["optimizer"])
        self.guard.restore(checkpoint.facts["guard"])
        self.step, self.drawn = checkpoint.step, checkpoint.facts["drawn"]


def rate_share(config: LoopConfig, step: int) -> float:
    """Of the learning rate that the warm-up and the fall leave at this step."""
    warm = min(1.0, (step + 1) / max(config.warmup, 1))
    if step < config.fall_from:
        return warm
    left = (config.fall_to - step) / max(config.fall_to - config.fall_from, 1)
    return warm * max(0.0, left)


def build_optimizer(config: LoopConfig, parameters: list[nn.Parameter]) -> Optimizer:
    """Raises ValueError where the package of a kind is missing, and for Muon and 8 bits over
    shards: their steps are of whole matrices, and of blocks of a whole weight.
    """
    adam: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (0.9, 0.99),
        "weight_decay": config.weight_decay,
    }
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, **adam, foreach=True)
    if config.shard:
        raise ValueError(
            f"optimizer: expected adamw with --shard, got {config.optimizer}, leave one of them out"
        )
    if config.optimizer == "adamw8bit":
        return eight_bits()(parameters, **adam)
    return Muon(parameters, config.learning_rate, weight_decay=config.weight_decay)


def eight_bits() -> Any:
    """The AdamW whose moments are 8-bit numbers in blocks of 256 (Dettmers et al. 2022), by
    bitsandbytes; weights of fewer than 4096 numbers keep 32 bits. Raises ValueError without it.
    """
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise ValueError(
            "optimizer: expected the package bitsandbytes for adamw8bit, got none,"
            " do: pip install 'openlumiere[eightbit]'"
        ) from None
    return AdamW8bit


def check_seed(began: int, seed: int) -> None:
    """Raise ValueError where a run would go on with other data than it began with."""
    if seed != began:
        raise ValueError(
            f"seed: expected {began}, with which this run began, got {seed}, leave it out or name a"
            " new run folder"
        )


def check_frozen(began: str, frozen: str) -> None:
    """Raise ValueError where a run would go on over another frozen net than it began over."""
    if frozen != began:
        raise ValueError(
            f"start: expected the frozen net {began[:12]}, over which this run began, got"
            f" {frozen[:12]}, name the picture net or model that it began with, or a new run folder"
        )


def split_batch(config: LoopConfig, processes: int) -> tuple[int, int]:
    """Parts of a batch and samples of a part."""
    parts = config.parts or processes
    if parts % processes:
        raise ValueError(
            f"parts: expected a multiple of the {processes} processes, got {parts}, name such a"
            " number"
        )
    if config.batch % parts:
        raise ValueError(
            f"batch: expected a multiple of the {parts} parts, got {config.batch}, name such a"
            " number"
        )
    return parts, config.batch // parts


def part_seed(seed: int, number: int) -> int:
    """32 bits, as many as torch's CPU generator takes; one-to-one in `number`, so that no part of a
    run is drawn twice.
    """
    first = int.from_bytes(hashlib.sha256(f"part/{seed}".encode()).digest()[:4])
    return (first + 2654435761 * number) % 2**32


def noise_like(clean: Tensor, generator: torch.Generator) -> Tensor:
    """Normal noise on the device of `clean`, drawn there by a generator that follows the CPU's."""
    if clean.device.type != "cpu":
        generator = torch.Generator(clean.device).manual_seed(
            int(torch.randint(2**62, (1,), generator=generator))
        )
    return torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)


@torch.no_grad()
def copy_into(targets: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy tensors of the same names and shapes. Raises ValueError for others."""
    if targets.keys() != values.keys():
        odd = sorted(targets.keys() ^ values.keys())[0]
        raise ValueError(
            f"training state: expected the parameters of this net, got a difference at {odd}, start"
            " a new run folder"
        )
    for name, target in targets.items():
        if target.shape != values[name].shape:
            raise ValueError(
                f"training state: expected {name} of shape {tuple(target.shape)}, got"
                f" {tuple(values[name].shape)}, start a new run folder"
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
            f"processes: expected plain ones, got {kind}, take it out of accelerate's configuration"
            " and give --shard instead"
        )


def shard(net: nn.Module) -> None:
    """Split what trains over the processes (FSDP2, one group); each keeps all that is frozen."""
    frozen = {value for value in net.parameters() if not value.requires_grad}
    for value in set(net.parameters()) - frozen:
        value.data = value.data.contiguous()  # FSDP2 takes no weights in channels_last
    # ours returns a view, and no loss changes it in place
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    fully_shard(net, ignored_params=frozen)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be split over the processes."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each of them whole."""
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
    return {f"{names[i]}/{key}": value for i, state in states.items() for key, value in flat(state)}


def flat(state: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of one parameter by name; those that bitsandbytes keeps in a dictionary of its
    own by `dictionary/name`, copied, as its tables are shared by all parameters.
    """
    for key, value in state.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}/{name}", tensor.clone()) for name, tensor in value.items())
        else:
            yield key, torch.as_tensor(value)


def restore_moments(
    optimizer: Optimizer, parameters: Mapping[str, Tensor], saved: Mapping[str, Tensor]
) -> None:
    """Give an optimiser back what `flatten_moments` made of it."""
    index = {name: number for number, name in enumerate(parameters)}
    state: dict[int, dict[str, Any]] = {}
    for key, value in saved.items():
        name, moment = key.split("/", 1)
        own = state.setdefault(index[name], {})
        if "/" in moment:
            group, moment = moment.split("/")
            own = own.setdefault(group, {})
        own[moment] = step_of(value) if moment == "step" else placed_as(parameters[name], value)
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def step_of(value: Tensor) -> Tensor | int:
    """A count of steps as its optimiser keeps it: a real number in a tensor, or a whole number."""
    return value if value.is_floating_point() else int(value)
