"""The toy world from a tiny cache that is made here: plans, frames, captions, splits, the codec's
frames.
"""

import numpy as np
import pytest
import torch
from small_cache import disc

from openlumiere_world.toys import grounds
from openlumiere_world.toys.batches import Mixed, WorldFrames
from openlumiere_world.toys.captions import WORDS, caption, who
from openlumiere_world.toys.effects import EFFECTS, layer
from openlumiere_world.toys.frames import Drawings
from openlumiere_world.toys.pack import (
    brought_down,
    fitted,
    resampled,
    seen,
)
from openlumiere_world.toys.scene import FRAMES, SIDE, Planner, clip, render
from openlumiere_world.toys.subjects import (
    LANGUAGES,
    Subject,
    everyday_names,
    plain_code,
    slug,
    told_apart,
)

SEEDS = range(60)


def centre(frame):
    """Columns and rows, weighed by opacity."""
    alpha = frame[3]
    places = torch.arange(SIDE) + 0.5
    return float((alpha.sum(0) * places).sum() / alpha.sum()), float(
        (alpha.sum(1) * places).sum() / alpha.sum()
    )


def found(cache, wanted, split="train"):
    """The first scene that is as wanted."""
    planner = Planner(cache)
    return next(
        scene for scene in (planner.plan(seed, split) for seed in range(3000)) if wanted(scene)
    )


def test_what_shows_nothing_is_not_packed(cache):
    assert [item.style for item in cache.items] == ["3d", "flat", "toy", "toy"]


def test_a_plan_follows_from_its_seed(cache):
    assert [Planner(cache).plan(seed) for seed in SEEDS] == [
        Planner(cache).plan(seed) for seed in SEEDS
    ]
    assert len({Planner(cache).plan(seed).ground for seed in SEEDS}) > 10


def test_splits_share_no_combination(cache):
    planner = Planner(cache)
    combinations = [
        {(s.subject, s.action, s.ground) for s in (planner.plan(seed, split) for seed in SEEDS)}
        for split in ("train", "held out")
    ]
    assert not combinations[0] & combinations[1]


def test_another_split_is_refused(cache):
    with pytest.raises(ValueError, match="expected 'train' or 'held out', got 'test'"):
        Planner(cache).plan(0, "test")


def test_frames_are_premultiplied_levels(cache):
    for seed in SEEDS:
        scene = Planner(cache).plan(seed)
        frames = render(cache, scene, torch.tensor([0.0, 2.5]))
        assert frames.shape == (2, 4, SIDE, SIDE)
        assert frames.min() >= 0 and frames.max() <= 1 + 1e-5
        assert (frames[:, :3] <= frames[:, 3:] + 1e-3).all()
        assert scene.ground == "transparent" or frames[:, 3].min() > 0.999


def test_a_clip_has_five_seconds(cache):
    assert clip(cache, Planner(cache).plan(0)).shape == (FRAMES, 4, SIDE, SIDE)


@pytest.mark.parametrize("way", ["left", "right"])
def test_a_toy_goes_where_it_is_said_to(cache, way):
    scene = found(
        cache,
        lambda s: (
            s.way == way
            and s.action == "walks"
            and s.ground == "transparent"
            and not s.effect
            and s.camera == "still"
        ),
    )
    first, last = render(cache, scene, torch.tensor([0.0, 4.5]))
    gone = centre(last)[0] - centre(first)[0]
    assert abs(gone) > SIDE / 4
    assert (gone > 0) == (way == "right") == scene.mirrored


@pytest.mark.parametrize(("way", "grows"), [("towards", True), ("away", False)])
def test_what_comes_closer_grows(cache, way, grows):
    scene = found(cache, lambda s: s.way == way and s.ground == "transparent" and not s.effect)
    first, last = render(cache, scene, torch.tensor([0.0, 5.0]))[:, 3].sum((1, 2))
    assert (last > first) == grows


def test_a_panning_camera_moves_the_ground(cache):
    scene = found(
        cache,
        lambda s: (
            s.camera == "pan right" and s.style == "flat" and s.action == "stay" and not s.effect
        ),
    )
    first, last = render(cache, scene, torch.tensor([0.0, 5.0]))
    assert torch.allclose(first[:3, :20, 40:], last[:3, :20, :-40], atol=0.02)


def test_what_is_still_has_still_frames(cache):
    scene = found(cache, lambda s: s.action == "stay" and s.camera == "still" and not s.effect)
    frames = render(cache, scene, torch.tensor([0.0, 1.0, 4.0]))
    assert torch.equal(frames[0], frames[1]) and torch.equal(frames[1], frames[2])


def test_captions_say_what_there_is(cache):
    scene = found(cache, lambda s: s.action == "walks" and s.way == "left" and s.ground == "red")
    subject, item = cache.subjects["fox"], cache.items[scene.item]
    told = caption(scene, item, subject, 3, "en", whole=True)
    assert "fox-en walks to the left" in told and "red" in told and "as a 3D toy" in told


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_words_for_every_scene(cache, language):
    for seed in SEEDS:
        scene = Planner(cache).plan(seed)
        told = caption(
            scene,
            cache.items[scene.item],
            cache.subjects[scene.subject],
            seed,
            language,
            whole=True,
        )
        assert f"{scene.subject}-{language}" in told
        assert "  " not in told and not told.startswith((",", " ")) and "{" not in told


def test_a_toy_that_is_called_as_a_sticker_is_always_said_to_be_a_toy(cache):
    names = {"horse": "horse", "t-rex": "T. rex", "deer": "deer"}
    stickers = {"1f434": "horse face", "1f996": "T-Rex"}  # "a horse" is what people would type
    both = told_apart(
        {key: Subject(key=key, kind="toy", names={"en": name}) for key, name in names.items()}
        | {
            key: Subject(key=key, kind="animal", names={"en": name})
            for key, name in stickers.items()
        }
    )
    assert [key for key, subject in both.items() if subject.shared] == ["horse", "t-rex"]
    scene = found(cache, lambda scene: scene.style == "toy")
    item = cache.items[scene.item]
    said = {
        key: {"as a 3D toy" in caption(scene, item, both[key], seed, "en") for seed in range(20)}
        for key in names
    }
    assert said == {"horse": {True}, "t-rex": {True}, "deer": {True, False}}


def test_half_of_the_names_are_everyday_ones(cache):
    heart = Subject(key="2764", kind="heart", names={"en": "red heart"})
    scene = Planner(cache).plan(1)
    item = cache.items[scene.item]
    named = [caption(scene, item, heart, seed, "it", whole=True) for seed in range(60)]
    assert 15 < sum("un cuore" in sentence for sentence in named) < 45
    assert all(
        len(names) == len(LANGUAGES) and all(names.values()) for names in everyday_names().values()
    )


def test_captions_leave_things_out_by_chance(cache):
    scene = Planner(cache).plan(1)
    told = {
        caption(scene, cache.items[scene.item], cache.subjects[scene.subject], seed, "en")
        for seed in range(40)
    }
    assert len(told) > 5
    assert len({len(sentence.split()) for sentence in told}) > 3


def test_languages_have_the_same_tables():
    for words in WORDS.values():
        for table in (
            "moves",
            "ways",
            "grounds",
            "colours",
            "styles",
            "views",
            "cameras",
            "effects",
        ):
            assert getattr(words, table).keys() == getattr(WORDS["en"], table).keys()


@pytest.mark.parametrize(
    ("name", "language", "said"),
    [
        ({"en": "owl"}, "en", "an owl"),
        ({"en": "unicorn"}, "en", "a unicorn"),
        ({"it": "volpe"}, "it", "una volpe"),
        ({"it": "squalo"}, "it", "uno squalo"),
        ({"it": "ape"}, "it", "un'ape"),
        ({"es": "ballena"}, "es", "una ballena"),
        ({"fr": "requin"}, "fr", "un requin"),
        ({"de": "Kuh"}, "de", "eine Kuh"),
        ({"de": "blauer Roboter"}, "de", "ein blauer Roboter"),
    ],
)
def test_articles(name, language, said):
    assert who(Subject(key="x", names={"en": "x"} | name, kind="toy"), language) == said


@pytest.mark.parametrize("name", grounds.SCENES)
def test_scenes_meet_themselves_at_their_sides(name):
    picture = grounds.scene(name, 1)
    assert picture.shape == (3, grounds.HEIGHT, grounds.WIDTH)
    across = (picture[..., 0] - picture[..., -1]).abs().mean()
    within = (picture[..., 1:] - picture[..., :-1]).abs().mean((0, 1)).max()
    assert across <= within + 0.02


def test_windows_go_round_and_move_by_parts_of_a_pixel():
    picture = grounds.scene("city", 0)
    shown = grounds.windows(picture, torch.tensor([0.0, 0.5, 1.0, 384.0]), torch.zeros(4))
    assert torch.equal(shown[0], shown[3])
    assert torch.allclose(shown[1], (shown[0] + shown[2]) / 2, atol=1e-5)


@pytest.mark.parametrize("effect", EFFECTS)
def test_effects_loop(effect):
    frames = layer(effect, 0, torch.tensor([0.0, 1.0, 2.5]))
    assert torch.equal(frames[0], frames[2]) and not torch.equal(frames[0], frames[1])
    assert (frames[:, :3] <= frames[:, 3:] + 1e-3).all() and frames[:, 3].max() > 0.3


def test_frames_for_the_codec_follow_from_the_generator(cache):
    drawings = torch.from_numpy(np.stack([disc((30, 30, 200)), disc((200, 200, 30))]))
    photographs = torch.randint(0, 255, (3, 144, 144, 3), dtype=torch.uint8)
    source = Mixed(Drawings(drawings, photographs), WorldFrames(Planner(cache)), 0.5)
    first, second = (source.draw(torch.Generator().manual_seed(4), 8) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (8, 4, SIDE, SIDE) and first.min() >= 0 and first.max() <= 1 + 1e-5


def test_a_batch_may_have_no_second_drawing():
    source = Drawings(
        torch.from_numpy(disc((9, 9, 9))[None]), torch.zeros(1, 128, 128, 3, dtype=torch.uint8)
    )
    assert all(
        source.draw(torch.Generator().manual_seed(seed), 1).shape == (1, 4, SIDE, SIDE)
        for seed in range(20)
    )


def test_large_pictures_come_down_premultiplied():
    levels = np.zeros((256, 256, 4), np.float32)
    levels[64:192, 64:192] = (0.5, 0.25, 0, 0.5)
    small = brought_down(levels)
    assert small.shape == (SIDE, SIDE, 4)
    assert np.allclose(small[64, 64], (0.5, 0.25, 0, 0.5), atol=1e-3)
    assert (small[..., :3] <= small[..., 3:] + 1e-6).all()


def test_a_picture_is_fitted_to_bytes():
    from PIL import Image

    fit = fitted(Image.new("RGBA", (128, 128), (100, 50, 0, 128)))
    assert fit[0, 0].tolist() == [50, 25, 0, 128]


def test_what_is_seen_has_a_box():
    assert seen(disc((1, 2, 3), 20)[None]) == (44, 44, 84, 84)


def test_loops_come_at_the_rate_of_the_world():
    assert len(resampled(3.0)) == 48
    assert len(resampled(100.0)) == 64
    assert len(resampled(0.01)) == 2


def test_names_of_files():
    assert slug("a T. rex walks") == "a-t-rex-walks"
    assert plain_code("2764_FE0F") == plain_code("2764-fe0f") == "2764"
