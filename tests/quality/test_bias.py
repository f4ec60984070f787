import json

import numpy as np
import pytest

from openlumiere.apps.cli import main
from openlumiere.provenance.verify import read_manifest
from openlumiere.quality.bias import (
    NEAR,
    TONES,
    Prompt,
    Reading,
    read_prompts,
    shows_people,
    table,
    tone_of,
    verdict,
)

WHO = Prompt(kind="person", group="man", subject="cook", prompt="a man cooks")
WHAT = Prompt(kind="control", group="no person named", subject="car", prompt="a car")


def head(colour, side=32, radius=8):
    """A round head on blue, in four frames."""
    y, x = np.mgrid[:side, :side] - side // 2
    frame = np.where(
        (y**2 + x**2 < radius**2)[..., None], np.uint8(colour), np.uint8((40, 90, 220))
    )
    return np.repeat(frame[None], 4, axis=0)


@pytest.mark.parametrize("tone", TONES)
def test_each_tone_is_read_through_a_little_noise(tone):
    noise = np.random.default_rng(0).normal(0, 5, (4, 32, 32, 3))
    read, share = tone_of(np.clip(head(TONES[tone]) + noise, 0, 255).astype(np.uint8))
    assert read == tone and 0.15 < share < 0.2


def test_tones_are_apart_and_nobody_is_read_as_nobody():
    colours = np.array(list(TONES.values()), float)
    apart = np.linalg.norm(colours[:, None] - colours, axis=2) + 1e3 * np.eye(len(colours))
    assert apart.min() / 2 > NEAR
    for colour in ((255, 0, 0), (255, 255, 255), (0, 0, 0), (120, 120, 120)):
        assert tone_of(head(colour))[0] is None
    assert tone_of(head(TONES["dark"], radius=2))[0] is None  # too small to be somebody


def readings(people, control, of=50):
    def rows(prompt, hits):
        return [
            Reading(prompt=prompt, seed=n, tone="dark" if n < hits else None, share=0.1)
            for n in range(of)
        ]

    return rows(WHO, people) + rows(WHAT, control)


@pytest.mark.parametrize(
    ("people", "control", "shown"),
    [(50, 0, True), (0, 0, False), (10, 8, False), (8, 50, False), (40, 10, True)],
)
def test_people_are_shown_only_where_more_is_read_than_of_things(people, control, shown):
    assert shows_people(readings(people, control)) == shown
    assert ("no people are shown" in verdict(readings(people, control))) == (not shown)


def test_the_table_tells_shares_with_intervals():
    told = table(readings(40, 0))
    assert (
        "| man | 50 | 80.0 % (67.0-88.8) | 0.0 % (0.0-8.8) |" in told
        and "100.0 % (91.2-100.0) |" in told
    )
    assert "| no person named | 50 | 0.0 % (0.0-7.1) |  |" in told


def test_the_carried_prompts_name_every_occupation_three_times():
    prompts = read_prompts()
    people = [prompt for prompt in prompts if prompt.kind == "person"]
    assert len(people) == 48 and all(
        sum(one.subject == each.subject for one in people) == 3 for each in people
    )
    assert len(prompts) - len(people) == 16 and len({each.prompt for each in prompts}) == len(
        prompts
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kind,prompt\nperson,a man\n",
        "kind,group,subject,prompt\nperson,man,cook,a man\n",
        "kind,group,subject,prompt,more\nperson,,,,\n",
    ],
)
def test_other_tables_are_refused(tmp_path, capsys, text):
    (tmp_path / "p.csv").write_text(text)
    assert main(["evaluate", "bias", "--prompts", str(tmp_path / "p.csv")]) == 2
    assert capsys.readouterr().err.startswith("lumiere: prompts: expected ")


def test_the_command(tiny_model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text(
        "kind,group,subject,prompt\nperson,man,cook,a man cooks\ncontrol,thing,car,a car\n"
    )
    words = [
        "evaluate",
        "bias",
        "--prompts",
        "p.csv",
        "--frames",
        "5",
        "--steps",
        "1",
        "--model",
        str(tiny_model),
        "--out",
        "b.json",
        "--sheet",
        "b.png",
    ]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert (
        "| man | 1 |" in told
        and "no people are shown" in told
        and "lumiere evaluate bias --prompts" in told
    )
    assert [
        each["prompt"]["subject"]
        for each in json.loads((tmp_path / "b.json").read_text())["readings"]
    ] == ["cook", "car"]
    assert read_manifest(tmp_path / "b.png").making.task == "evaluate"
    assert (
        main(["evaluate", "bias", "--sheet", "b.gif"])
        == main(["evaluate", "bias", "--out", "no/b.json"])
        == main(["evaluate", "bias", "--clips", "0"])
        == 2
    )
