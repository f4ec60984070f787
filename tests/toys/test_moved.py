"""Clips of moved photographs."""

from functools import partial

import numpy as np
import pytest
import torch
from small_cache import build_cache

from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere_world.toys.bank import Bank, Banks, Part, main
from openlumiere_world.toys.cache import PICTURES
from openlumiere_world.toys.moved import KINDS, SAYS, MovedPictures, detailed
from openlumiere_world.toys.scene import CAMERAS, Planner
from openlumiere_world.toys.subjects import LANGUAGES

MOMENTS = torch.tensor([0.0, 2.4, 4.8])


@pytest.fixture(scope="module")
def moved(cache):
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    np.save(cache.folder / PICTURES, coarse.repeat(16, 1).repeat(16, 2))
    return MovedPictures(cache, Planner(cache))


def plans(moved, count=80):
    return [moved.plan(seed) for seed in range(count)]


def test_a_world_without_photographs_says_what_to_do(tmp_path):
    cache = build_cache(tmp_path)
    with pytest.raises(ValueError, match="--photographs"):
        MovedPictures(cache, Planner(cache))


def test_a_plan_follows_from_its_seed_and_all_kinds_come(moved):
    drawn = plans(moved)
    assert drawn == plans(moved)
    assert {each.camera for each in drawn} == {"still", *CAMERAS}
    assert {"sway", "still", "left", "right", "up", "down"} == {each.motion for each in drawn}
    assert any(each.front for each in drawn) and len(KINDS) == 5


def test_frames_are_opaque_levels(moved):
    for plan in plans(moved, 12):
        frames = moved.render(plan, MOMENTS)
        assert frames.shape == (3, 4, 128, 128)
        assert frames.min() >= 0 and frames.max() <= 1 + 1e-6 and (frames[:, 3] == 1).all()


def test_a_camera_that_pans_to_the_right_sees_what_is_moved_to_the_left(moved):
    plan = next(each for each in plans(moved) if each.camera == "pan right" and not each.deep)
    first, last = moved.render(plan, torch.tensor([0.0, 2.5]))[:, :3]
    apart = {
        shift: float((first.roll(shift, -1) - last)[..., 40:-40].abs().mean())
        for shift in (-20, 0, 20)
    }
    assert min(apart, key=apart.get) == -20


def test_what_flows_begins_as_the_picture_is_and_moves_inside_its_part_alone(moved):
    plan = next(each for each in plans(moved, 400) if each.motion == "up" and each.part[2] < 0.5)
    first, later = moved.render(plan, torch.tensor([0.0, 0.8]))[:, :3]
    apart = (first - later).abs().amax(0)
    x, y, across, along = plan.part
    rows, columns = (64 * (1 + torch.tensor([y, x]))).long().clamp(0, 127)
    assert apart[max(rows - 8, 0) : rows + 8, max(columns - 8, 0) : columns + 8].max() > 0.05
    line = 2 * (torch.arange(128) + 0.5) / 128 - 1
    away = ((line[None] - x) / across).square() + ((line[:, None] - y) / along).square()
    assert apart[away > 3.2].max() < 0.02


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_words_for_every_motion(language):
    assert SAYS[language].motions.keys() == SAYS["en"].motions.keys()


def test_captions_say_what_moves(moved):
    for plan in plans(moved, 40):
        assert moved.caption(plan) == moved.caption(plan) != ""


def test_plain_pictures_are_left_out():
    plain = torch.full((2, 8, 8, 3), 90, dtype=torch.uint8)
    busy = torch.randint(0, 255, (3, 8, 8, 3)).byte()
    assert torch.equal(detailed(torch.cat([plain, busy])), busy)


def test_a_bank_says_each_clip_in_several_ways_also_later(moved, tmp_path):
    folder = moved.cache.folder
    StickerAutoencoder().save_pretrained(tmp_path / "codec")
    make = partial(main, folder, tmp_path / "codec", tmp_path, shards=1, frames=512, kind="picture")
    make()
    once = Bank(tmp_path)
    make(wordings=6)
    bank = Bank(tmp_path)
    assert torch.equal(once.latents, bank.latents)
    assert [len(wordings) for wordings in bank.states] == [6, 6]
    assert bank.captions[::6] == once.captions
    assert bank.captions[:6] == [moved.caption(moved.plan(0), wording) for wording in range(6)]
    assert len(set(bank.captions)) > 8
    drawn = {len(bank.draw(torch.Generator().manual_seed(seed), 1).states[0]) for seed in range(20)}
    assert len(drawn) > 2


def test_a_bank_of_them_is_drawn_beside_another(moved, tmp_path):
    folder = moved.cache.folder
    StickerAutoencoder().save_pretrained(tmp_path / "codec")
    main(folder, tmp_path / "codec", tmp_path, first=5, shards=1, frames=512, kind="picture")
    bank = Bank(tmp_path)
    assert bank.latents.shape == (2, 16, 512, 16, 16)
    both = Banks(Part(bank, 5, 0.5), Part(bank, 1, 0.5, 0.65, shown=True))
    drawn = [both.draw(torch.Generator().manual_seed(seed), 1) for seed in range(8)]
    assert {(float(each.times[1]), each.latest, each.shown) for each in drawn} == {
        (5.0, 1.0, False),
        (1.0, 0.65, True),
    }


def test_of_longer_clips_fewer_are_drawn_at_once(moved, tmp_path):
    codec = tmp_path / "codec"
    StickerAutoencoder().save_pretrained(codec)
    for frames in (128, 256):
        main(moved.cache.folder, codec, tmp_path / str(frames), shards=1, frames=frames)
    short, long = Bank(tmp_path / "128"), Bank(tmp_path / "256")
    for count, at_once in ((8, 4), (1, 1)):
        drawn = Banks(Part(short, 5, 0.0), Part(long, 1, 1.0)).draw(torch.Generator(), count)
        assert drawn.latents.shape[:3] == (at_once, 16, 256) and len(drawn.states) == at_once
        assert drawn.times is not None and drawn.times.tolist() == list(range(256))
