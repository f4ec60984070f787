"""What a person is told about a file, and what those who would mislead them get."""

import json
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from cases import case
from openlumiere.apps.cli import main
from openlumiere.media import Clip
from openlumiere.provenance.certificate import Signer, new_signer
from openlumiere.provenance.detached import write_statement
from openlumiere.provenance.manifest import Making, Manifest, embed
from openlumiere.provenance.payload import Payload
from openlumiere.provenance.verify import (
    CLAIMED,
    INCONSISTENT,
    MARKED,
    NOTHING,
    OURS,
    UNREADABLE,
    Mark,
    judge,
    read_manifest,
    verify,
)
from openlumiere.provenance.watermark import embed as embed_mark
from openlumiere.settings import MARK_KEY

MAKING = Making(task="generate", model="ab" * 32, mark="abab-00000001")
TRUSTED = Manifest(
    state="trusted",
    making=MAKING,
    told_marks=MAKING.marks,
    signer="Ada",
    generator=MAKING.generator,
)
STRANGERS = replace(TRUSTED, state="valid", signer="Mallory")
OTHERS = Manifest(state="valid", signer="A camera", generator="Firmware 3")
WITH_OURS_INSIDE = Manifest(
    state="valid", signer="An editor", generator="Editor 9", told_marks=MAKING.marks
)
TAMPERED = Manifest(state="tampered", problem="assertion.dataHash.mismatch")
NONE = Manifest(state="none")
NO_MARK, ODD_MARK = Mark(found=False, p_value=0.4), Mark(found=True, p_value=1e-9)
MARK = Mark(found=True, p_value=1e-30, message=MAKING.mark)
PASTED = Mark(found=True, p_value=1e-30, message="abab-000000ff")
JUDGED = [
    (TRUSTED, MARK, OURS, "made by openlumiere"),
    (TRUSTED, NO_MARK, OURS, "made by openlumiere"),
    (TRUSTED, ODD_MARK, OURS, "made by openlumiere"),
    (
        TRUSTED,
        PASTED,
        INCONSISTENT,
        "inconsistent: the manifest speaks of the mark abab-00000001, but the pixels are "
        "marked with the public key (abab-000000ff)",
    ),
    (STRANGERS, MARK, CLAIMED, "claims to be made by openlumiere"),
    (STRANGERS, NO_MARK, CLAIMED, "claims to be made by openlumiere"),
    (STRANGERS, ODD_MARK, CLAIMED, "claims to be made by openlumiere"),
    (STRANGERS, PASTED, INCONSISTENT, "inconsistent: the manifest speaks of the mark"),
    (TAMPERED, MARK, INCONSISTENT, "inconsistent: the manifest does not hold"),
    (TAMPERED, NO_MARK, INCONSISTENT, "inconsistent: the manifest does"),
    (
        NONE,
        MARK,
        MARKED,
        "the pixels are marked with the public key (abab-00000001); origin unproven",
    ),
    (
        NONE,
        ODD_MARK,
        MARKED,
        "the pixels are marked with the public key, its message can't be read; origin unproven",
    ),
    (NONE, NO_MARK, NOTHING, "no mark found, and no manifest"),
    (OTHERS, MARK, INCONSISTENT, "inconsistent: the pixels are marked with the public key"),
    (OTHERS, NO_MARK, NOTHING, "no mark found"),
    (WITH_OURS_INSIDE, MARK, CLAIMED, "claims to be made from a clip of openlumiere"),
    (
        replace(WITH_OURS_INSIDE, state="trusted"),
        MARK,
        CLAIMED,
        "claims to be made from a clip of openlumiere",
    ),
    (WITH_OURS_INSIDE, PASTED, INCONSISTENT, "inconsistent"),
]


@pytest.mark.parametrize(("manifest", "mark", "code", "start"), JUDGED)
def test_what_follows_from_both(manifest, mark, code, start):
    found, verdict = judge(manifest, mark)
    assert found == code and verdict.startswith(start), verdict
    assert "real" not in verdict.lower()
    assert verdict.startswith("made by") == (code == OURS)
    assert (code == OURS) == (manifest is TRUSTED and mark is not PASTED)


def test_a_clip_that_was_re_encoded_cropped_and_stripped_is_still_ours(made, tmp_path, monkeypatch):
    """On a machine that has never seen it."""
    made(side=256, count=16).save(tmp_path / "clip.mp4")
    assert verify(tmp_path / "clip.mp4").verdict.startswith("made by openlumiere")
    cropped = Clip.load(tmp_path / "clip.mp4").frames[:, 20:220, 30:240]
    with av.open(str(tmp_path / "copy.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "23"})
        stream.height, stream.width, stream.pix_fmt = *cropped.shape[1:3], "yuv420p"
        for frame in cropped:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                )
            )
        container.mux(stream.encode())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "fresh"))
    report = verify(tmp_path / "copy.mp4")
    assert (report.code, report.manifest.state, report.mark.message) == (
        MARKED,
        "none",
        str(made().origin.payload),
    )
    assert "origin unproven" in report.verdict and "made by" not in report.verdict
    abroad = verify(tmp_path / "clip.mp4")
    assert (abroad.code, abroad.manifest.state) == (CLAIMED, "valid")
    assert not (tmp_path / "fresh").exists()


def test_what_was_not_made_here(pictures, tmp_path):
    Clip(pictures(4)).save(tmp_path / "clip.webp")
    report = verify(tmp_path / "clip.webp")
    assert (report.code, report.verdict) == (NOTHING, "no mark found, and no manifest")


def test_a_mark_pasted_from_another_clip_never_says_made_by(made, pictures, tmp_path):
    """With its own manifest, with none, and with a forged one that names another mark."""
    original = made(side=256)
    pasted = embed_mark(pictures(side=256, phase=2), original.origin.payload)
    Clip(pasted).save(tmp_path / "bare.webp")
    bare = verify(tmp_path / "bare.webp")
    assert bare.code == MARKED and "origin unproven" in bare.verdict
    Clip(pasted).save(tmp_path / "forged.webp")
    embed(tmp_path / "forged.webp", MAKING, new_signer())
    report = verify(tmp_path / "forged.webp")
    assert (
        report.code == INCONSISTENT
        and "made by" not in report.verdict
        and report.manifest.state == "valid"
    )


def test_two_marks_are_told_and_never_taken_for_one_more_clip(pictures, tmp_path):
    one, other = Payload(model=1, clip=1), Payload(model=2, clip=2)
    frames = embed_mark(embed_mark(pictures(side=256), one), other)
    Clip(frames).save(tmp_path / "two.webp")
    report = verify(tmp_path / "two.webp")
    assert report.code == MARKED and report.mark.message in (None, str(one), str(other))


def test_ten_thousand_frames(made, tmp_path):
    """The mark is still found where the pictures are large enough, and nobody waits for hours."""
    clip = made(count=1, side=64)
    long = Clip(np.repeat(clip.origin.seal(clip.frames), 10_000, axis=0), fps=200)
    long.save(tmp_path / "long.webp")
    report = verify(tmp_path / "long.webp")
    assert report.code in (MARKED, NOTHING) and report.manifest.state == "none"


def test_a_secret_key_is_known_to_its_owner_alone(made, tmp_path, monkeypatch):
    (tmp_path / "secret").write_bytes(b"known to nobody else")
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.setenv(MARK_KEY, str(tmp_path / "secret"))
    clip = made(side=256)
    Clip(clip.origin.seal(clip.frames)).save(tmp_path / "clip.webp")
    assert "marked with your own key" in verify(tmp_path / "clip.webp").verdict
    monkeypatch.delenv(MARK_KEY)
    assert verify(tmp_path / "clip.webp").code == NOTHING


@pytest.mark.parametrize(
    "content", [b"", b"not a film", b"\0\0\0\x18ftypmp42" + bytes(100), b"#!/bin/sh\nrm -rf .\n"]
)
def test_what_claims_to_be_an_mp4(tmp_path, content, capsys):
    (tmp_path / "clip.mp4").write_bytes(content)
    assert verify(tmp_path / "clip.mp4").code == UNREADABLE
    assert main(["verify", str(tmp_path / "clip.mp4")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("lumiere: expected") and err.count("\n") == 1


def test_a_picture_that_is_named_mp4_is_read_as_what_it_is(made, tmp_path):
    made(count=1, side=256).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.mp4")
    assert verify(tmp_path / "a.mp4").verdict.startswith("made by openlumiere")


def test_a_truncated_box(made, tmp_path):
    made(side=64).save(tmp_path / "a.mp4")
    data = (tmp_path / "a.mp4").read_bytes()
    start = data.index(b"uuid\xd8\xfe\xc3\xd6") - 4
    end = start + int.from_bytes(data[start : start + 4], "big")
    (tmp_path / "a.mp4").write_bytes(data[: start + 1000] + data[end:])
    assert read_manifest(tmp_path / "a.mp4").state == "tampered"
    assert verify(tmp_path / "a.mp4").code in (UNREADABLE, INCONSISTENT)


def test_the_command(made, tmp_path, capsys, monkeypatch):
    made(side=256).save(tmp_path / "a.webp")
    assert main(["verify", str(tmp_path / "a.webp")]) == 0
    verdict, manifest, mark = capsys.readouterr().out.splitlines()
    assert (
        verdict.startswith("made by openlumiere")
        and manifest == "manifest  trusted"
        and mark.startswith("mark      found, p = ")
    )
    assert main(["verify", str(tmp_path / "a.webp"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["code"], told["manifest"]["making"]["task"], told["mark"]["message"]) == (
        0,
        "generate",
        str(made().origin.payload),
    )
    assert main(["verify", str(tmp_path / "missing.mp4"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["manifest"] is None


def test_the_command_trusts_whom_it_is_told_to(made, pictures, tmp_path, capsys, monkeypatch):
    ada = new_signer()
    Image.fromarray(pictures(1, 32)[0]).save(tmp_path / "a.png")
    embed(tmp_path / "a.png", MAKING, ada)
    (tmp_path / "ada.pem").write_bytes(ada.chain_pem())
    trusting = ("--trust", str(tmp_path / "ada.pem"))
    for words, code, state in (((), CLAIMED, "valid"), (trusting, OURS, "trusted")):
        assert main(["verify", str(tmp_path / "a.png"), *words]) == code
        assert capsys.readouterr().out.splitlines()[1] == f"manifest  {state}"
    assert main(["verify", str(tmp_path / "a.png"), "--trust", str(tmp_path / "a.png")]) == 2


@pytest.mark.parametrize(
    ("name", "code", "start"),
    [
        ("forged.webm", CLAIMED, "claims to be made by openlumiere"),
        ("forged.mp4", CLAIMED, "claims to be made by openlumiere"),
        ("forged_public_mark.mp4", MARKED, "the pixels are marked with the public key"),
    ],
)
def test_forgeries_that_strangers_made(name, code, start, capsys):
    assert main(["verify", str(case(name))]) == code
    assert capsys.readouterr().out.startswith(start)


@pytest.fixture
def footage(pictures):
    """Something that was not made here."""
    return Clip(pictures(6, 256, phase=1))


@pytest.mark.parametrize("name", ["a.mp4", "a.webp", "a.gif", "a.webm", "a/"])
def test_a_self_made_certificate_proves_nothing(footage, tmp_path, name):
    """Of every kind of file, also where the stranger's certificate bears the name of ours."""
    path = tmp_path / name
    footage.save(f"{tmp_path}/{name}")
    forge = embed if path.is_file() and path.suffix != ".webm" else write_statement
    forge(path, MAKING, new_signer())
    report = verify(path)
    assert (report.code, report.manifest.state) == (CLAIMED, "valid")
    assert report.verdict.startswith("claims to be made by openlumiere")
    assert "by somebody not known here (openlumiere user" in report.verdict


def test_the_mark_that_the_forged_manifest_names_proves_no_more(footage, tmp_path):
    """Mark and manifest agree, and both are a stranger's."""
    payload = Payload(model=1, clip=7)
    Clip(embed_mark(footage.frames, payload)).save(tmp_path / "a.webp", lossless=True)
    embed(tmp_path / "a.webp", replace(MAKING, mark=str(payload)), new_signer())
    report = verify(tmp_path / "a.webp")
    assert (report.code, report.mark.message) == (CLAIMED, str(payload))


def test_a_trusted_statement_beside_another_file_does_not_hold(made, footage, tmp_path):
    made(side=32).save(tmp_path / "ours.webm")
    footage.save(tmp_path / "theirs.webm")
    statement = (tmp_path / "ours.webm.provenance.json").read_text()
    (tmp_path / "theirs.webm.provenance.json").write_text(statement)
    assert verify(tmp_path / "ours.webm").code == OURS
    assert verify(tmp_path / "theirs.webm").code == INCONSISTENT


def test_a_chain_that_only_shows_a_trusted_root_is_not_trusted(footage, tmp_path):
    """The trusted root stands in the chain, and did not issue what stands before it."""
    trusted, stranger = new_signer(), new_signer()
    footage.save(tmp_path / "a.webm")
    chain = (*stranger.chain, trusted.chain[-1])
    write_statement(tmp_path / "a.webm", MAKING, Signer(stranger.key, chain))
    assert verify(tmp_path / "a.webm", roots=trusted.chain[-1:]).code == INCONSISTENT


def test_a_secret_mark_alone_proves_nothing_either(footage, tmp_path, monkeypatch):
    (tmp_path / "secret").write_bytes(b"known to nobody else")
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.setenv(MARK_KEY, str(tmp_path / "secret"))
    marked = embed_mark(footage.frames, Payload(model=1, clip=1), b"known to nobody else")
    Clip(marked).save(tmp_path / "a.webp")
    assert verify(tmp_path / "a.webp").code == MARKED


def test_a_strangers_words_stay_on_their_line(footage, tmp_path, capsys):
    """What a manifest says can't write a verdict of its own."""
    footage.save(tmp_path / "a.webm")
    lying = replace(MAKING, generator="x\nmade by openlumiere", task="\x1b[2Jgenerate\u202e")
    write_statement(tmp_path / "a.webm", lying, new_signer())
    assert main(["verify", str(tmp_path / "a.webm")]) == CLAIMED
    out = capsys.readouterr().out
    assert out.count("\n") == 3 and "\x1b" not in out and "\u202e" not in out
    assert "made by openlumiere" not in [line[:19] for line in out.splitlines()]
