"""Every creative task on tiny random nets: one that reads what is known, and one that is guided by
replacement.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from openlumiere import Clip, Lumiere
from openlumiere.engine.canvas import inside
from openlumiere.engine.finish import read_sidecar
from openlumiere.engine.inputs import open_clip
from openlumiere.engine.run import run
from openlumiere.media import save_image
from openlumiere.tasks import Region

BOX = (0.25, 0.25, 0.75, 0.75)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module", params=[None, 97], ids=["by replacement", "conditional"])
def lumiere(request, build_tiny):
    return Lumiere(build_tiny(in_channels=request.param))


@pytest.fixture
def clip():
    return Clip(noise(6, 18, 30, 3), Fraction(30000, 1001))


def test_animate_begins_with_the_picture(lumiere):
    first, last = noise(20, 30, 3), noise(20, 30, 3, seed=1)
    clip = lumiere.animate(first, "a dog jumps", keyframes={7: last, 3: last}, frames=8, steps=2)
    assert clip.frames.shape == (8, 20, 30, 3) and clip.fps == 16
    assert [
        np.array_equal(clip.frames[k], given) for k, given in ((0, first), (3, last), (7, last))
    ] == [True] * 3
    assert not np.array_equal(clip.frames[1], first) and not np.array_equal(clip.frames[6], last)


def test_keyframes_alone_at_any_rate(lumiere):
    picture = noise(16, 16, 3)
    clip = lumiere.animate(keyframes={5: picture}, frames=9, fps=60, steps=1)
    assert np.array_equal(clip.frames[5], picture) and clip.fps == 60
    with pytest.raises(ValueError, match="image: expected a picture or keyframes, got neither"):
        lumiere.animate(None, "a dog")


def test_a_larger_picture_is_brought_to_a_size(lumiere):
    assert lumiere.animate(noise(40, 80, 3), frames=2, steps=1, size=32).size == (32, 16)


@pytest.mark.parametrize("region", [BOX, "0: 0,0,0.5,0.5; 5: 0.5,0.5,1,1", np.eye(18, 30) > 0])
def test_inpainting_keeps_the_rest(lumiere, clip, region):
    made = lumiere.inpaint(clip, region, "a red hat", steps=2)
    found = inside(Region.of(region), 6, 18, 30)
    assert made.frames.shape == clip.frames.shape and made.fps == clip.fps
    assert np.array_equal(made.frames[~found], clip.frames[~found]) and not np.array_equal(
        made.frames[found], clip.frames[found]
    )


def test_soft_changes_known_pixels_and_exact_does_not(lumiere, clip):
    soft = lumiere.inpaint(clip, BOX, steps=2, keep="soft")
    assert not np.array_equal(soft.frames[:, :4], clip.frames[:, :4])


def test_outpainting_holds_the_clip_in_its_middle(lumiere, clip):
    made = lumiere.outpaint(clip, (40, 40), "a meadow", steps=1)
    assert made.frames.shape == (6, 40, 40, 3) and np.array_equal(
        made.frames[:, 11:29, 5:35], clip.frames
    )


def test_a_cinemagraph_moves_inside_only(lumiere):
    picture = noise(18, 30, 3)
    made = lumiere.cinemagraph(picture, BOX, "smoke rises", frames=8, steps=2)
    moves = (made.frames != picture).any(axis=(0, 3))
    assert not moves[:4].any() and not moves[:, :7].any() and moves[5:13, 8:22].mean() > 0.9
    assert np.array_equal(made.frames[0], picture)


def test_a_loop_closes(lumiere):
    """The jump from last to first frame is one step among others; without the loop it is not made
    to be.
    """
    made = lumiere.generate("smoke rises", loop=True, frames=16, steps=3, size=0)
    steps = np.abs(np.diff(made.frames.astype(int), axis=0, append=made.frames[:1])).mean(
        axis=(1, 2, 3)
    )
    assert steps[-1] <= 1.5 * np.median(steps[:-1])


@pytest.mark.parametrize("strength", [0.05, 0.5, 1])
def test_restyling(lumiere, clip, strength):
    made = lumiere.restyle(clip, "as a line drawing", strength=strength, steps=4)
    assert (
        made.frames.shape == clip.frames.shape
        and made.fps == clip.fps
        and not np.array_equal(made.frames, clip.frames)
    )


def test_strength_decides_how_much_stays(lumiere):
    """At strength 1 nothing of the clip is left: another clip gives the same."""
    one, other = (Clip(noise(3, 16, 16, 3, seed=seed)) for seed in (0, 1))
    assert lumiere.restyle(one, "a dog", strength=1, steps=3) == lumiere.restyle(
        other, "a dog", strength=1, steps=3
    )
    assert lumiere.restyle(one, "a dog", strength=0.4, steps=3) != lumiere.restyle(
        other, "a dog", strength=0.4, steps=3
    )


def test_held_structure_stays_even_where_all_is_made_anew(lumiere):
    """Two flat clips, all made anew: with coarse shapes held, each comes out nearer to its own
    grey.
    """
    dark, light = (Clip(np.full((3, 16, 16, 3), level, np.uint8)) for level in (40, 215))
    means = [
        [
            lumiere.restyle(clip, "a dog", strength=1, structure=structure, steps=2).frames.mean()
            for clip in (dark, light)
        ]
        for structure in (0, 1)
    ]
    assert means[0][0] == means[0][1] and means[1][0] < 90 < 165 < means[1][1]


def test_what_is_all_known_comes_back_unmarked(lumiere, clip):
    for made in (
        lumiere.restyle(clip, "a dog", strength=0),
        lumiere.outpaint(clip, clip.size),
    ):
        assert made == clip and made.origin is None


@pytest.mark.parametrize("share", ["nothing", "everything"])
def test_a_mask_of_nothing_or_of_everything_is_refused(lumiere, clip, share):
    mask = np.full((18, 30), share == "everything")
    with pytest.raises(ValueError, match=r"region: expected a (place|mask) .*, got (none|100.0%)"):
        lumiere.inpaint(clip, mask, "a dog", steps=2)


def test_nothing_known_is_text_to_video(lumiere, clip):
    """Whatever the clip held."""
    everywhere = (0, 0, 1, 1)
    other = replace(clip, frames=255 - clip.frames)
    assert lumiere.inpaint(clip, everywhere, "a dog", steps=2) == lumiere.inpaint(
        other, everywhere, "a dog", steps=2
    )


def test_the_conditional_net_is_told(build_tiny, clip):
    """Its weights for content and mask decide, so they are read; with zeros there, what is known
    outside makes no difference inside.
    """
    told, deaf = (Lumiere(build_tiny(in_channels=97)) for _ in range(2))
    deaf.base.stunet.conv_in_added.weight.data.zero_()
    other = replace(clip, frames=255 - clip.frames)
    inside = np.s_[:, 6:12, 10:20]
    both = [
        [model.inpaint(each, BOX, steps=2, feather=0).frames[inside] for each in (clip, other)]
        for model in (told, deaf)
    ]
    assert not np.array_equal(*both[0]) and np.array_equal(*both[1])


def test_one_frame_and_long_clips(lumiere):
    one = Clip(noise(1, 16, 16, 3), Fraction(1, 2))
    assert len(lumiere.inpaint(one, BOX, steps=1)) == 1 and lumiere.inpaint(
        one, BOX, steps=1
    ).fps == Fraction(1, 2)
    long = Clip(noise(100, 8, 8, 3))
    made = lumiere.inpaint(long, BOX, steps=1, guidance=1.0)
    assert len(made) == 100 and np.array_equal(made.frames[:, 0], long.frames[:, 0])


@pytest.mark.parametrize(("fps", "frames"), [(8, 40), (16, 80), (30, 75)])
def test_windows_of_an_edit_last_as_long_as_the_net_knows(lumiere, monkeypatch, fps, frames):
    planned = []

    def noted(backbone, plan, *rest):
        planned.append(plan)
        return run(backbone, plan, *rest)

    monkeypatch.setattr("openlumiere.engine.lumiere.run", noted)
    lumiere.inpaint(Clip(noise(4, 8, 8, 3), Fraction(fps)), BOX, steps=1, guidance=1.0)
    assert [plan.windows.frames for plan in planned] == [frames]


def test_edits_replay_from_their_record_and_inputs(lumiere, tmp_path):
    save_image(noise(18, 30, 3), tmp_path / "garden.png")
    made = lumiere.cinemagraph(
        tmp_path / "garden.png", np.eye(18, 30) > 0, "smoke", frames=4, steps=2
    )
    made.save(tmp_path / "made.webp", lossless=True)
    record = read_sidecar(tmp_path / "made.webp")
    assert {role: media.name for role, media in record.task.media().items()} == {
        "image": "garden.png",
        "region": "",
    }
    mask = np.eye(18, 30) > 0
    inputs = {"image": tmp_path / "garden.png", "region": mask}
    assert lumiere.replay(record, inputs=inputs) == made
    with pytest.raises(
        ValueError,
        match=r"inputs: expected the image \(garden.png\) that the clip was made from, got none",
    ):
        lumiere.replay(record, inputs={"region": mask})
    with pytest.raises(
        ValueError,
        match="inputs: expected the image that the task names, got another, give what",
    ):
        lumiere.replay(record, inputs={**inputs, "image": noise(18, 30, 3, seed=5)})


def test_pictures_of_every_kind(lumiere, tmp_path):
    """Grey, 16-bit, CMYK, alpha and turned ones begin a clip as the eye sees them."""
    colour = Image.fromarray(noise(16, 24, 3))
    kinds = {
        "grey.png": colour.convert("L"),
        "deep.png": Image.fromarray(noise(16, 24).astype(np.uint16) * 257),
        "print.jpg": colour.convert("CMYK"),
        "clear.png": Image.merge("RGBA", (*colour.split(), Image.fromarray(noise(16, 24)))),
        "palette.gif": colour.convert("P"),
    }
    for name, picture in kinds.items():
        picture.save(tmp_path / name)
        assert lumiere.animate(tmp_path / name, frames=2, steps=1, guidance=1.0).size == (24, 16), (
            name
        )
    exif = colour.getexif()
    exif[0x0112] = 6
    colour.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert lumiere.animate(tmp_path / "turned.jpg", frames=2, steps=1, guidance=1.0).size == (
        16,
        24,
    )


def test_a_picture_too_large_for_the_steps_is_refused(lumiere):
    with pytest.raises(ValueError, match="cost: expected pixels x frames x steps"):
        lumiere.animate(np.zeros((3000, 4000, 3), np.uint8), frames=80, steps=40)


def test_a_clip_made_again_of_a_made_clip_is_another_input(lumiere, clip):
    assert open_clip(clip).sha256 != open_clip(replace(clip, fps=Fraction(16))).sha256
