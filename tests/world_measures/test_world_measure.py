"""The measure on rendered clips: all is as asked, and each mistake lowers its own figure."""

import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nets import picture_net
from openlumiere.apps.cli import main
from openlumiere.apps.cli.measuring import check_file
from openlumiere.engine.base import LumierePipeline
from openlumiere.models.stunet import STUNet
from openlumiere.provenance.verify import verify
from openlumiere.quality.bench import markdown
from openlumiere.train.nets import build_scheduler
from openlumiere_world import split
from openlumiere_world.backgrounds import COLOURS
from openlumiere_world.measures.judge import JudgeConfig, save_judge
from openlumiere_world.measures.world import (
    ALL,
    ASPECTS,
    KINDS,
    Columns,
    artefacts,
    as_json,
    draw_prompts,
    figures,
    measure,
    rates,
    reference_features,
    rendered,
    summary,
    tables,
    without_temporal_training,
)

FRAMES = 8


@pytest.fixture(scope="module")
def prompts(world, scope):
    return draw_prompts(world, 8, 3, scope)


@pytest.fixture(scope="module")
def clips(world, scope, prompts):
    return list(rendered(world, prompts, FRAMES, 32, scope))


@pytest.fixture(scope="module")
def real(prompts, clips, judge):
    return measure(prompts, clips, judge)


@pytest.fixture(scope="module")
def reference(world, scope, judge):
    return reference_features(world, judge, 32, scope, clips=40)


def hits(results):
    return {aspect: rate.hits for aspect, rate in rates(results).items()}


def test_prompts_are_of_both_kinds_and_every_language(world, prompts):
    assert Counter(prompt.kind for prompt in prompts) == dict.fromkeys(KINDS, 8)
    assert {prompt.language for prompt in prompts} == {"en", "it", "es", "fr", "de"}
    for prompt in prompts:
        held = split.held_out(
            prompt.asked("subject"), prompt.asked("motion"), prompt.asked("background")
        )
        assert held == (prompt.kind == "held out")


def test_prompts_say_what_is_read(world, scope, prompts):
    assert any(
        "black background" in p.text or "plain black" in p.text
        for p in draw_prompts(world, 30, 0, scope)
        if p.asked("background") == "black"
    )
    for prompt in prompts:
        styled = any(word in prompt.text for word in ("Noto", "3D"))
        assert styled or prompt.asked("style") == "3d"


def test_prompts_come_from_the_seed_alone(world, scope, prompts):
    again, fewer, other = (
        draw_prompts(world, count, seed, scope) for count, seed in ((8, 3), (3, 3), (8, 4))
    )
    texts = [prompt.text for prompt in prompts]
    assert (
        [p.text for p in again] == texts
        and [p.text for p in fewer] == texts[:6]
        and [p.text for p in other] != texts
    )


def test_rendered_clips_are_as_asked_and_without_artefacts(real):
    assert hits(real) == dict.fromkeys((*ASPECTS, ALL), 16)
    assert {name: rate.hits for name, rate in artefacts(real).items()}["any artefact"] == 0


def test_clips_of_other_prompts_lower_every_rate(prompts, clips, judge, real):
    turned = hits(measure(prompts, clips[3:] + clips[:3], judge))
    assert all(turned[aspect] < 16 for aspect in ASPECTS) and turned[ALL] < 4


def test_a_wrong_motion_lowers_the_motion_alone(prompts, clips, judge):
    wrong = hits(measure(prompts, [clip[::-1] for clip in clips], judge))
    still = sum(prompt.asked("motion") == "stay" for prompt in prompts)
    assert wrong == dict.fromkeys(("subject", "style", "background"), 16) | {
        "motion": still,
        ALL: still,
    }


def test_a_frozen_clip_has_no_motion_left(prompts, clips, judge):
    still = sum(prompt.asked("motion") == "stay" for prompt in prompts)
    assert (
        hits(measure(prompts, [clip[:1].repeat(FRAMES, 0) for clip in clips], judge))["motion"]
        == still
    )


def test_a_wrong_background_lowers_the_background(prompts, clips, judge):
    recoloured = [
        np.where(
            (clip == COLOURS[p.asked("background")]).all(-1, keepdims=True), COLOURS["pink"], clip
        ).astype(np.uint8)
        for p, clip in zip(prompts, clips)
    ]
    wrong = hits(measure(prompts, recoloured, judge))
    assert wrong["background"] == 0 and wrong["motion"] == 16


def test_what_cannot_be_recognised_lowers_the_subject_and_its_chance(
    prompts, clips, judge, real, reference
):
    def coarse(clip):
        return (
            clip.reshape(FRAMES, 4, 8, 4, 8, 3)
            .mean((2, 4))
            .round()
            .astype(np.uint8)
            .repeat(8, 1)
            .repeat(8, 2)
        )

    wrong = measure(prompts, [coarse(clip) for clip in clips], judge)
    assert hits(wrong)["subject"] < 16
    assert (
        figures(wrong, judge, reference)["chance"] < figures(real, judge, reference)["chance"] - 0.1
    )


def test_noise_worsens_distance_and_flicker(prompts, clips, judge, real, reference):
    random = np.random.default_rng(0)
    spoilt = measure(
        prompts,
        [
            np.clip(clip + random.normal(0, 60, clip.shape), 0, 255).astype(np.uint8)
            for clip in clips
        ],
        judge,
    )
    worse, good = figures(spoilt, judge, reference), figures(real, judge, reference)
    assert (
        worse["frechet"] > 1.2 * good["frechet"]
        and worse["lite-flicker"] < good["lite-flicker"] - 0.05
    )


def test_scrambled_frames_are_artefacts_and_no_straight_path(
    prompts, clips, judge, real, reference
):
    moving = [
        (p, clip[[0, 5, 2, 7, 1, 4, 3, 6]])
        for p, clip in zip(prompts, clips)
        if p.asked("motion") != "stay"
    ]
    scrambled = measure([p for p, _ in moving], [clip for _, clip in moving], judge)
    assert artefacts(scrambled)["jump"].hits == len(moving)
    assert (
        figures(scrambled, judge, reference)["path_residual"]
        > 0.05
        > figures(real, judge, reference)["path_residual"]
    )


def test_as_many_clips_as_prompts(prompts, clips, judge):
    with pytest.raises(ValueError, match="shorter"):
        measure(prompts, clips[:3], judge)


def test_the_tables_have_every_column(real, judge, reference):
    found = summary(Columns(made=real, real=real, floor=real[:2], reference=reference), judge)
    rows = [line.strip("| ").split(" | ") for line in tables(found).splitlines()]
    assert rows[0] == [
        "as asked",
        "trained (8)",
        "held out (8)",
        "en (4)",
        "it (4)",
        "es (4)",
        "fr (2)",
        "de (2)",
        "real clips (16)",
        "no temporal training (2)",
    ]
    assert [row[0] for row in rows[2:7]] == [*ASPECTS, ALL] and all(
        len(row) == 10 for row in rows[2:7]
    )
    assert rows[4][8] == "100.0 % (80.6-100.0)"
    assert (
        rows[8] == ["over all clips", "made", "real clips", "no temporal training"]
        and len(rows[10:]) == 10
    )
    without = summary(Columns(made=real, real=real, floor=[], reference=reference), judge)
    assert "no temporal training" not in tables(without)


def test_markdown_rows():
    assert markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_json_holds_the_counts_and_every_clip(real, judge, reference):
    found = json.loads(
        json.dumps(
            as_json(
                summary(Columns(made=real, real=real, floor=[], reference=reference), judge), real
            )
        )
    )
    assert (
        found["rates"]["made"]["motion"]["hits"] == 16
        and found["rates"]["real"]["motion"]["interval"][1] == 1
    )
    assert (
        len(found["clips"]) == 16
        and found["clips"][0]["asked"]["subject"] == found["clips"][0]["read"]["subject"]
    )
    assert sum(int(each.split("/")[1]) for each in found["by_asked"]["subject"].values()) == 16


def build_net(seed: int = 0) -> STUNet:
    unet = picture_net(8, 48, widths=(8, 16), seed=seed)
    return STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)).eval()


def test_without_temporal_training_is_the_picture_net_inflated_anew():
    net = build_net()
    sample, text = torch.randn(1, 48, 4, 8, 8), torch.randn(1, 5, 384)
    expected = net(sample, 7, text).sample
    for parameter in net.temporal_parameters():
        torch.nn.init.normal_(parameter.data, std=0.2)
    trained = net(sample, 7, text).sample
    assert torch.equal(without_temporal_training(net)(sample, 7, text).sample, expected)
    assert torch.equal(net(sample, 7, text).sample, trained) and not torch.allclose(
        trained, expected, atol=1e-3
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    LumierePipeline(build_net(), build_scheduler(), unshuffle=4).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def judge_file(judge, tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    save_judge(judge, path, JudgeConfig(), {"composition, clean": {"subject": 1.0}})
    return path


@pytest.fixture
def words(world_folder, model, judge_file):
    return [
        "evaluate",
        "world",
        str(world_folder),
        "--model",
        str(model),
        "--judge",
        str(judge_file),
    ]


def test_the_command_writes_figures_and_a_sheet(words, tmp_path, capsys):
    out, sheet = tmp_path / "world.json", tmp_path / "sheet.png"
    sizes = ["--prompts", "3", "--frames", "5", "--steps", "1", "--floor", "1"]
    assert main([*words, *sizes, "--out", str(out), "--sheet", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert (
        "| all four |" in printed
        and "lumiere evaluate world" in printed
        and "composition, clean: subject 100.0 %" in printed
    )
    found = json.loads(out.read_text())
    assert (
        found["rates"]["made"]["subject"]["trials"] == 3
        and found["rates"]["floor"]["subject"]["trials"] == 1
    )
    assert found["rates"]["real"]["background"]["hits"] == 3 and len(found["clips"]) == 3
    with Image.open(sheet) as picture:
        assert picture.size[0] == 3 * (5 * 32 + 4)
    assert verify(sheet).verdict.startswith("made by openlumiere")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet.png", "world.json"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--prompts", "1"], "prompts: expected"),
        (["--frames", "81"], "frames: expected"),
        (["--guidance", "nan"], "guidance: expected"),
        (["--floor", "101"], "floor: expected"),
        (["--out", "missing/x.json"], "output: expected"),
        (["--sheet", "x.jpg"], "output: expected"),
        (["--judge", __file__], "judge: expected the weights of a judge"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(words, capsys, change, told):
    assert main([*words, *change]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_a_net_of_another_size_is_refused(words, tiny_model, capsys):
    assert main([*words, "--model", str(tiny_model)]) == 2
    assert "model: expected frames of 32, 64, 256 px, got 16" in capsys.readouterr().err


def test_an_unknown_measure_is_refused(capsys):
    assert main(["evaluate", "beauty"]) == 2
    assert "measure: expected one of world, judge" in capsys.readouterr().err
    assert main(["evaluate", "--help"]) == 0 and "judge" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "name"), [("--out", "taken.json"), ("--sheet", "taken.png")])
def test_an_output_that_is_a_folder_is_kept(words, tmp_path, capsys, option, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "letter.txt").write_text("dear")
    assert main([*words, option, str(tmp_path / name)]) == 2
    assert (
        "output: expected" in capsys.readouterr().err and (tmp_path / name / "letter.txt").is_file()
    )


@pytest.mark.parametrize("output", ["x.json", "x.png"])
def test_a_folder_of_others_is_refused_before_any_work(output):
    """As a user without rights to it; root may write everywhere."""
    root = os.getuid() == 0
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        if root:
            os.setresuid(65534, 65534, 0)
        try:
            with pytest.raises(ValueError, match="folder that can be written"):
                check_file(Path(name) / output, Path(output).suffix)
        finally:
            if root:
                os.setresuid(0, 0, 0)
            Path(name).chmod(0o755)
