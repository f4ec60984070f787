"""A run's folder: the newest state, written beside and renamed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

STATE = "state"


def save_state(run: Path, step: int, parameters: dict[str, Tensor], average: dict[str, Tensor], optimizer: Optimizer, generator: torch.Generator) -> None:
    """Everything a run needs to go on as if it had not stopped; at every moment one whole state is there."""
    beside, final, older = run / f".{STATE}.writing", run / STATE, run / f".{STATE}.older"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    save_file({name: value.detach().contiguous() for name, value in parameters.items()}, beside / "parameters.safetensors")
    save_file({name: value.contiguous() for name, value in average.items()}, beside / "average.safetensors")
    save_file(flatten_moments(optimizer, list(parameters)), beside / "optimizer.safetensors")
    save_file({"generator": generator.get_state()}, beside / "random.safetensors")
    (beside / "step.json").write_text(json.dumps({"step": step}))
    if final.is_dir():  # a folder can't be renamed over another
        shutil.rmtree(older, ignore_errors=True)
        os.replace(final, older)
    os.replace(beside, final)
    shutil.rmtree(older, ignore_errors=True)


def load_state(run: Path, parameters: dict[str, Tensor], average: dict[str, Tensor], optimizer: Optimizer, generator: torch.Generator) -> int:
    """Fills all of them in place; answers the step, 0 when the run is new."""
    folder = next((run / name for name in (STATE, f".{STATE}.older") if (run / name).is_dir()), None)
    if folder is None:
        return 0
    copy_into(parameters, load_file(folder / "parameters.safetensors"))
    copy_into(average, load_file(folder / "average.safetensors"))
    restore_moments(optimizer, list(parameters), load_file(folder / "optimizer.safetensors"))
    generator.set_state(load_file(folder / "random.safetensors")["generator"])
    return json.loads((folder / "step.json").read_text())["step"]


@torch.no_grad()
def copy_into(targets: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    if targets.keys() != values.keys():
        odd = sorted(targets.keys() ^ values.keys())[0]
        raise ValueError(f"training state: expected the parameters of this net, got a difference at {odd}, start a new run folder")
    for name, target in targets.items():
        target.copy_(values[name])


def flatten_moments(optimizer: Optimizer, names: list[str]) -> dict[str, Tensor]:
    """`parameter/moment -> tensor`, in the order of `names` (the optimiser's own order)."""
    states = optimizer.state_dict()["state"]
    return {f"{names[i]}/{key}": torch.as_tensor(value).contiguous() for i, state in states.items() for key, value in state.items()}


def restore_moments(optimizer: Optimizer, names: list[str], flat: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        name, moment = key.rsplit("/", 1)
        state.setdefault(names.index(name), {})[moment] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
