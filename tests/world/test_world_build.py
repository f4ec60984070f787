"""Building: what is rendered, resumed, refused; packs and inspection of the tiny world."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from tiny_world import still_job

from openlumiere.apps.cli import main
from openlumiere_world import build, names, sources
from openlumiere_world.build import Batch, _done, render_batch
from openlumiere_world.captions import Caption, compose
from openlumiere_world.draw import draw, render
from openlumiere_world.inspect import inspect, problems
from openlumiere_world.originals import Drawing, _shown, halved
from openlumiere_world.originals import render as frames_of
from openlumiere_world.pack import pack
from openlumiere_world.scene import plan
from openlumiere_world.scope import WORLD_32, WORLD_64, Scope
from openlumiere_world.subjects import World, decode_sheet


def test_the_world_holds_every_style_at_both_sizes(world):
    assert {item.style for item in world.items} == {"3d", "noto", "openmoji"}
    for item in world.items:
        small, large = world.sprite(item.id, 64), world.sprite(item.id, 256)
        reduced = large.reshape(len(large), 64, 4, 64, 4, 4).mean((2, 4))
        assert small.shape == (item.frames, 64, 64, 4) and np.abs(reduced - small).mean() < 2


def test_animations_run_at_sixteen_frames_a_second(world):
    """24 frames of 42 ms last a second."""
    moving = [item for item in world.items if item.kind == "animated"]
    assert [item.frames for item in moving] == [16] * 6
    assert _shown([42, 84, 126]) == [0, 1] and _shown([1000]) == [0] * 16


def test_colours_and_alpha_come_through(world):
    pixel = world.sprite("noto/1f408", 64)[0, 32, 32]
    assert tuple(pixel) == (230, 0, 230, 255) and not world.sprite("noto/1f408", 64)[0, 0].any()


def test_boxes_are_those_of_the_pixels(world):
    for item in world.items:
        for sprite, box in zip(world.sprite(item.id, 64), item.frame_boxes() * 64):
            rows, columns = (
                np.flatnonzero((sprite[..., 3] > 8).any(1)),
                np.flatnonzero((sprite[..., 3] > 8).any(0)),
            )
            assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_svg_is_centred_inside_its_margin():
    box = 'viewBox="0 0 10 20" width="10" height="20"'
    green = '<rect width="10" height="20" fill="#0f0"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{green}</svg>'
    (frame,) = frames_of(Drawing(form="svg", kind="still", svg=svg))
    assert frame.size == (256, 256) and frame.getchannel("A").getbbox() == (66, 4, 190, 252)


def test_a_drawing_that_touches_the_edge_is_shrunk(tmp_path):
    Image.new("RGBA", (256, 256), (1, 2, 3, 255)).save(tmp_path / "full.webp", lossless=True)
    (frame,) = frames_of(Drawing(form="webp", kind="still", path=str(tmp_path / "full.webp")))
    assert frame.getchannel("A").getbbox() == (4, 4, 252, 252)
    assert halved(frame, 4).size == (64, 64)


def test_what_is_done_is_not_done_again_and_other_rules_are(tmp_path, monkeypatch):
    for part in ("shards", "rows", "originals"):
        (tmp_path / part).mkdir()
    batch = Batch(name="one-0000", jobs=(still_job("noto", "1f408", tmp_path / "originals"),))
    assert not _done(batch, tmp_path)
    render_batch(batch, tmp_path)
    first = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    assert _done(batch, tmp_path) and set(first) == {"one-0000-64.tar", "one-0000-256.tar"}
    render_batch(batch, tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()} == first
    monkeypatch.setattr(build, "RULES", 2)
    assert not _done(batch, tmp_path)


def test_an_empty_drawing_is_left_out(tmp_path):
    for part in ("shards", "rows", "originals"):
        (tmp_path / part).mkdir()
    job = still_job("noto", "1f408", tmp_path / "originals")
    Image.new("RGBA", (256, 256)).save(tmp_path / "originals" / job.member, lossless=True)
    render_batch(Batch(name="one-0000", jobs=(job,)), tmp_path)
    told = json.loads((tmp_path / "rows" / "one-0000.json").read_text())
    assert told["rows"] == [] and told["left_out"] == {"noto/1f408": "1 of 1 frames are empty"}


def test_attribution_names_every_source(world_folder):
    text = (world_folder / "ATTRIBUTION.md").read_text()
    for source in ("fluent-3d", "noto", "openmoji"):
        assert sources.BY_KEY[source].licence in text and sources.BY_KEY[source].attribution in text


def test_an_archive_with_another_checksum_is_refused(tmp_path):
    package = sources.Package(
        name="@a/b", version="1.0.0", sha256=hashlib.sha256(b"right").hexdigest()
    )
    assert package.archive == "a-b-1.0.0.tgz"
    (tmp_path / package.archive).write_bytes(b"wrong")
    with pytest.raises(
        ValueError, match="expected a-b-1.0.0.tgz with sha256 .* delete it and build again"
    ):
        sources.check(tmp_path / package.archive, package.sha256)


def test_a_build_without_npm_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="expected the npm command"):
        sources.fetch(sources.NAMES, tmp_path)


def test_written_captions_cover_the_animations():
    fluent, noto = names.written("fluent"), names.written("noto")
    assert len(fluent) == 734 and len(noto) == 449 and len(names.unpublished()) == 35
    assert all(
        seen.motion_en and seen.motion_it and seen.appearance_en
        for seen in [*fluent.values(), *noto.values()]
    )
    assert (
        names.code("2764_FE0F") == "2764"
        and names.without_tone("1f468-1f3fd-200d-1f33e") == "1f468-200d-1f33e"
    )


def test_a_damaged_picture_is_refused():
    with pytest.raises(ValueError, match="expected a picture for x, got"):
        decode_sheet(b"RIFF0000WEBPnothing", 3, 64, "x")


def test_a_pack_draws_like_the_world(world, tmp_path):
    packed = pack(world, tmp_path / "pack.tar", 64)
    assert packed.bytes <= 20 * 2**20 and packed.left_out == {"still, openmoji": 6}
    (tmp_path / "pack.tar").rename(tmp_path / "renamed.tar")
    far = World.open(tmp_path / "renamed.tar")
    assert len(far.items) == len(world.items) - 6
    for item in far.items:
        assert item.fps == (12 if item.kind == "animated" else 16)
        original = world.sprite(item.id, 64)
        kept = [n * len(original) // item.frames for n in range(item.frames)]
        assert np.abs(far.sprite(item.id, 64).astype(float) - original[kept]).mean() < 3
    clip, caption, _ = draw(far, 3)
    assert clip.frames.shape == (80, 64, 64, 3) and caption


def test_a_pack_keeps_to_its_budget(world, tmp_path):
    packed = pack(world, tmp_path / "small.tar", 64, budget=30_000)
    assert (
        packed.bytes <= 30_000
        and sum(packed.packed.values()) > 0
        and sum(packed.left_out.values()) > 6
    )
    assert len(World.open(tmp_path / "small.tar").items) == sum(packed.packed.values())


def test_a_pack_of_a_scope_holds_that_alone(world, tmp_path):
    scope = Scope(subjects=("1f408", "2b50"), kinds=("still",))
    packed = pack(world, tmp_path / "part.tar", 64, scope=scope)
    assert packed.packed == {"still, 3d": 2, "still, noto": 2} and packed.left_out == {
        "still, openmoji": 2
    }
    assert {item.subject for item in World.open(tmp_path / "part.tar").items} == {"1f408", "2b50"}


def test_a_scope_needs_its_own_packages_only():
    assert [package.name for package in build.wanted(WORLD_32)] == [
        "emojibase-data",
        "@lobehub/fluent-emoji-3d",
        "@iconify-json/noto",
        "@iconify-json/twemoji",
    ]
    assert len(build.wanted(WORLD_64)) == 13


def test_an_unknown_scope_is_refused(world_folder, capsys):
    assert main(["data", "world", "pack", str(world_folder), "-o", "x.tar", "--scope", "moon"]) == 2
    assert "scope: expected world-32 or world-64, got 'moon'" in capsys.readouterr().err


def test_a_cut_pack_is_refused(world, tmp_path):
    pack(world, tmp_path / "pack.tar", 64)
    whole = (tmp_path / "pack.tar").read_bytes()
    for length in (0, 100, len(whole) // 3, len(whole) // 2):
        (tmp_path / "pack.tar").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="^expected a world folder or pack"):
            World.open(tmp_path / "pack.tar")


def test_inspection_counts_and_finds_nothing_wrong(world, tmp_path):
    report = inspect(world, tmp_path / "sheets", clips=12)
    assert report.problems == [] and sum(report.clips["motion"].values()) == 12
    assert report.clips["subject"]["subjects"] == len(report.clips["subject"]) - 1 <= 6
    assert (
        report.items["kind"] == {"still": 18, "animated": 6}
        and report.items["language of name"]["it"] == 24
    )
    assert [path.name for path in (tmp_path / "sheets").iterdir()] == ["clips-0000.png"]
    assert any("clips by motion" in line for line in report.lines())


def test_inspection_finds_what_is_wrong(world):
    facts = next(
        f
        for f in (plan(world, seed) for seed in range(99))
        if f.motion == "left" and f.background.name == "red"
    )
    frames, caption = render(world, facts, 64), compose(world, facts)
    assert problems(world, facts, caption, frames) == []
    lying = Caption(text="", language="en", said=(("motion", "right"),))
    assert problems(world, facts, lying, frames) == ["the caption says motion right"]
    hidden = frames.copy()
    hidden[7] = frames[0, 0, 0]
    assert problems(world, facts, caption, hidden) == ["frames [7] are empty"]
