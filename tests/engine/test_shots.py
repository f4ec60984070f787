from fractions import Fraction

import numpy as np
import pytest
import torch

from openlumiere.engine.lumiere import shots_of
from openlumiere.engine.plan import know_first, plan_shot, shares_of, windows_at
from openlumiere.engine.run import run
from openlumiere.tasks import Generate
from openlumiere.tasks.values import Line, parse_schedule

# diffusers 0.42 turns tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def asked(**changes):
    return Generate(
        **{
            "prompt": "a dog moves right",
            "steps": 2,
            "guidance": 1.0,
            "frames": 8,
            "size": 0,
            **changes,
        }
    )


def test_a_plain_prompt_is_one_line():
    for prompt in ("a cat", "3 cats: one sits | one jumps", "a clock that says 0s"):
        assert parse_schedule(prompt) == [Line(Fraction(0), prompt)]


def test_lines_begin_with_their_second():
    assert parse_schedule("0s: a cat sits | 2.5s: it jumps") == [
        Line(Fraction(0), "a cat sits"),
        Line(Fraction(5, 2), "it jumps"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "0s: a | b",
        "0s: a | 2s:",
        "1s: a",
        "0s: a | 3s: b | 3s: c",
        "0s: a | 4s: b | 2s: c",
        "0s:  ",
    ],
)
def test_lines_out_of_order_or_empty_are_refused(text):
    with pytest.raises(ValueError, match="prompt: expected"):
        parse_schedule(text)


def test_weights_add_up_and_cross_where_a_line_begins():
    shares = shares_of(parse_schedule("0s: a | 1s: b | 3s: c"), 80, Fraction(16))
    assert torch.allclose(shares.sum(0), torch.ones(80)) and shares.min() >= 0
    assert (
        shares[:, 0].tolist() == [1, 0, 0]
        and shares[:, 32].tolist() == [0, 1, 0]
        and shares[:, 79].tolist() == [0, 0, 1]
    )
    assert shares[:, 16].tolist() == [0.5, 0.5, 0] and shares[:, 48].tolist() == [0, 0.5, 0.5]


def test_a_line_after_the_end_is_refused():
    with pytest.raises(ValueError, match="within 5 s, got one at 5 s"):
        shares_of(parse_schedule("0s: a | 5s: b"), 80, Fraction(16))


def test_a_clip_of_five_seconds_is_one_pass_at_any_rate(tiny):
    assert (
        windows_at(tiny.base.backbone, Fraction(16)).frames == 80
        and windows_at(tiny.base.backbone, Fraction(32)).frames == 160
        and windows_at(tiny.base.backbone, Fraction(1)).frames == 5
    )
    plain = tiny.base(
        "a dog moves right", seeds=0, num_frames=8, num_inference_steps=2, guidance_scale=1.0
    ).frames[0]
    assert np.array_equal(shots_of(tiny.base.backbone, asked()), plain)


def test_a_long_clip_is_made_by_windows(tiny):
    """Frames of the first window alone know nothing of what follows within one step, so they are
    those of a shorter clip.
    """
    long = shots_of(
        tiny.base.backbone, asked(frames=12, fps="2", steps=1)
    )  # windows of ten frames, two shared
    assert long.shape == (12, 16, 16, 3)
    noise_differs = shots_of(tiny.base.backbone, asked(frames=12, fps="2", steps=1, seed=1))
    assert not np.array_equal(long, noise_differs)
    batched = shots_of(
        tiny.base.backbone,
        asked(frames=12, fps="2", steps=1),
        windows_at(tiny.base.backbone, Fraction(2), batch=4),
    )
    assert np.abs(long.astype(int) - batched).max() <= 1


def test_a_schedule_changes_the_clip_from_its_second_on(tiny):
    one, other = (
        shots_of(tiny.base.backbone, asked(prompt=f"0s: a dog | 3s: {prompt}", steps=1, fps="2"))
        for prompt in ("a red car", "a star")
    )
    same = [np.array_equal(a, b) for a, b in zip(one, other)]
    assert same[:6] == [True] * 6 and not any(same[6:])


def test_shots_follow_each_other_and_share_a_keyframe(tiny):
    task = asked(shots=("a dog moves left", "a dog jumps"))
    made = shots_of(tiny.base.backbone, task)
    assert made.shape == (24, 16, 16, 3)
    assert np.array_equal(made[:8], shots_of(tiny.base.backbone, asked()))
    known, alone = (
        run(
            tiny.base.backbone,
            plan_shot(task, "a dog moves left", tiny.base.backbone, keyframe=keyframe, number=1),
            task.sampling,
        )[0]
        for keyframe in (made[4], None)
    )
    assert np.array_equal(made[8:16], known[1:])
    assert not np.array_equal(known[1:], alone)


def test_the_keyframe_is_known_at_its_frame_alone(tiny):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    known = know_first(tiny.base.backbone, picture, 5)
    assert known.mask[0, 0, :, 0, 0].tolist() == [1, 0, 0, 0, 0]
    made = tiny.base(
        "a dog", seeds=0, num_frames=5, num_inference_steps=2, guidance_scale=1.0, known=known
    ).frames[0]
    assert np.array_equal(made[0], picture)


def test_shots_do_not_loop_and_must_be_sentences():
    with pytest.raises(ValueError, match="shots: expected"):
        asked(shots=("a dog",), loop=True)
    with pytest.raises(ValueError, match="shots: expected a sentence"):
        asked(shots=(" ",))


def test_a_loop_closes(tiny):
    frames = shots_of(tiny.base.backbone, asked(frames=16, loop=True, steps=4)).astype(int)
    steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert np.abs(frames[-1] - frames[0]).mean() <= 1.25 * np.median(steps)
