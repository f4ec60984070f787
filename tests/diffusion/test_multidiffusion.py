import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from diffusers import DDIMScheduler

from levels import at
from openlumiere.contract import Condition, Known
from openlumiere.diffusion.multidiffusion import Windows, borders, cut_axis, multidiffuse, stream
from openlumiere.diffusion.process import VariancePreserving


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Watched:
    """Shifts in time within its window; keeps what it was called with."""

    def __init__(self):
        self.calls = []

    def __call__(self, noisy, level, condition):
        self.calls.append((noisy, level, condition))
        return noisy.roll(1, 2) * 0.5 + condition.text.mean((1, 2))[:, None, None, None, None]


def told(batch=1, **more):
    return Condition(text=random(batch, 4, 3), **more)


def ends(slices):
    return [(part.start, part.stop) for part in slices]


def test_neighbours_share_the_overlap_and_the_last_window_is_shifted_back():
    assert Windows().overlap == 2
    assert ends(cut_axis(10, 4, 2)) == [(0, 4), (2, 6), (4, 8), (6, 10)]
    assert ends(cut_axis(9, 4, 2)) == [(0, 4), (2, 6), (4, 8), (5, 9)]
    assert ends(cut_axis(8, 4, 0)) == [(0, 4), (4, 8)]
    assert ends(cut_axis(3, 4, 2)) == ends(cut_axis(3, None, 2)) == [(0, 3)]


def test_borders_are_where_other_windows_begin_to_speak():
    assert borders(8, 4, 0) == [4]
    assert borders(14, 8, 2) == [6, 8]
    assert borders(13, 8, 2) == [5, 8]
    assert borders(8, 8, 2) == borders(8, None, 2) == []


def test_two_windows_by_hand():
    noisy = torch.arange(6.0).reshape(1, 1, 6, 1, 1)

    def mean(noisy, level, condition):
        return noisy.mean((2, 3, 4), keepdim=True).expand_as(noisy)

    uniform = multidiffuse(mean, Windows(frames=4))(noisy, at(0), told()).flatten().tolist()
    assert uniform == pytest.approx([1.5, 1.5, 2.5, 2.5, 3.5, 3.5])
    tapered = (
        multidiffuse(mean, Windows(frames=4, tapered=True))(noisy, at(0), told()).flatten().tolist()
    )
    assert tapered == pytest.approx([1.5, 1.5, 1.5 + 2 / 3, 1.5 + 4 / 3, 3.5, 3.5])


def test_a_clip_within_one_window_is_one_plain_call():
    net, noisy, condition = Watched(), random(2, 3, 4, 6, 6), told(2)
    multidiffuse(net, Windows(frames=4, height=8, width=6, tile_overlap=1))(noisy, at(5), condition)
    assert len(net.calls) == 1
    assert net.calls[0][0] is noisy and net.calls[0][2] is condition


@pytest.mark.parametrize(("batch", "rows"), [(1, [2] * 6), (4, [8, 4]), (100, [12])])
def test_windows_run_in_batches_within_the_limit(batch, rows):
    net = Watched()
    multidiffuse(net, Windows(frames=4, height=3, tile_overlap=1, batch=batch))(
        random(2, 3, 8, 5, 2), at(5), told(2)
    )
    assert [len(noisy) for noisy, _, _ in net.calls] == rows
    assert all(
        noisy.shape[1:] == (3, 4, 3, 2) and condition.batch == len(noisy)
        for noisy, _, condition in net.calls
    )


def test_every_window_begins_when_the_clip_does():
    net, times = Watched(), 5 + torch.arange(8) * 2 / 3
    multidiffuse(net, Windows(frames=4, batch=3))(
        random(1, 3, 8, 2, 2), at(5), told(frame_times=times)
    )
    assert len(net.calls) == 1  # evenly spaced times are alike in all windows
    torch.testing.assert_close(net.calls[0][2].frame_times, times[:4])


def test_windows_of_other_frame_times_run_apart():
    net, times = Watched(), torch.tensor([0.0, 1, 2, 3, 4, 8, 12, 16])
    multidiffuse(net, Windows(frames=4, overlap=0, height=2, tile_overlap=0, batch=9))(
        random(1, 3, 8, 4, 2), at(5), told(frame_times=times)
    )
    assert [len(noisy) for noisy, _, _ in net.calls] == [2, 2]
    assert [condition.frame_times.tolist() for _, _, condition in net.calls] == [
        [0, 1, 2, 3],
        [0, 4, 8, 12],
    ]


def test_clips_among_the_conditions_are_cut_and_all_else_goes_whole():
    content, low, pooled = random(2, 3, 8, 6, 6), random(2, 1, 8, 6, 6), random(2, 16)
    condition = told(
        2,
        known=Known(content=content, mask=torch.ones(2, 1, 8, 6, 6)),
        over_frames={"low": low},
        whole={"pooled": pooled},
    )
    window = Windows(frames=4, height=4, width=4, tile_overlap=1).over((8, 6, 6))[-1]
    part = condition.window(window)
    assert torch.equal(part.known.content, content[:, :, 4:, 2:, 2:]) and part.known.mask.shape == (
        2,
        1,
        4,
        4,
        4,
    )
    assert torch.equal(part.over_frames["low"], low[:, :, 4:, 2:, 2:])
    assert part.whole["pooled"] is pooled and part.text is condition.text


@pytest.mark.parametrize("options", [{"frames": 2}, {"overlap": -1}, {"height": 8}, {"batch": 0}])
def test_windows_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="expected .*, got .*, "):
        Windows(**options)


@pytest.mark.parametrize(
    "more",
    [
        {"known": Known.nothing((1, 3, 9, 2, 2))},
        {"frame_times": torch.arange(9.0)},
        {"over_frames": {"low": torch.zeros(1, 3, 8, 4, 4)}},
    ],
)
def test_a_condition_of_another_size_is_refused(more):
    with pytest.raises(
        ValueError, match=rf"expected {next(iter(more)).replace('over_frames', 'low')} .*, got .*, "
    ):
        multidiffuse(Watched(), Windows(frames=4))(random(1, 3, 8, 2, 2), at(5), told(**more))


def windowed(frames, processes=None):
    """Two clips in windows of 3 frames, two at once: rows a call, and the result."""
    net, windows = Watched(), Windows(frames=3, overlap=1, batch=2)
    result = multidiffuse(net, windows, processes=processes)(
        random(2, 3, frames, 4, 4), at(5), told(2)
    )
    return [len(noisy) for noisy, _, _ in net.calls], result


def streamed(frames, processes=None):
    """Two clips in windows of 3 frames over two steps, a window at once: frames of each call, and
    the finished clips.
    """
    net, condition, seen = Watched(), told(2), []
    scheduler = DDIMScheduler(
        prediction_type="sample",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
    )
    parts = stream(
        net,
        VariancePreserving(scheduler),
        random(2, 3, frames, 4, 4).split(1, 2),
        frames,
        lambda window: condition,
        Windows(frames=3, overlap=1),
        steps=2,
        on_window=lambda step, window: seen.append((step, window.start)),
        processes=processes,
    )
    result = torch.cat(list(parts), 2)
    return sorted(seen), result


@pytest.mark.long
def test_two_processes_give_what_one_gives(tmp_path):
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        __file__,
        str(tmp_path),
    ]
    done = subprocess.run(
        run, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for frames, alone, shared in [
        (11, [4, 4, 2], [[4, 2], [4, 2]]),
        (15, [4, 4, 4, 2], [[4, 4], [4, 2]]),
    ]:
        calls, expected = windowed(frames)
        assert calls == alone
        for rank in range(2):
            calls, result = torch.load(tmp_path / f"{frames}-{rank}.pt", weights_only=True)
            assert (
                calls == shared[rank]
            )  # at 11 frames one is left without a last batch, and repeats the other's
            assert torch.equal(result, expected)
    calls, expected = streamed(8)
    assert [start for _, start in calls] == [0, 2, 4, 5] * 2
    for rank in range(2):
        calls, result = torch.load(tmp_path / f"stream-{rank}.pt", weights_only=True)
        assert [start for _, start in calls] == [[0, 4], [2, 5]][rank] * 2
        assert torch.equal(result, expected)


def _as_one_of_two(folder: Path) -> None:
    processes = PartialState(cpu=True)
    assert processes.num_processes == 2 and torch.distributed.get_backend() == "gloo"
    for frames in (11, 15):
        torch.save(windowed(frames, processes), folder / f"{frames}-{processes.process_index}.pt")
    torch.save(streamed(8, processes), folder / f"stream-{processes.process_index}.pt")
    processes.destroy_process_group()


if __name__ == "__main__":
    _as_one_of_two(Path(sys.argv[1]))


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        (Windows(frames=80, overlap=16), (16, 4)),
        (Windows(frames=7, overlap=6), (3, 2)),
        (Windows(), (None, 2)),
    ],
)
def test_windows_over_as_much_time_of_fewer_frames(windows, expected):
    fewer = windows.every(5)
    assert (fewer.frames, fewer.overlap) == expected and fewer.height == windows.height
