"""The measure `tasks`: its figures tell kept from lost, closed from open, and the table stands on them."""

from fractions import Fraction

import numpy as np
import pytest

from openlumiere.cli import main
from openlumiere.evaluate.tasks import Figure, path_correlation, psnr, ratio, step_sizes, summary, table, thinned
from openlumiere.media import Clip


def walk(frames=8, shift=3, side=32):
    """A square that goes right by `shift` pixels a frame."""
    made = np.full((frames, side, side, 3), 60, np.uint8)
    for k in range(frames):
        made[k, 12:20, 2 + shift * k : 8 + shift * k] = 220
    return Clip(made, Fraction(16, 5))


def test_psnr_knows_equal_from_nearly():
    frames = walk().frames
    assert psnr(frames, frames) == float("inf") and psnr(frames, frames ^ 1) == pytest.approx(20 * np.log10(255))


def test_steps_and_ratios():
    assert (step_sizes(walk().frames) > 0).all() and ratio(6, np.array([1, 3, 3])) == 2
    assert ratio(0.0, np.zeros(3)) == 1 and ratio(1.0, np.zeros(3)) == float("inf")


def test_paths_that_agree_and_paths_that_turn_round():
    there, back = walk(), Clip(walk().frames[::-1], Fraction(16, 5))
    assert path_correlation(there, walk(shift=2)) > 0.99 and path_correlation(there, back) < -0.99


def test_thinning_keeps_the_time():
    clip = thinned(Clip(np.zeros((75, 8, 8, 3), np.uint8), Fraction(25)), 16)
    assert (len(clip), clip.fps) == (15, 5) and thinned(clip, 16) is clip


def test_the_table_tells_exact_from_a_number():
    figures = [Figure(source="a", task="inpaint", keep=keep, what="known pixels (dB)", value=value) for keep, value in (("exact", float("inf")), ("soft", 20.0), ("soft", 30.0))]
    assert "| inpaint | known pixels (dB) | exact | 25 (20 to 30), n = 2 | 22-40 |" in table(figures)
    assert summary([1.0, float("inf")]) == "1 (1 to 1), n = 1, 1 exact"


def test_the_command_measures_a_file(tiny_model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    walk(4).save("walk.webp", lossless=True)
    words = ["evaluate", "tasks", "--file", "walk.webp=a dog", "--frames", "4", "--steps", "1", "--model", str(tiny_model), "--out", "f.json", "--sheet", "s.png"]
    assert main(words) == 0
    told = capsys.readouterr().out
    for row in ("| animate | first frame against the input (dB) | exact |", "| inpaint | known pixels (dB) | exact |", "| cinemagraph | outside the region (dB) | exact |", "| restyle | path correlation at strength 0.5 |"):
        assert row in told
    assert "lumiere evaluate tasks --file" in told and (tmp_path / "f.json").is_file() and (tmp_path / "s.png").is_file()


def test_nothing_to_measure_is_one_line(capsys):
    assert main(["evaluate", "tasks"]) == 2 and "clips: expected a world or files" in capsys.readouterr().err
