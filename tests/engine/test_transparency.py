"""Alpha through every task: exact where it is known, kept where a task keeps the shape, and back
from every file format.
"""

import numpy as np
import pytest

from openlumiere import Clip, Lumiere
from openlumiere.engine.fit import before, cut_out, seen, with_alpha
from openlumiere.tasks import Generate, Image, Inpaint, read_task

BOX = (0.25, 0.25, 0.75, 0.75)
HOW = {"seed": 3, "steps": 2}
FORMATS = ("a.webp", "a.apng", "a.mov", "a/")


def subject():
    """A red square with a soft rim that moves over nothing: 6 RGBA frames of 48 x 40."""
    frames = np.zeros((6, 40, 48, 4), np.uint8)
    frames[..., :3] = np.random.default_rng(0).integers(0, 256, (6, 40, 48, 3))
    for index, frame in enumerate(frames):
        frame[8:30, 4 + 3 * index : 26 + 3 * index] = (220, 60, 60, 128)
        frame[10:28, 6 + 3 * index : 24 + 3 * index, 3] = 255
    return Clip(frames, 8)


def inside_box(shape):
    mask = np.zeros(shape, bool)
    mask[:, 10:30, 12:36] = True
    return mask


TASKS = {
    "animate": lambda made: made.animate(
        subject().frames[0], "the car moves right", frames=6, **HOW
    ),
    "inpaint": lambda made: made.inpaint(subject(), BOX, "a star", **HOW),
    "outpaint": lambda made: made.outpaint(subject(), (64, 56), "a red car", **HOW),
    "mend": lambda made: made.mend(subject(), BOX, **HOW),
    "mend by itself": lambda made: made.mend(subject(), **HOW),
    "cinemagraph": lambda made: made.cinemagraph(
        subject().frames[0], BOX, "smoke rises", frames=6, **HOW
    ),
    "restyle": lambda made: made.restyle(subject(), "a yellow star", strength=0.7, **HOW),
    "restyle by nothing": lambda made: made.restyle(subject(), "a star", strength=0, **HOW),
    "upscale": lambda made: made.upscale(subject(), seed=3, steps=1),
}
GIVEN = subject().frames
STILL = np.broadcast_to(GIVEN[0], GIVEN.shape)
KNOWN = {  # where the result is the given pixel, bit by bit, and what was given there
    "animate": (np.arange(6)[:, None, None] == np.zeros((6, 40, 48)), STILL),
    "inpaint": (~inside_box((6, 40, 48)), GIVEN),
    "outpaint": (None, GIVEN),
    "mend": (~inside_box((6, 40, 48)) | (GIVEN[..., 3] == 0), GIVEN),
    "mend by itself": (GIVEN[..., 3] == 0, GIVEN),
    "cinemagraph": (~inside_box((6, 40, 48)), STILL),
    "restyle by nothing": (np.ones((6, 40, 48), bool), GIVEN),
}
SAME_SHAPE = {"mend": GIVEN, "mend by itself": GIVEN, "cinemagraph": STILL, "restyle": GIVEN}


@pytest.fixture(scope="module", params=["world-32", "toys"])
def lumiere(request):
    """A model that knows colours alone, and one whose codec has alpha."""
    return Lumiere.from_pretrained(request.param)


@pytest.mark.parametrize("name", TASKS)
def test_alpha_goes_through_every_task_and_every_file(lumiere, tmp_path, name):
    made = TASKS[name](lumiere)
    assert made.has_alpha
    frames = made.frames
    if name == "outpaint":
        frames = frames[:, 8:48, 8:56]
    if name in KNOWN:
        known, given = KNOWN[name]
        known = np.ones(frames.shape[:3], bool) if known is None else known
        assert np.array_equal(frames[known], given[known])
    if name in SAME_SHAPE:
        assert np.array_equal(frames[..., 3], SAME_SHAPE[name][..., 3])
    if name == "upscale":
        assert made.size == (192, 160)
        assert (frames[:, 4::4, 2::4, 3][GIVEN[:, 1::1, :, 3] == 0] < 40).mean() > 0.95
        for index, frame in enumerate(frames):
            assert frame[64:100, 4 * (9 + 3 * index) : 4 * (21 + 3 * index), 3].min() > 240
    for path in FORMATS:
        loaded = Clip.load(made.save(f"{tmp_path}/{path}", lossless=True))
        assert np.array_equal(loaded.frames[..., 3], made.frames[..., 3])
        clear = made.frames[..., 3] == 0
        gap = np.abs(loaded.frames.astype(int) - made.frames)[~clear]
        assert gap.max() <= 5  # the mark's bound; transparent pixels carry none


@pytest.mark.parametrize(
    "task",
    [
        lambda made, how: made.generate("a cat moves up", frames=4, size=48, **how),
        lambda made, how: made.generate_image("a frog on a blue background", size=48, **how),
        lambda made, how: made.inpaint(subject(), BOX, "a star", **how),
        lambda made, how: made.restyle(subject(), "a star", **how),
        lambda made, how: made.upscale(subject(), seed=3, steps=1, background=how["background"]),
    ],
)
@pytest.mark.parametrize("background", ["#204060", subject().over("white")])
def test_a_background_goes_behind_every_task(lumiere, task, background):
    made = task(lumiere, HOW | {"background": background})
    assert made.frames.shape[3] == 3
    assert made.origin.record.task.background not in ("", None)


def test_backgrounds_of_frames():
    clear = subject().frames
    assert before(clear, "") is clear and before(clear, "transparent") is clear
    blue = before(clear, "#0000ff")
    assert blue.shape == (6, 40, 48, 3) and (blue[clear[..., 3] == 0] == (0, 0, 255)).all()
    assert (blue[:, 12:26, 22:24] == (220, 60, 60)).all()
    plain = np.full((3, 40, 48, 3), 250, np.uint8)
    plain[:, 10:20, 10:20] = (10, 90, 30)
    cut = before(plain, "transparent")
    assert (cut[:, 0, 0, 3] == 0).all() and (cut[:, 15, 15] == (10, 90, 30, 255)).all()
    behind = Clip(np.stack([np.full((20, 20, 3), 50 * k, np.uint8) for k in range(2)]), 8)
    cover = before(clear, behind)
    assert cover[:, 0, 0, 0].tolist() == [0, 50, 0, 50, 0, 50]


def test_a_background_that_is_not_plain_is_kept_and_it_is_said(caplog):
    noise = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    with caplog.at_level("WARNING", "openlumiere"):
        assert before(noise, "transparent") is noise
    assert "one colour" in caplog.text


def test_straight_colours_come_out_of_white():
    frame = subject().frames[2]
    back = with_alpha(seen(frame), frame[..., 3])
    visible = frame[..., 3] > 0
    assert np.abs(back[visible].astype(int) - frame[visible]).max() <= 2
    assert np.array_equal(back[..., 3], frame[..., 3])
    known = np.zeros(frame.shape[:2], bool)
    new = cut_out(seen(frame), np.zeros_like(frame), known, "made")
    assert np.abs(new[..., 3].astype(int) - frame[..., 3]).mean() < 12


def test_a_background_is_a_word_a_colour_or_a_file():
    for word in ("", "transparent", "white", "#20c040", "rgb(1, 2, 3)"):
        assert Generate(prompt="a cat", background=word).background == word
    task = Image(prompt="a cat", background="meadow.png")
    assert task.background.path == "meadow.png" and task.media().keys() == {"background"}
    assert read_task(task.model_dump_json()) == task
    assert Generate(prompt="a cat").background == ""
    assert "background" in Inpaint.model_fields
