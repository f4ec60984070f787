import json
import os
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image

from openlumiere.cli import main
from openlumiere.cli.evaluate import check_file
from openlumiere.data.world.slice import TEMPLATES
from openlumiere.evaluate.preview import (
    ASPECTS, Result, as_json, draw_scenes, floor, markdown, measure, rates, rendered, summary, table,
)  # fmt: skip
from openlumiere.models.stunet import STUNet
from openlumiere.pipelines.base import LumierePipeline
from openlumiere.train.image import build_scheduler


@pytest.fixture(scope="module")
def results(sprites) -> list[Result]:
    scenes = draw_scenes(12, seed=3)
    return measure(scenes, rendered(scenes, sprites, 6, 64), sprites, 64)


def test_scenes_cover_every_combination_in_both_languages():
    scenes = draw_scenes(384, seed=0)
    combinations = Counter((scene.subject, scene.background, scene.motion) for scene in scenes)
    assert len(combinations) == 192 and set(combinations.values()) == {2}
    assert Counter(TEMPLATES[scene.template][0] for scene in scenes) == {0: 192, 1: 192}
    assert {scene.template for scene in scenes} == {0, 1, 2, 3, 4}  # the sentences that name a motion


def test_scenes_come_from_the_seed_alone():
    assert draw_scenes(20, seed=1) == draw_scenes(20, seed=1)
    assert draw_scenes(20, seed=1) == draw_scenes(40, seed=1)[:20]
    assert draw_scenes(20, seed=1) != draw_scenes(20, seed=2)


def test_rendered_clips_are_all_as_asked(results):
    assert {aspect: rate.hits for aspect, rate in rates(results).items()} == dict.fromkeys((*ASPECTS, "all three"), 12)


def test_a_wrong_aspect_costs_its_own_rate_and_that_of_all_three(results):
    first = results[0]
    wrong = replace(first.scene, motion=(first.scene.motion + 1) % 4)
    found = rates([Result(wrong, first.reading), *results[1:]])
    assert {aspect: rate.hits for aspect, rate in found.items()} == {"subject": 12, "background": 12, "motion": 11, "all three": 11}


def test_nothing_seen_is_no_hit(results):
    blind = [Result(r.scene, replace(r.reading, subject=None, motion=None)) for r in results]
    found = rates(blind)
    assert (found["subject"].hits, found["motion"].hits, found["background"].hits) == (0, 0, 12)


def test_the_floor_is_what_shuffled_prompts_reach(results):
    order = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(400):
        turn = torch.randperm(len(results), generator=order).tolist()
        shuffled = [Result(results[other].scene, result.reading) for other, result in zip(turn, results)]
        shares.append([rate.share for rate in rates(shuffled).values()])
    assert list(floor(results).values()) == pytest.approx(torch.tensor(shares).mean(0).tolist(), abs=0.03)


def test_as_many_clips_as_scenes(sprites):
    scenes = draw_scenes(2, seed=0)
    with pytest.raises(ValueError):
        measure(scenes, rendered(scenes[:1], sprites, 4, 64), sprites, 64)


def test_markdown_rows():
    assert markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_table_has_a_row_an_aspect_and_every_column(results):
    rows = [line.strip("| ").split(" | ") for line in table(summary(results, results)).splitlines()]
    assert rows[0] == ["as asked", "all (12)", "English (6)", "Italian (6)", "ceiling: rendered clips (12)", "floor: prompts shuffled"]
    assert [row[0] for row in rows[2:6]] == ["subject", "background", "motion", "all three"]
    assert rows[4][1:3] == ["100.0 % (75.8-100.0)", "100.0 % (61.0-100.0)"]
    assert all(len(row) == 6 for row in rows[2:6])
    assert len(rows[6:]) == 7  # an empty line, a head, a rule, four figures


def test_one_prompt_has_a_table_without_the_other_language(results):
    assert "| - |" in table(summary(results[:1], results[:1]))


def test_json_holds_the_counts_and_every_clip(results):
    found = json.loads(json.dumps(as_json(summary(results, results), results)))
    assert found["rates"]["motion"]["hits"] == 12 and found["rates"]["motion"]["interval"][1] == 1
    assert len(found["clips"]) == 12 and found["clips"][0]["asked"]["subject"] == found["clips"][0]["read"]["subject"]
    assert sum(int(each.split("/")[1]) for each in found["by_asked"]["subject"].values()) == 12


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=4, in_channels=48, out_channels=48, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        cross_attention_dim=384, attention_head_dim=8, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    LumierePipeline(STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)), build_scheduler(), unshuffle=4).save_pretrained(folder)
    return folder


def test_the_command_writes_figures_and_a_sheet(package, tiny_model, tmp_path, capsys):
    out, sheet = tmp_path / "preview.json", tmp_path / "sheet.png"
    sizes = ["--prompts", 3, "--batch", 2, "--frames", 4, "--steps", 2]
    words = ["evaluate", "preview", "--package", package, "--model", tiny_model, *sizes, "--out", out, "--sheet", sheet]
    assert main([str(word) for word in words]) == 0
    printed = capsys.readouterr().out
    assert "| all three |" in printed and "lumiere evaluate preview --package" in printed
    found = json.loads(out.read_text())
    assert found["rates"]["subject"]["trials"] == 3 and found["by_language"]["Italian"]["motion"]["trials"] == 1
    assert found["ceiling"]["background"]["hits"] == 3
    assert len({clip["prompt"] for clip in found["clips"]}) == 3
    with Image.open(sheet) as picture:
        assert picture.size == (2 * (6 * 16 + 4), 2 * (16 + 4 + 16))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["preview.json", "sheet.png"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--prompts", "0"], "prompts: expected"), (["--frames", "81"], "frames: expected"), (["--guidance", "nan"], "guidance: expected"),
        (["--out", "missing/x.json"], "output: expected"), (["--sheet", "x.jpg"], "output: expected"), (["--package", "missing.tgz"], "package: expected"),
        (["--package", __file__], "package: expected the sprites"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_any_work(package, tiny_model, capsys, change, told):
    assert main(["evaluate", "preview", "--package", str(package), "--model", str(tiny_model), *change]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


@pytest.mark.parametrize(("option", "name"), [("--out", "taken.json"), ("--sheet", "taken.png")])
def test_an_output_that_is_a_folder_is_kept(package, tmp_path, capsys, option, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "letter.txt").write_text("dear")
    assert main(["evaluate", "preview", "--package", str(package), option, str(tmp_path / name)]) == 2
    assert "output: expected" in capsys.readouterr().err and (tmp_path / name / "letter.txt").is_file()


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


def test_an_unknown_measure_is_refused(package, capsys):
    assert main(["evaluate", "beauty", "--package", str(package)]) == 2
    assert "measure: expected preview" in capsys.readouterr().err


@pytest.mark.parametrize("side", [32, 64])
def test_the_ceiling_is_whole_at_either_size_of_the_net(sprites, side):
    scenes = draw_scenes(16, seed=5)
    found = rates(measure(scenes, rendered(scenes, sprites, 6, side), sprites, side))
    assert all(rate.share == 1 for rate in found.values())
