"""Several shots, one after the other. Our choice: the paper leaves shots to the future."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.engine.base import LumierePipeline
from openlumiere.engine.plan import plan_shot
from openlumiere.engine.run import OnStep, run
from openlumiere.tasks import Generate


def render_shots(
    base: LumierePipeline,
    task: Generate,
    windows: Windows | None = None,
    on_step: OnStep | None = None,
) -> UInt8[np.ndarray, "f h w 3"]:
    """All shots of a task, one after the other: later ones begin with the middle of the first, so
    that the subject stays, and draw from the next seeds.
    """
    count = task.length.count
    first = plan_shot(task, task.prompt, base, windows)
    shots = [run(base.backbone, first, task.sampling, on_step)[0]]
    keyframe = shots[0][count // 2]
    for number, prompt in enumerate(task.shots, 1):
        plan = plan_shot(task, prompt, base, windows, keyframe, number)
        shots.append(run(base.backbone, plan, task.sampling, on_step)[0][-count:])
    return np.concatenate(shots)
