"""`lumiere data ingest` and `lumiere data look`, as a person calls them."""

import sys
from pathlib import Path

import pytest

from openlumiere.apps.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from recordings import fill

SMALL = ["--side", "32", "--frames", "8", "--fps", "8"]


def test_from_a_folder_to_a_page(tmp_path, capsys):
    footage = fill(tmp_path / "in", 2)
    words = ["data", "ingest", str(footage), "-o", str(tmp_path / "out"), *SMALL]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2 clips, 0.0 minutes, of 2 files"
    assert said[-1] == str(tmp_path / "out")
    page = tmp_path / "page.html"
    assert main(["data", "look", str(tmp_path / "out"), "-o", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.read_text().count("<figure>") == 2
    shard = tmp_path / "out" / "clips-00000.tar"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert main(["data", "look", str(tmp_path / "out"), "-o", str(page)]) == 1
    assert "damaged: clips-00000.tar" in capsys.readouterr().out


def test_more_bad_files_than_the_budget_exit_1_and_the_shards_are_good(tmp_path, capsys):
    footage = fill(tmp_path / "in", 1)
    (footage / "bad.mp4").write_text("no video")
    words = ["data", "ingest", str(footage), "-o", str(tmp_path / "out"), *SMALL]
    assert main(words) == 1
    assert "1 files could not be used" in capsys.readouterr().out
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert main([*words, "--budget", "0.5"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "{in}", "-o", "{out}", "--side", "4"], "side: expected 8 to 1024, got 4"),
        (["ingest", "{in}", "-o", "{out}", "--fps", "x"], "fps: expected a number or a fraction"),
        (["ingest", "{in}", "-o", "{out}", "--drop", "odd"], "drop: expected one of short"),
        (["ingest", "{in}", "-o", "{out}", "--workers", "0"], "workers: expected 1 to 1024"),
        (["ingest", "{in}", "-o", "{out}", "--budget", "2"], "budget: expected a share"),
        (["ingest", "{in}", "-o", "{out}"], "footage: expected videos below"),
        (["ingest", "{in}/none", "-o", "{out}"], "footage: expected a folder"),
        (["ingest", "{in}", "-o", "{out}", "--sides", "4"], "perhaps you meant --side"),
        (["look", "{in}"], "shards: expected a folder that lumiere data ingest finished"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(tmp_path, capsys, words, said):
    (tmp_path / "in").mkdir()
    places = {"in": tmp_path / "in", "out": tmp_path / "out"}
    assert main(["data", *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
