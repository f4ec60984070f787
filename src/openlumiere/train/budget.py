"""What a run will take, from one sample of it: memory, seconds a step, samples a day.

The sample is computed forward and backward, twice, and thrown away. Memory is that of what trains
(weights, gradients, moments, average), of what is frozen, and of the tensors that the backward pass
keeps, which grow with the samples computed at once, and a share more (`BESIDE`) for what a step
holds for moments only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from openlumiere.engine.memory import free_memory, gigabytes
from openlumiere.train.step import Trainer, part_seed
from openlumiere.train.work import timed

DAY = 24 * 60 * 60
# peak of a real run a sample, over what its backward pass keeps: 112 MB to 87 MB for the temporal
# part of the bundled model (`pytest -m long tests/train/test_training_budget.py`)
BESIDE = 1.3
MOMENTS = {
    "adamw": 2,
    "adamw8bit": 0.5,
    "muon": 1,
}  # that the optimiser keeps, in bytes a byte of weights


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Bytes are of one process, whose share of the batch is computed `part` samples at once, in
    `parts` over all processes. `sample` are bytes that one more sample at once takes; `held` is
    allocated already, `free` is what the run may still take.
    """

    frozen: int
    weights: int
    gradients: int
    moments: int
    average: int
    sample: int
    seconds: float  # of one sample, forward and backward
    part: int
    parts: int
    processes: int
    resumed: bool  # the moments are there already
    free: int

    @property
    def needed(self) -> int:
        """Bytes at the peak of a step, of one process."""
        return self.held + self.coming + self.part * self.sample

    @property
    def held(self) -> int:
        """Bytes that are allocated before the first step."""
        return self.frozen + self.weights + self.average + self.resumed * self.moments

    @property
    def coming(self) -> int:
        """Bytes that the first step allocates, however small a part is."""
        return self.gradients + (not self.resumed) * self.moments

    @property
    def most(self) -> int:
        """Samples at once that fit."""
        left = self.free - self.coming
        return max(left // max(self.sample, 1), 0)

    @property
    def step_seconds(self) -> float:
        """Seconds of a step at most: several samples at once are quicker than one after another."""
        return self.seconds * self.part * self.parts / self.processes

    @property
    def samples_a_day(self) -> float:
        """Samples at least that all processes see in a day."""
        return DAY * self.part * self.parts / max(self.step_seconds, 1e-9)

    def check(self) -> None:
        """Raise ValueError where a step does not fit, naming what would."""
        if self.part > self.most:
            raise self.refusal()

    def refusal(self) -> ValueError:
        """The error of a step that does not fit."""
        return ValueError(
            f"memory: expected a step within the {gigabytes(self.held + self.free)} that are there,"
            f" got {gigabytes(self.needed)} with {self.part} samples at once, {self.remedy()}"
        )

    def remedy(self) -> str:
        """What would fit."""
        batch = self.part * self.parts
        choices = range(self.parts, batch + 1, self.processes)
        fitting = [count for count in choices if batch % count == 0 and batch // count <= self.most]
        if fitting:
            return f"give --parts {fitting[0]} ({batch // fitting[0]} at once)"
        return (
            "give --checkpointing if the stage has it, clips of fewer frames or a smaller side, or"
            " lumiere train lora, which trains far fewer weights"
        )

    def in_words(self, sample: str) -> str:
        """Two lines for a person; `sample` is what is drawn: clips, pictures."""
        parts = {
            "frozen": self.frozen,
            "weights": self.weights,
            "gradients": self.gradients,
            "moments": self.moments,
            "average": self.average,
            f"{self.part} {sample} at once": self.part * self.sample,
        }
        of = ", ".join(f"{name} {amount(size)}" for name, size in parts.items() if size)
        several = f" for each of {self.processes} processes" if self.processes > 1 else ""
        return (
            f"memory {amount(self.needed)}{several}: {of}; {amount(self.free)} are free\n"
            f"time   about {self.step_seconds:.2g} s a step of {self.part * self.parts} {sample},"
            f" {self.samples_a_day:,.0f} a day"
        )


def budget_of(trainer: Trainer) -> Budget:
    """The budget of a run that has not begun, by a sample of it. All processes must ask for it
    together. Raises ValueError where not even a sample fits.
    """
    device, processes = trainer.accelerator.device, trainer.accelerator.num_processes
    weights = sum(value.nbytes for value in trainer.parameters.values())
    own = weights // processes if trainer.sharded else weights
    budget = Budget(
        frozen=sum(value.nbytes for value in stored(trainer.stage.net)) - weights,
        weights=own,
        gradients=own,
        moments=int(MOMENTS[trainer.config.optimizer] * own),
        average=own,
        sample=0,
        seconds=0.0,
        part=trainer.part_size,
        parts=trainer.parts,
        processes=processes,
        resumed=trainer.step > 0,
        free=free_memory(device) // (processes if device.type == "cpu" else 1),
    )
    if budget.coming > budget.free:
        raise replace(budget, sample=budget.free).refusal()
    try:
        kept = sample_bytes(trainer)
        seconds = timed(lambda: sample_once(trainer), device)
    except torch.OutOfMemoryError:
        raise replace(budget, sample=budget.free).refusal() from None
    trainer.optimizer.zero_grad()
    return replace(budget, sample=int(BESIDE * kept), seconds=seconds)


def sample_bytes(trainer: Trainer) -> int:
    """Bytes that the backward pass of one sample keeps, each storage once, weights left out."""
    known = {local(value).untyped_storage().data_ptr() for value in stored(trainer.stage.net)}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        sample_once(trainer)
    return sum(kept.values())


def sample_once(trainer: Trainer) -> None:
    """Forward and backward of the run's first sample."""
    seed = part_seed(trainer.config.seed, 0)
    torch.manual_seed(seed)
    trainer.stage.move_to(0)
    losses = trainer.stage.losses(trainer.stage.net, 1, torch.Generator().manual_seed(seed))
    losses.loss.mean().backward()


def stored(net: nn.Module) -> list[Tensor]:
    """All weights and buffers of a net."""
    return [*net.parameters(), *net.buffers()]


def amount(count: int) -> str:
    """Bytes, as people read them."""
    return gigabytes(count) if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
