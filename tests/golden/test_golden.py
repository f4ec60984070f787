"""The golden file: frames of every task on the bundled weights, and the first losses of every
training stage.

A change of structure leaves them equal bit for bit. Sums run in another order on another kind of
processor or torch, so there the frames may differ by rounding: `golden.json` names the machine it
was recorded on, and elsewhere means over blocks and the losses are compared instead. Record anew,
only where frames are meant to change: `python tests/golden/test_golden.py`.
"""

import json
import sys
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from stages import STAGES, first_losses

from openlumiere import Clip, Lumiere

GOLDEN = Path(__file__).with_name("golden.json")
SEEDS = (3, 11)
SCHEDULERS = ("ddim", "dpm++", "euler")
BLOCKS = 4  # a side: the means that other machines compare
TOLERANCE = 2.0  # levels of 255, of a block's mean


@cache
def lumiere() -> Lumiere:
    return Lumiere.from_pretrained("world-32")


def given_clip() -> Clip:
    """A square that moves over a gradient: 9 frames of 48 x 40."""
    frames = np.empty((9, 40, 48, 3), np.uint8)
    frames[:] = np.linspace(30, 220, 48).astype(np.uint8)[None, None, :, None]
    for index, frame in enumerate(frames):
        frame[12:26, 4 + 3 * index : 16 + 3 * index] = (220, 60, 60)
    return Clip(frames)


BOX = (0.25, 0.25, 0.75, 0.75)

TASKS: dict[str, Callable] = {
    "generate": lambda made, how: made.generate(
        "a red car moves left on a white background", frames=9, size=48, **how
    ),
    "image": lambda made, how: made.generate_image("a frog on a blue background", size=64, **how),
    "animate": lambda made, how: made.animate(
        given_clip().frames[0], "the car moves right", frames=8, **how
    ),
    "inpaint": lambda made, how: made.inpaint(given_clip(), BOX, "a star", **how),
    "outpaint": lambda made, how: made.outpaint(given_clip(), (64, 56), "a red car", **how),
    "mend": lambda made, how: made.mend(given_clip(), BOX, **how),
    "cinemagraph": lambda made, how: made.cinemagraph(
        given_clip().frames[0], BOX, "smoke rises", frames=8, **how
    ),
    "restyle": lambda made, how: made.restyle(
        given_clip(), "a yellow star", strength=0.7, structure=0.5, **how
    ),
    "upscale": lambda made, how: made.upscale(
        given_clip(), "a red car", seed=how["seed"], noise=0.1, steps=2
    ),
}
FURTHER: dict[
    str, Callable
] = {  # what the nine do not reach: loops, schedules, shots, the path over many frames
    "loop": lambda made, how: made.generate(
        "a cat moves up on a black background", loop=True, frames=16, size=0, **how
    ),
    "schedule": lambda made, how: made.generate(
        "0s: a cat moves left | 1s: a dog moves right", frames=32, size=0, **how
    ),
    "shots": lambda made, how: made.generate(
        "a rocket moves up", shots=["a rocket moves down"], frames=8, size=0, **how
    ),
}


def cases() -> dict[str, tuple[Callable, dict]]:
    """Every clip of the file by its name."""
    found = {}
    for seed in SEEDS:
        for scheduler in SCHEDULERS:
            how = {"seed": seed, "scheduler": scheduler, "steps": 3}
            for name, make in TASKS.items():
                if name != "upscale" or scheduler == SCHEDULERS[0]:
                    found[f"{name} {seed} {scheduler}"] = (make, how)
    for name, make in FURTHER.items():
        found[f"{name} {SEEDS[0]} ddim"] = (make, {"seed": SEEDS[0], "steps": 3})
    return found


def machine() -> str:
    """What bits depend on beside the code."""
    lines = (
        Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    )
    found = {
        line.split(":")[0].strip(): line.split(":")[1].strip() for line in lines if ":" in line
    }
    cpu = " ".join(found.get(name, "?") for name in ("vendor_id", "cpu family", "model"))
    capability = torch.backends.cpu.get_cpu_capability()
    threads = torch.get_num_threads()
    return f"torch {torch.__version__}, {capability}, {cpu}, {threads} thread"


def print_of(frames: np.ndarray) -> dict:
    """A clip's sha256, and its means over blocks in first, middle and last frame."""
    shown = frames[[0, len(frames) // 2, -1]].astype(float)
    height, width = (side // BLOCKS * BLOCKS for side in shown.shape[1:3])
    blocks = shown[:, :height, :width].reshape(
        3, BLOCKS, height // BLOCKS, BLOCKS, width // BLOCKS, 3
    )
    means = blocks.mean(axis=(2, 4)).round(1).flatten().tolist()
    return {
        "shape": list(frames.shape),
        "sha256": sha256(frames.tobytes()).hexdigest(),
        "means": means,
    }


def learnt_style() -> list[float]:
    """Sums of what five steps on one picture learn, layer by layer: the losses of `learn-style` are
    not logged.
    """
    from openlumiere.tasks import Learning

    style = lumiere().learn_style(
        [given_clip().frames[0]], "a moving square", learning=Learning(steps=5, batch=2)
    )
    return [float(low.up.double().abs().sum()) for _, low in sorted(style.low_rank.items())]


GOLD = (
    json.loads(GOLDEN.read_text())
    if GOLDEN.is_file()
    else {"machine": "", "clips": {}, "losses": {}}
)


def marked(name: str):
    """Schedulers of the second seed are left to the long run."""
    again = name.split()[1] == str(SEEDS[1]) and not name.endswith(SCHEDULERS[0])
    return pytest.param(name, marks=pytest.mark.long if again else ())


@pytest.mark.parametrize("name", [marked(name) for name in sorted(cases())])
def test_frames_are_those_of_the_golden_file(name):
    make, how = cases()[name]
    found, expected = print_of(make(lumiere(), how).frames), GOLD["clips"][name]
    assert found["shape"] == expected["shape"]
    if GOLD["machine"] == machine():
        assert found["sha256"] == expected["sha256"]
    assert np.abs(np.subtract(found["means"], expected["means"])).max() <= TOLERANCE


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_the_first_losses_are_those_of_the_golden_file(stage, tmp_path):
    found, expected = first_losses(stage, tmp_path), GOLD["losses"][stage]
    assert len(found) == 20
    if GOLD["machine"] == machine():
        assert found == expected
    assert np.allclose(found, expected, rtol=1e-3)


def test_the_style_learnt_is_that_of_the_golden_file():
    found, expected = learnt_style(), GOLD["style"]
    if GOLD["machine"] == machine():
        assert found == expected
    # Adam's first steps follow a gradient's sign, so what rounding turns moves a layer by a step
    assert np.allclose(found, expected, rtol=1e-2)


def record() -> None:
    """Write the file anew."""
    import tempfile

    clips = {name: print_of(make(lumiere(), how).frames) for name, (make, how) in cases().items()}
    losses = {}
    for stage in STAGES:
        with tempfile.TemporaryDirectory() as folder:
            losses[stage] = first_losses(stage, Path(folder))
    GOLDEN.write_text(
        json.dumps(
            {"machine": machine(), "clips": clips, "losses": losses, "style": learnt_style()},
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    record()
