"""What torch does for a whole clip on the device at hand, measured, beside what a roofline allows:

    python benchmarks/device.py [--device cuda] [--model toys] [--steps 10] [--dtype auto]

All operations of one run (denoising and decoding, no marking or encoding) are counted: sums and
products, bytes read and written, kernels. An operation takes at least its FLOPs at the device's
matrix rate, or its bytes at the memory's rate, and a launch. The rates of the device at hand are
measured. Those of other cards are from data sheets: their rows are predictions, which nobody has
measured, and lower bounds. On a CPU torch has one thread, and seconds are the processor's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from openlumiere import Lumiere
from openlumiere.tasks import Generate

PROMPT = "a rocket moves up on a blue background"
REPEATS = 5  # of a measured rate, the best counts


@dataclass(frozen=True)
class Device:
    """FLOP/s of matrix products in the net's precision, bytes/s of memory, seconds a launch."""

    name: str
    flops: float
    bytes: float
    launch: float


PREDICTED = (
    Device("H100 SXM, 80 GB (data sheet: 989 TFLOP/s, 3.35 TB/s)", 989e12, 3.35e12, 5e-6),
    Device("RTX 4080 Laptop, 12 GB (about 60 TFLOP/s, 432 GB/s)", 60e12, 432e9, 5e-6),
)
"""Dense bfloat16 with float32 sums. The laptop card's rate is 58 multiprocessors of 512 FLOP a
cycle, as the RTX 4090's data sheet implies for each of its own, at 2 GHz. A launch is our guess."""


class Counter(TorchDispatchMode):
    """The FLOPs and bytes of every operation; views cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[tuple[int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if is_view(func):
            return out
        count = flop_registry.get(func._overloadpacket)
        flops = 0 if count is None else count(*args, **kwargs, out_val=out)
        self.work.append((flops, bytes_of([args, kwargs, out])))
        return out

    def seconds(self, device: Device) -> float:
        """The least that this work takes there."""
        return sum(
            max(flops / device.flops, size / device.bytes) + device.launch
            for flops, size in self.work
        )


def is_view(func: Any) -> bool:
    """Whether an operation only looks at its input in another way."""
    aliases = [each.alias_info for each in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def bytes_of(values: Any) -> int:
    """Of all tensors in there."""
    return sum(each.nbytes for each in tree_leaves(values) if isinstance(each, Tensor))


def main() -> None:
    """Count a run, measure another, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", default="toys")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lumiere = Lumiere.from_pretrained(options.model, device=options.device, dtype=options.dtype)
    task = Generate(prompt=PROMPT, steps=options.steps, size=0)
    counter = Counter()
    lumiere.run(Generate(prompt=PROMPT, steps=1, frames=1, size=0))  # the text encoder is opened
    with counter:
        lumiere.run(task)
    measured = timed(lambda: lumiere.run(task), options.device)
    here = rates(options.device, lumiere.base.dtype)
    flops, size = (sum(each) for each in zip(*counter.work, strict=True))
    print(
        f"{options.model}, {options.steps} steps, {lumiere.base.dtype}, torch {torch.__version__}"
    )
    print(f"{flops / 1e12:.2f} TFLOP, {size / 1e9:.0f} GB, {len(counter.work)} kernels\n")
    print("| device | rates | seconds |\n| --- | --- | --- |")
    print(f"| {here.name}, measured | {said(here)} | {measured:.2f} |")
    for each in (here, *PREDICTED):
        print(f"| {each.name}, predicted | {said(each)} | {counter.seconds(each):.3f} |")


def said(device: Device) -> str:
    """A device's rates in a cell."""
    rates = f"{device.flops / 1e12:.3g} TFLOP/s, {device.bytes / 1e9:.0f} GB/s"
    return f"{rates}, {1e6 * device.launch:.1f} us a launch"


def rates(device: str, dtype: torch.dtype) -> Device:
    """What the device at hand does, measured."""
    side = 2048 if device == "cpu" else 8192
    matrix = torch.randn(side, side, device=device).to(dtype)
    large = torch.empty(2**28, dtype=torch.uint8, device=device)
    copy = torch.empty_like(large)
    small = torch.zeros(1, device=device)
    name = torch.cuda.get_device_name() if device.startswith("cuda") else "this CPU, one thread"
    return Device(
        name,
        2 * side**3 / best(lambda: matrix @ matrix, device),
        2 * large.nbytes / best(lambda: copy.copy_(large), device),
        best(lambda: [small.add_(1) for _ in range(1000)], device) / 1000,
    )


def best(call: Callable[[], object], device: str) -> float:
    """The least seconds of several calls."""
    return min(seconds_of(call, device))


def seconds_of(call: Callable[[], object], device: str) -> Iterator[float]:
    """Of each of several calls."""
    for _ in range(REPEATS):
        yield timed(call, device)


def timed(call: Callable[[], object], device: str) -> float:
    """Seconds of one call: the processor's on a CPU, else the clock's with all work done."""
    if device == "cpu":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
