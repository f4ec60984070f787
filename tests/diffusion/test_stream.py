import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from levels import TRAINED, solver
from openlumiere.contract import Condition
from openlumiere.diffusion.multidiffusion import Windows, multidiffuse, stream
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.diffusion.sampler import draw_noise, sample

# diffusers 0.42 turns tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def neighbourly(noisy, level, condition):
    """Looks along time and at what it is told, so windows disagree where they overlap."""
    told = condition.over_frames["low"] + condition.text.mean()
    return torch.tanh(noisy.roll(1, 2) + told) + noisy.mean((2, 3, 4), keepdim=True) * (
        1 + float(level.time) / 1000
    )


def told(frames):
    generator = torch.Generator().manual_seed(1)
    return Condition(
        text=torch.randn(2, 3, 4, generator=generator),
        over_frames={"low": torch.randn(2, 3, frames, 2, 3, generator=generator)},
    )


def part_of(condition):
    return lambda window: Condition(
        text=condition.text, over_frames={"low": condition.over_frames["low"][:, :, window]}
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 20), st.integers(2, 9), st.data())
def test_a_stream_is_what_windows_over_the_whole_clip_give(frames, length, data):
    windows = Windows(
        frames=length,
        overlap=data.draw(st.integers(0, length - 1)),
        tapered=data.draw(st.booleans()),
    )
    steps, sizes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    noise, condition = draw_noise((3, frames, 2, 3), [5, 6]), told(frames)
    *_, last = sample(multidiffuse(neighbourly, windows), solver(steps, None), noise, condition)
    parts = list(
        stream(
            neighbourly,
            TRAINED,
            noise.split(sizes, 2),
            frames,
            part_of(condition),
            windows,
            steps=steps,
        )
    )
    torch.testing.assert_close(torch.cat(parts, 2), last.noisy, atol=1e-5, rtol=1e-5)


def test_a_stream_holds_a_few_windows_however_long_the_clip():
    frames, windows, drawn, ready = 400, Windows(frames=8), [], 0

    def noise():
        for _ in range(frames):
            drawn.append(1)
            yield torch.zeros(2, 3, 1, 2, 3)

    for part in stream(
        neighbourly, TRAINED, noise(), frames, part_of(told(frames)), windows, steps=3
    ):
        assert len(drawn) - ready <= 3 * 8
        ready += part.shape[2]
    assert ready == frames


def test_every_window_of_every_step_is_told_of():
    seen = []
    noise, condition = draw_noise((3, 10, 2, 3), [5, 6]), told(10)
    list(
        stream(
            neighbourly,
            TRAINED,
            [noise],
            10,
            part_of(condition),
            Windows(frames=4),
            steps=2,
            on_window=lambda *at: seen.append(at),
        )
    )
    assert sorted(seen, key=lambda at: (at[0], at[1].start)) == [
        (step, slice(first, first + 4)) for step in (0, 1) for first in (0, 2, 4, 6)
    ]


def test_a_scheduler_that_remembers_is_refused():
    with pytest.raises(ValueError, match="DDIMScheduler"):
        stream(
            neighbourly,
            VariancePreserving(DPMSolverMultistepScheduler()),
            [],
            4,
            part_of(told(4)),
            Windows(),
            steps=1,
        )
