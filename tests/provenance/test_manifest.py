import json
import shutil
from dataclasses import replace

import av
import c2pa
import pytest

from openlumiere.media import Clip
from openlumiere.media.digest import sha256_of_file
from openlumiere.provenance.certificate import new_signer
from openlumiere.provenance.detached import read_statement, statement_path, write_statement
from openlumiere.provenance.manifest import (
    EDITED,
    LABEL,
    MADE,
    Making,
    Source,
    embed,
    extract,
)
from openlumiere.settings import TELL_PROMPT

MAKING = Making(task="generate", model="ab" * 32, mark="abab-00000001")


def remuxed(source, target):
    """The same packets in another container, without the manifest."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                after.mux(packet)
    return target


@pytest.fixture
def unsigned(tmp_path, pictures):
    """`unsigned(".mp4")`: a small file without a manifest."""

    def write(suffix, name="clip", **content):
        path = tmp_path / f"{name}{suffix}"
        if suffix == ".mov":
            return remuxed(write(".mp4", f"{name}-before", **content), path)
        return Clip(pictures(1 if suffix == ".png" else 4, 48, **content)).save(path)

    return write


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webp", ".gif", ".png"])
def test_what_is_said_comes_back(unsigned, suffix):
    path = unsigned(suffix)
    before, size = Clip.load(path), path.stat().st_size
    assert extract(path).state == "none"
    embed(path, MAKING)
    found = extract(path)
    assert (found.state, found.making, found.generator) == ("trusted", MAKING, MAKING.generator)
    assert extract(path, roots=()).state == extract(path, roots=new_signer().chain).state == "valid"
    assert Clip.load(path) == before and path.stat().st_size - size < 8000


def assertions(path):
    with open(path, "rb") as content, c2pa.Reader(content) as reader:
        return {each["label"]: each["data"] for each in reader.get_active_manifest()["assertions"]}


def test_any_tool_reads_that_a_model_made_it(unsigned):
    path = unsigned(".png")
    embed(path, MAKING)
    (action,) = assertions(path)["c2pa.actions.v2"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", MADE)


def test_the_prompt_is_told_only_on_request(made, tmp_path, monkeypatch):
    for value, told in (("", None), ("0", None), ("1", "a secret dog 🐶")):
        monkeypatch.setenv(TELL_PROMPT, value)
        made("a secret dog 🐶", count=1, side=32).save(tmp_path / "a.png")
        assert extract(tmp_path / "a.png").making.prompt == told
        assert (b"secret" in (tmp_path / "a.png").read_bytes()) == (told is not None)


def test_edited_footage_keeps_its_history(unsigned, tmp_path):
    footage, picture, clip = (
        unsigned(".mp4", "footage"),
        unsigned(".png", "picture"),
        unsigned(".webp", "edit"),
    )
    embed(footage, MAKING)
    parent = Source(
        sha256="11", marks=(MAKING.mark,), file=footage, file_sha256=sha256_of_file(footage)
    )
    shown = Source(
        sha256="22", relationship="componentOf", file=picture, file_sha256=sha256_of_file(picture)
    )
    led = Source(sha256="33", relationship="inputTo")
    making = replace(MAKING, task="inpaint", mark="abab-00000002", inputs=(parent, shown, led))
    embed(clip, making)
    found = extract(clip)
    assert (
        found.state == "trusted"
        and found.making == making
        and set(found.told_marks) == {MAKING.mark, making.mark}
    )
    opened, edited = assertions(clip)["c2pa.actions.v2"]["actions"]
    assert (opened["action"], edited["action"], edited["digitalSourceType"]) == (
        "c2pa.opened",
        "c2pa.edited",
        EDITED,
    )
    assert (
        len(opened["parameters"]["ingredients"]) == 1
        and len(edited["parameters"]["ingredients"]) == 2
    )
    with open(clip, "rb") as content, c2pa.Reader(content) as reader:
        store = json.loads(reader.json())
    kept = [
        one
        for one in store["manifests"][store["active_manifest"]]["ingredients"]
        if "active_manifest" in one
    ]
    assert len(kept) == 1 and LABEL in str(store["manifests"][kept[0]["active_manifest"]])


def test_a_file_that_changed_since_is_not_taken_for_the_source(unsigned):
    footage, clip = unsigned(".mp4", "footage"), unsigned(".webp", "edit")
    embed(footage, MAKING)
    source = Source(sha256="11", file=footage, file_sha256="of what was edited")
    embed(clip, replace(MAKING, inputs=(source,)))
    with open(clip, "rb") as content, c2pa.Reader(content) as reader:
        assert len(json.loads(reader.json())["manifests"]) == 1
    assert extract(clip).making.inputs == (source,)


def box(path):
    """Where the C2PA box of an mp4 begins and ends."""
    data = path.read_bytes()
    start = data.index(b"uuid\xd8\xfe\xc3\xd6") - 4
    return data, start, start + int.from_bytes(data[start : start + 4], "big")


def damaged(path, how):
    data, start, end = box(path)
    middle = (start + end) // 2
    return {
        "a pixel": data[:-50] + bytes([data[-50] ^ 1]) + data[-49:],
        "a byte of the box": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "half of the box": data[:start]
        + (middle - start).to_bytes(4, "big")
        + data[start + 4 : middle]
        + data[end:],
        "a box without an end": data[:middle],
        "zeros in the box": data[: start + 60] + bytes(end - start - 60) + data[end:],
    }[how]


@pytest.mark.parametrize(
    "how",
    ["a pixel", "a byte of the box", "half of the box", "a box without an end", "zeros in the box"],
)
def test_damage_is_told(unsigned, how):
    path = unsigned(".mp4")
    embed(path, MAKING)
    path.write_bytes(damaged(path, how))
    found = extract(path)
    assert found.state == "tampered" and found.problem


def test_a_manifest_copied_onto_another_clip_does_not_hold(unsigned):
    mine, others = unsigned(".mp4"), unsigned(".mp4", "others", phase=2)
    for path in (mine, others):
        embed(path, MAKING)
    (data, start, end), (target, first, last) = box(mine), box(others)
    assert (start, end) == (first, last)
    others.write_bytes(target[:first] + data[start:end] + target[last:])
    assert extract(others).problem == "assertion.bmffHash.mismatch"


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"jumb c2pa", b"\0\0\0\x18ftypmp42" + bytes(40) + b"jumbc2pa", bytes(1000)],
)
def test_no_media_has_no_manifest(tmp_path, content):
    (tmp_path / "clip.mp4").write_bytes(content)
    assert extract(tmp_path / "clip.mp4").state in ("none", "tampered")


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"task": 3},
        {**MAKING.as_json(), "inputs": [{}]},
        {**MAKING.as_json(), "mark": 7},
        {**MAKING.as_json(), "more": 1},
    ],
)
def test_odd_statements_are_refused(told):
    with pytest.raises(ValueError, match="manifest: expected "):
        Making.from_json(told)


def test_relationships_are_those_of_c2pa():
    with pytest.raises(
        ValueError,
        match="relationship: expected one of parentOf, componentOf, inputTo, got 'friendOf'",
    ):
        Source(sha256="11", relationship="friendOf")


@pytest.fixture
def folder(made, tmp_path):
    made(count=3, side=32).save(f"{tmp_path}/frames/")
    return tmp_path / "frames"


def test_a_statement_travels_with_what_it_is_about(made, tmp_path, folder):
    made(count=3, side=32).save(tmp_path / "a.webm")
    assert statement_path(tmp_path / "a.webm").name == "a.webm.provenance.json"
    for path in (tmp_path / "a.webm", folder):
        found = read_statement(path)
        assert (found.state, found.making) == ("trusted", made().origin.making())
    folder.rename(tmp_path / "moved")
    assert read_statement(tmp_path / "moved").state == "trusted"
    for name in ("a.webm", "a.webm.provenance.json"):
        (tmp_path / name).rename(tmp_path / name.replace("a.webm", "b.webm"))
    assert read_statement(tmp_path / "b.webm").state == "trusted"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


FRAME = "frame_00001.png"
TAMPERING = {
    "a frame changed": lambda folder: flip(folder / FRAME),
    "a frame lost": lambda folder: (folder / FRAME).unlink(),
    "a frame more": lambda folder: shutil.copy(folder / FRAME, folder / "frame_00003.png"),
    "two frames exchanged": lambda folder: (folder / FRAME).rename(folder / "frame_00009.png"),
    "another rate": lambda folder: (folder / "clip.json").write_text('{"fps": "8", "frames": 3}'),
    "another statement": lambda folder: write_claim(
        folder, lambda told: told | {"claim": told["claim"].replace("generate", "recorded")}
    ),
    "no chain": lambda folder: write_claim(folder, lambda told: told | {"chain": ""}),
    "another's chain": lambda folder: write_claim(
        folder, lambda told: told | {"chain": new_signer().chain_pem().decode()}
    ),
    "no text": lambda folder: (folder / "provenance.json").write_bytes(b"\xff\xfe"),
    "a list": lambda folder: (folder / "provenance.json").write_text("[]"),
    "depth": lambda folder: (folder / "provenance.json").write_text("[" * 100_000),
}


def write_claim(folder, change):
    path = folder / "provenance.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize("how", TAMPERING)
def test_a_statement_holds_for_nothing_else(folder, how):
    TAMPERING[how](folder)
    found = read_statement(folder)
    assert found.state == "tampered" and found.problem


def test_a_statement_signed_by_a_stranger_is_valid_and_not_trusted(folder):
    write_statement(folder, MAKING, new_signer())
    assert read_statement(folder).state == "valid"
