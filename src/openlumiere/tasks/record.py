"""The record of a made clip: the task, the model and the machine. It makes the clip again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from openlumiere.tasks.base import Value
from openlumiere.tasks.kinds import AnyTask, Task, read_task
from openlumiere.tasks.values import whole

FRAME = "frame "
STYLE = "style "
MAX_BATCH = 4096


class Machine(Value):
    """What a clip's last bits depend on beside task and model."""

    dtype: str = Field(description="Precision of the weights, such as float32.")
    device: str = Field(description="cpu, cuda:0 and the like.")
    threads: Annotated[int, BeforeValidator(whole(1, 1024))] = Field(
        description="Of torch on the CPU: the order of sums depends on them."
    )
    # Left out at 1, so that records of clips made alone stay as they were.
    batch: Annotated[int, BeforeValidator(whole(1, MAX_BATCH))] = Field(
        1,
        exclude_if=lambda count: count == 1,
        description="Clips that were denoised at once: the order of sums depends on them, too.",
    )


class Record(Value):
    """Everything that a clip depends on: the same record on the same machine gives the same frames,
    bit for bit.
    """

    task: AnyTask
    model: str = Field(description="sha256 of weights and configs, as loaded.")
    machine: Machine

    def to_text(self) -> str:
        """In one line, the same for the same record: what the mark is derived from."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)


def read_record(written: Mapping[str, Any]) -> Record:
    """A record as it was written, also as the first release wrote it. Raises ValueError for
    anything else.
    """
    if isinstance(written.get("task"), str):
        return record_of_first_release(written)
    found = dict(written)
    return Record(**{**found, "task": read_task(found.get("task", {}))})


def record_of_first_release(written: Mapping[str, Any]) -> Record:
    """From 0.1.0, which wrote task, model and machine into one flat table."""
    machine = {name: written[name] for name in ("dtype", "device", "threads")}
    return Record(
        task=task_of_first_release(written), model=written["model"], machine=Machine(**machine)
    )


COMMON = ("prompt",)
SAMPLED = ("seed", "steps", "guidance", "negative", "scheduler")
TIMED = ("frames", "fps")
KEPT = ("keep", "feather")
FLAT: dict[str, tuple[str, ...]] = {
    "generate": (*SAMPLED, *TIMED, "size", "loop", "shots", "upscale", "memory_limit"),
    "image": (*SAMPLED, "size"),
    "animate": (*SAMPLED, *TIMED, *KEPT, "size", "loop", "motion"),
    "inpaint": (*SAMPLED, *KEPT, "region"),
    "outpaint": (*SAMPLED, *KEPT, "to"),
    "mend": (*SAMPLED, *KEPT, "region"),
    "cinemagraph": (*SAMPLED, *TIMED, *KEPT, "size", "loop", "motion", "region"),
    "restyle": (*SAMPLED, "strength", "structure"),
    "upscale": ("seed", "steps", "noise", "memory_limit"),
}
"""Which names of the flat table a task used; the others held defaults."""


def task_of_first_release(written: Mapping[str, Any]) -> Task:
    """The task of a flat table."""
    kind = written["task"]
    used = {name: written[name] for name in (*COMMON, *FLAT[kind]) if name in written}
    inputs = {each["role"]: named(each) for each in written.get("inputs", ())}
    if used.get("region") == "":
        del used["region"]
    for role, media in inputs.items():
        place(used, kind, role, media)
    styles = [media for role, media in sorted(inputs.items()) if role.startswith(STYLE)]
    if styles:
        used |= {"style": styles, "style_weight": list(written.get("style_weights", ()))}
    return read_task({"kind": kind, **used})


def named(given: Mapping[str, str]) -> dict[str, str]:
    """An input of a flat table as media."""
    return {"path": given.get("name", ""), "sha256": given["sha256"]}


def place(used: dict[str, Any], kind: str, role: str, media: dict[str, str]) -> None:
    """Put one input of a flat table into its field."""
    if role.startswith(FRAME):
        number = int(role.removeprefix(FRAME))
        if number == 0:
            used["image"] = media
        else:
            used.setdefault("keyframes", []).append({"frame": number, "image": media})
    elif role == "picture":
        used["image"] = media
    elif role == "region":
        used["region"] = {"mask": media}
    elif not role.startswith(STYLE):
        used[role] = media
