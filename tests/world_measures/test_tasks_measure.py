"""The measure `tasks`: its figures tell kept from lost, closed from open, seen seams from unseen,
and the table stands on them.
"""

import json
from fractions import Fraction

import numpy as np
import pytest

from openlumiere.apps.cli import main
from openlumiere.engine.canvas import masked
from openlumiere.media import Clip
from openlumiere.quality.metrics import psnr
from openlumiere_world.measures.reading import read
from openlumiere_world.measures.sources import Ask, Source, draw_sources, thinned
from openlumiere_world.measures.tasks import (
    TASKS,
    Figure,
    Settings,
    around,
    damaged,
    judged,
    measure,
    path_correlation,
    ratio,
    seam,
    step_sizes,
    summary,
    table,
)
from openlumiere_world.measures.tasks_report import lowered


def walk(frames=8, shift=3, side=32):
    """A square that goes right by `shift` pixels a frame."""
    made = np.full((frames, side, side, 3), 60, np.uint8)
    for k in range(frames):
        made[k, 12:20, 2 + shift * k : 8 + shift * k] = 220
    return Clip(made, Fraction(16, 5))


def test_steps_and_ratios():
    assert (step_sizes(walk().frames) > 0).all() and ratio(6, np.array([1, 3, 3])) == 2
    assert ratio(0.0, np.zeros(3)) == 1 and ratio(1.0, np.zeros(3)) == float("inf")


def test_paths_that_agree_and_paths_that_turn_round():
    there, back = walk(), Clip(walk().frames[::-1], Fraction(16, 5))
    assert path_correlation(there, walk(shift=2)) > 0.99 and path_correlation(there, back) < -0.99


def test_a_seam_is_a_step_that_others_are_not():
    rng = np.random.default_rng(0)
    frames, known = (
        rng.integers(100, 110, (2, 16, 16, 3)).astype(np.uint8),
        np.zeros((2, 16, 16), bool),
    )
    known[:, :, :8] = True
    assert 0.7 < seam(frames, known) < 1.4
    frames[:, :, 8:] += 60
    assert seam(frames, known) > 10 and seam(frames, np.ones_like(known)) == 1


def test_a_region_around_a_subject_goes_with_it():
    inside = masked(around(walk()), 8, 32, 32)
    assert [int(np.flatnonzero(frame.any(axis=0))[0]) for frame in inside] == [
        max(0, 3 * k) for k in range(8)
    ]
    assert (walk().frames[~inside] == 60).all() and inside.mean() < 0.2


def test_damage_is_far_from_what_was_there():
    broken, where = damaged(walk())
    changed = (broken.frames != walk().frames).any(axis=3)
    assert np.array_equal(changed, where) and where[4].all() and where[0].sum() == 32
    assert psnr(broken.frames[where], walk().frames[where]) < 12


def test_thinning_keeps_the_time():
    clip = thinned(Clip(np.zeros((75, 8, 8, 3), np.uint8), Fraction(25)), 16)
    assert (len(clip), clip.fps) == (15, 5) and thinned(clip, 16) is clip


def test_the_table_tells_exact_from_a_number_and_a_share():
    figures = [
        Figure(source="a", task="inpaint", keep=keep, what="known pixels (dB)", value=value)
        for keep, value in (("exact", float("inf")), ("soft", 20.0), ("soft", 30.0))
    ]
    assert "| inpaint | known pixels (dB) | exact | 25 (20 to 30), n = 2 | 22-40 |" in table(
        figures
    )
    assert summary([1.0, float("inf")]) == "1 (1 to 1), n = 1, 1 exact" and summary(
        [True, False]
    ).startswith("1 of 2: 50.0 %")


def test_sources_of_the_world_are_told_in_other_words(world, scope):
    (source,) = draw_sources(world, 1, 5, 0, scope)
    assert (
        len(source.clip) == 5
        and source.clip.fps == 1
        and set(source.turned) == {"left", "right", "up", "down"}
    )
    assert (
        source.other.subject != source.shows.subject == source.restyled.subject
        and source.restyled.style != source.shows.style
    )
    assert (
        source.other.motion == source.shows.motion
        and len({source.shows.prompt, source.other.prompt, source.restyled.prompt}) == 3
    )
    assert source.shows.motion not in source.restyled.prompt or source.shows.motion == "stay"
    assert all(way in ask.prompt or ask.motion == way for way, ask in source.turned.items())


def test_what_the_judge_reads_is_held_against_what_was_asked(world, scope, judge):
    (source,) = draw_sources(world, 1, 5, 1, scope)
    seen = read(source.clip.frames, judge)
    right, wrong = (
        Ask(prompt="a dog", subject="1f415", style=style, motion=seen.motion)
        for style in (seen.style, "none")
    )
    assert judged(right, source.clip, judge, "style", "motion") == {
        "reads as the asked style": True,
        "moves as asked": True,
    }
    assert judged(wrong, source.clip, judge, "style") == {"reads as the asked style": False}
    assert (
        judged(Ask(prompt="a dog"), source.clip, judge, "style")
        == {}
        == judged(right, source.clip, None, "style")
    )


def test_every_task_is_measured_on_a_clip_of_the_world(tiny, world, scope, judge):
    sources, shown = draw_sources(world, 1, 5, 0, scope), {}
    figures = list(
        measure(
            tiny, sources, tuple(TASKS), Settings(steps=1, guidance=1.0), judge, shown.__setitem__
        )
    )
    found = {(each.task, each.keep, each.what) for each in figures}
    assert {task for task, _, _ in found} == set(TASKS)
    for row in (
        ("animate", "soft", "moves as asked"),
        ("steer", "exact", "moves as asked"),
        ("inpaint", "exact", "shows the asked subject"),
        ("outpaint", "soft", "step at the seam over steps inside"),
        ("mend", "exact", "damaged pixels mended (dB)"),
        ("cinemagraph", "exact", "loop jump over the median step"),
        ("restyle", "", "reads as the asked style at strength 0.9, structure 0.5"),
    ):
        assert row in found
    exact = {
        each.what: each.value
        for each in figures
        if each.keep == "exact" and each.task in ("inpaint", "outpaint", "cinemagraph", "animate")
    }
    assert (
        exact["known pixels (dB)"]
        == exact["outside the region (dB)"]
        == exact["first frame against the input (dB)"]
        == float("inf")
    )
    assert len(shown) == sum(each.what.startswith("CPU seconds") for each in figures)


def test_steering_is_not_asked_of_a_file(tiny):
    source = Source(name="cat.mp4", clip=walk(4), shows=Ask(prompt="a cat"))
    assert (
        list(measure(tiny, [source], ("steer",), Settings(), None, lambda name, clip: None)) == []
    )


def test_the_command_measures_a_file(tiny_model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    walk(4).save("walk.webp", lossless=True)
    words = [
        "evaluate",
        "tasks",
        "--file",
        "walk.webp=a dog",
        "--tasks",
        "inpaint",
        "mend",
        "--frames",
        "5",
        "--steps",
        "1",
        "--model",
        str(tiny_model),
        "--out",
        "f.json",
        "--sheet",
        "s.png",
    ]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert (
        "| inpaint | known pixels (dB) | exact |" in told
        and "| mend | damaged pixels before (dB) |" in told
        and "| restyle |" not in told
    )
    assert (
        "lumiere evaluate tasks --file" in told
        and (tmp_path / "s.png").is_file()
        and told == (tmp_path / "f.md").read_text() + "f.json\ns.png\n"
    )
    figures = json.loads((tmp_path / "f.json").read_text())["figures"]
    assert {
        "source": "walk.webp",
        "task": "inpaint",
        "keep": "exact",
        "what": "known pixels (dB)",
        "value": "exact",
    } in figures


def test_a_sheet_of_large_footage_stays_small():
    assert lowered(np.zeros((272, 6 * 640, 3), np.uint8)).shape == (64, 903, 3) and lowered(
        np.zeros((64, 384, 3), np.uint8)
    ).shape == (64, 384, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "clips: expected a world or files"),
        (["--tasks", "fly"], "--tasks: expected one of "),
        (["--tasks", "style", "--file", "a.mp4"], "world: expected one that holds"),
    ],
)
def test_nothing_to_measure_is_one_line(capsys, words, message):
    assert main(["evaluate", "tasks", *words]) == 2 and message in capsys.readouterr().err
