import json

import numpy as np
import pytest

from openlumiere.apps.cli import main
from openlumiere.media import Clip, load_image
from openlumiere.quality.defects import boxed, find_defects


def walking(count=40, side=64):
    """A disc that walks to the right on a slope of grey, and a little noise: [f, side, side, 3]."""
    y, x = np.mgrid[:side, :side]
    noise = np.random.default_rng(0).integers(-2, 3, (count, side, side, 1))
    frames = [
        np.where((x - 8 - 1.2 * k) ** 2 + (y - side / 2) ** 2 < 190, 220, 60 + y)
        for k in range(count)
    ]
    return (
        (np.stack(frames)[..., None] + noise + np.array([0, 5, 10])).clip(0, 255).astype(np.uint8)
    )


def flickered(frames):
    frames[10:20:2, 16:32, 32:48] = np.minimum(frames[10:20:2, 16:32, 32:48], 225) + 30
    return frames


def frozen(frames):
    frames[21:25] = frames[20]
    return frames


def cut(frames):
    frames[18:] = 255 - frames[18:]
    return frames


def with_seam(frames):
    frames[:, :, 40:] = np.minimum(frames[:, :, 40:], 245) + 10
    return frames


def drifting(frames):
    ramp = np.linspace(0, 30, len(frames))[:, None, None]
    frames[..., 2] = (frames[..., 2] + ramp).clip(0, 255)
    return frames


FLAWS = {
    "flicker": (
        flickered,
        lambda flaw: (
            8 <= flaw.first <= 10 and 18 <= flaw.last <= 21 and flaw.box == (16, 32, 32, 48)
        ),
    ),
    "frozen": (frozen, lambda flaw: (flaw.first, flaw.last) == (20, 24)),
    "jump": (cut, lambda flaw: (flaw.first, flaw.last) == (17, 18)),
    "seam (column)": (with_seam, lambda flaw: flaw.box == (0, 39, 64, 41)),
    "colour drift": (drifting, lambda flaw: 20 < flaw.levels < 31),
}


def test_a_good_clip_has_none():
    assert find_defects(walking()) == []
    assert find_defects(walking()[:1]) == [] and find_defects(walking()[:3]) == []
    assert find_defects(np.full((20, 8, 8, 3), 9, np.uint8), loop=True) == []


@pytest.mark.parametrize("kind", FLAWS)
def test_a_flaw_is_found_where_it_is_and_no_other(kind):
    spoil, is_there = FLAWS[kind]
    found = find_defects(spoil(walking()))
    assert [flaw.kind for flaw in found] == [kind] and is_there(found[0]), found


def test_rows_and_columns_alike():
    found = find_defects(np.swapaxes(with_seam(walking()), 1, 2))
    assert [(flaw.kind, flaw.box) for flaw in found] == [("seam (row)", (39, 0, 41, 64))]


def test_loops():
    there_and_back = np.concatenate([walking(), walking()[::-1]])
    assert find_defects(there_and_back, loop=True) == []
    (flaw,) = find_defects(walking(), loop=True)
    assert (flaw.kind, flaw.first) == ("broken loop", 39)


def test_the_whole_picture_flickers():
    frames = walking()
    frames[5:15:2] = frames[5:15:2] // 2
    kinds = {flaw.kind for flaw in find_defects(frames)}
    assert "flicker" in kinds and any(
        flaw.box == (0, 0, 64, 64) for flaw in find_defects(frames) if flaw.kind == "flicker"
    )


def test_a_box_is_drawn_inside_the_frame():
    shown = boxed(np.zeros((8, 8, 3), np.uint8), (0, 2, 8, 4))
    assert (shown[:, 2:4] == (255, 0, 0)).all() and not shown[:, [0, 1, 4, 7]].any()


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Clip(walking()).save("good.webp", lossless=True)
    Clip(cut(walking())).save("cut.webp", lossless=True)
    assert (
        main(["evaluate", "defects", "good.webp", "-o", "none.png"]),
        capsys.readouterr().out,
    ) == (0, "no flaw found\n")
    assert main(["evaluate", "defects", "cut.webp", "-o", "cut.png"]) == 1
    line, sheet = capsys.readouterr().out.splitlines()
    assert (
        line.startswith("jump: frames 17 to 18 (1.06 to 1.19 s), rows 0 to 64, columns 0 to 64, ")
        and sheet == "cut.png"
    )
    assert load_image("cut.png").shape[1] > 4 * 64 and not (tmp_path / "none.png").exists()
    assert (
        main(["evaluate", "defects", "cut.webp", "--json"]) == 1
        and json.loads(capsys.readouterr().out)[0]["first"] == 17
    )
    assert main(["evaluate", "defects", "cut.webp", "-o", "missing/cut.png"]) == 2
