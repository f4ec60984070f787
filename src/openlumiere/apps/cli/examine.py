"""The checks of `lumiere doctor`: device, memory and versions, whether text encoder and weights are
intact, and what a run takes.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import torch

from openlumiere.apps.cli.doctor import Doctor
from openlumiere.apps.cli.loading import check_device, load
from openlumiere.backbones.registry import Published, is_ours
from openlumiere.engine.finish import PACKAGES
from openlumiere.engine.lumiere import Lumiere
from openlumiere.engine.memory import cascade_memory, free_memory, gigabytes
from openlumiere.engine.model import PublishedModel
from openlumiere.engine.offload import sizes_of, ways
from openlumiere.engine.offload import weigh as weighed
from openlumiere.engine.plan import written_side
from openlumiere.models.e5 import check_e5, e5_path
from openlumiere.models.hub import locate
from openlumiere.tasks import Generate, Length, Sampling


def examine(options: Doctor) -> int:
    """Print what is found, a line each; 1 where something is not well."""
    run = Generate(
        prompt="a run to weigh",
        length=Length(frames=options.frames),
        size=options.size,
        sampling=Sampling(steps=options.steps),
    )
    check_device(options.device)
    device = torch.device(options.device)
    report("device", ", ".join([options.device, f"{torch.get_num_threads()} threads", *gpus()]))
    report("memory", f"{gigabytes(free_memory(device))} free")
    report("versions", ", ".join(f"{name} {version(name)}" for name in PACKAGES))
    problems = [
        checked("text", check_text),
        checked("weights", lambda: check_weights(options, run)),
    ]
    return 1 if any(problems) else 0


def report(name: str, what: str) -> None:
    """Print one line."""
    print(f"{name:<10}{what}")


def checked(name: str, check: Callable[[], str]) -> bool:
    """Report what a check found; whether it found a problem."""
    try:
        report(name, check())
    except ValueError as error:
        report(name, f"not well: {error}")
        return True
    return False


def gpus() -> list[str]:
    """The CUDA devices of this machine, by number and name."""
    return [
        f"cuda:{index} {torch.cuda.get_device_name(index)}"
        for index in range(torch.cuda.device_count())
    ]


def check_text() -> str:
    """Raises ValueError where the bundled text encoder is missing or damaged."""
    check_e5(e5_path())
    return "multilingual-e5-small in 4 bits, intact"


def check_weights(options: Doctor, run: Generate) -> str:
    """The model and what a run of it takes. Raises ValueError for weights that are damaged."""
    device = "cpu" if is_published(options.model) else options.device  # weighed, not run
    lumiere = load(options.model, device, options.dtype)
    native = lumiere.base.backbone.native
    parameters = lumiere.base.weights / lumiere.base.dtype.itemsize
    net = f"{parameters / 1e6:.1f} M parameters, {native.side} px, intact"
    lines = [net, weigh(lumiere, run)]
    if isinstance(lumiere.base, PublishedModel):
        lines += every_way(lumiere.base.published, options.device)
    return "\n".join(lines)


def is_published(model: str | None) -> bool:
    """Whether this names a published pipeline's folder."""
    return model is not None and not is_ours(locate(model))


def every_way(published: Published, device: str) -> list[str]:
    """What each way to run a published model takes, and whether it fits what is free."""
    free = free_memory(torch.device(device))
    sizes = sizes_of(published)
    found = [weighed(way, published.backbone, sizes) for way in ways(torch.device(device).type)]
    return [f"{fits(way.peak, free):<10}about {gigabytes(way.peak)}: {way}" for way in found]


def fits(needed: int, free: int) -> str:
    """In a word."""
    return "fits" if needed <= free else "too much"


def weigh(lumiere: Lumiere, run: Generate) -> str:
    """A line on the memory of a run: what it takes, what is free, whether it fits."""
    needed = cascade_memory(lumiere.base, lumiere.upscaler, run)
    free = free_memory(lumiere.base.backbone.device)
    verdict = "fits" if needed <= free else "may not fit: ask for fewer frames or a smaller size"
    side = written_side(run, lumiere.base.backbone.native)
    asked = f"{run.length.count} frames of {side} px in {run.sampling.steps} steps"
    memory = f"about {gigabytes(needed)} in all, {gigabytes(free)} free"
    return f"{'run':<10}{asked}: {memory}, {verdict}"
